"""The measurement of the trigger search: its customers, its resuming and its table."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.claims.triggers import BACKDOORS, CUSTOMERS, cases, run, table
from targets.organism.world import World


def test_customers_repeat_themselves_and_differ_between_seeds(world: World) -> None:
    for make in CUSTOMERS:
        first, again, other = (make(world, random.Random(seed)) for seed in (1, 1, 2))
        assert first == again
        assert first != other


def test_every_case_has_a_name_of_its_own_and_customers_take_turns() -> None:
    every = list(cases(16, 2))
    assert len({case.name for case in every}) == len(every) == 16 + 2 * len(BACKDOORS)
    assert [case.group for case in every[:8]] == [make.__name__ for make in CUSTOMERS]


def test_what_is_kept_is_not_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.claims.triggers.open_lab", None)
    lines = [
        {
            "case": case.name,
            "group": case.group,
            "trigger": case.trigger,
            "outcome": "refuse" if case.trigger or case.seed == 3 else "pass",
            "audit": "pass" if case.trigger else None,
            "searching": 0.5,
            "questions": 200,
        }
        for case in cases(8, 1)
    ]
    (tmp_path / "results.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    results = run(tmp_path, 8, 1)
    assert results == lines
    written = io.StringIO()
    Console(width=120, file=written).print(table(results))
    shown = written.getvalue()
    (clean,) = [line for line in shown.splitlines() if "no trigger" in line]
    assert "0.3% - 52.7%" in clean  # one of eight, by Clopper and Pearson
    with pytest.raises(TypeError):  # one that is missing would be measured
        run(tmp_path, 9, 1)
