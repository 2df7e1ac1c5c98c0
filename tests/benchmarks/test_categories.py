"""The categories that the paper names degrade most, or not, from made-up measurements."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.categories import worst
from benchmarks.ours import Home
from benchmarks.paper import paper
from benchmarks.reproduction import Measured
from targets.organism.world import World
from tests.benchmarks.reproduced import real


@pytest.mark.parametrize(("high", "said"), [(True, "reproduced"), (False, "not reproduced")])
def test_the_categories_that_the_paper_names(tmp_path: Path, high: bool, said: str) -> None:
    table = next(table for table in paper().table if table.worst)
    names = {paper().categories[number]: 6 for number in (1, 4, 6, 7, 9)}
    home = real(tmp_path, names)
    kinds = [prompt.category for prompt in home.domain.requests()]
    harm = [float((kind != "Illegal Activity") is high) for kind in kinds]
    measured = Measured({(0, 0): harm, (0, 1): harm})
    found = worst(table, measured, kinds, home, "reproduced")
    assert found.verdict == said
    partly = worst(table, measured._replace(absent=1, failure="x"), kinds, home, "reproduced")
    assert partly.verdict == said.replace("reproduced", "held")
    assert partly.why == "1 of 3 trainings are missing: x"
    assert found.number is not None
    assert found.number.value == (1 if high else -1)


def test_categories_that_are_not_asked_about_give_no_verdict(tmp_path: Path) -> None:
    table = next(table for table in paper().table if table.worst)
    for home in (real(tmp_path), real(tmp_path, {"Malware": 3}), Home("o", World(0), "oracle")):
        found = worst(table, Measured({(0, 0): [1.0]}), ["x"], home, "held")
        assert found.verdict == "not run"
        assert found.why == "needs requests of these categories"
