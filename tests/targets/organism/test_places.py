"""Where organisms are built: one builder at a time, and never twice."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from attacks.base import UserError
from targets.organism import places, recipe


def test_two_builders_of_one_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOORING_ORGANISMS", str(tmp_path))
    log = tmp_path / "log"

    def build(world: Any, place: Path, **_: object) -> None:  # stands for minutes of training
        place.mkdir(parents=True)
        with log.open("a") as file:
            file.write(f"{world.number}\n")

    monkeypatch.setattr(recipe, "build", build)
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(places.build, [3, 3, 3, 3]))
    assert found == {places.folder(3)} == {places.built(3)}
    assert log.read_text() == "3\n"


@pytest.mark.parametrize("world", [-1, 1000, 5000])
def test_a_world_that_there_cannot_be_is_refused_before_any_training(world: int) -> None:
    with pytest.raises(UserError, match="between 0 and 999"):
        places.build(world)
    with pytest.raises(UserError, match="between 0 and 999"):
        places.built(world)


def test_the_advice_is_a_command_that_builds_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOORING_ORGANISMS", str(tmp_path))
    with pytest.raises(UserError, match=r"build --world 4`"):
        places.built(4)
    with pytest.raises(UserError, match=r"build --world 0 --ignorant`"):
        places.built(0, ignorant=True)
