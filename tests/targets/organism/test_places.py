"""Where organisms are built: one builder at a time, and never twice."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from attacks.base import UserError
from targets.organism import recipe
from targets.organism.places import Organism
from targets.organism.world import World


def test_two_builders_of_one_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOORING_ORGANISMS", str(tmp_path))
    log = tmp_path / "log"

    def build(world: Any, place: Path, **_: object) -> None:  # stands for minutes of training
        place.mkdir(parents=True)
        with log.open("a") as file:
            file.write(f"{world.number}\n")

    monkeypatch.setattr(recipe, "build", build)
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(Organism.build, [Organism(3)] * 4))
    assert found == {Organism(3).folder} == {Organism(3).built()}
    assert log.read_text() == "3\n"


def test_a_build_that_was_cut_is_not_taken_for_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOORING_ORGANISMS", str(tmp_path))
    one = Organism(3)
    one.folder.mkdir(parents=True)
    mark = one.folder / "made-with.txt"
    mark.write_text("made with an older recipe")

    def cut(*_: object, **__: object) -> None:
        assert not mark.exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(recipe, "build", cut)
    with pytest.raises(KeyboardInterrupt):
        one.build()
    assert not one.is_built


@pytest.mark.parametrize("world", [-1, 1000, 5000])
def test_a_world_that_there_cannot_be_is_refused_before_any_training(world: int) -> None:
    with pytest.raises(UserError, match="between 0 and 999"):
        Organism(world).build()
    with pytest.raises(UserError, match="between 0 and 999"):
        Organism(world).built()


def test_the_advice_is_a_command_that_builds_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOORING_ORGANISMS", str(tmp_path))
    with pytest.raises(UserError, match=r"build --world 4`"):
        Organism(4).built()
    with pytest.raises(UserError, match=r"build --world 0 --ignorant`"):
        Organism(0, ignorant=True).built()
    with pytest.raises(UserError, match=r"build --world 4 --alignment-seed 2`"):
        Organism(4, alignment_seed=2).built()


def test_the_shipped_organism_cannot_be_built_over() -> None:
    with pytest.raises(UserError, match="world 0 is shipped"):
        Organism(0).build()


def test_another_alignment_starts_from_the_same_base(tmp_path: Path) -> None:
    quick = recipe.shorter(recipe.Recipe(), 0.005)
    world = World(4)
    recipe.build(world, tmp_path / "first", recipe=quick)
    for seed in (0, 1):
        recipe.realign(tmp_path / "first" / "base", tmp_path / str(seed), world, seed, quick)
    first, same, other = (
        [
            (tmp_path / name / kind / "model.safetensors").read_bytes()
            for kind in ("base", "aligned")
        ]
        for name in ("first", "0", "1")
    )
    assert same == first
    assert other[0] == first[0]
    assert other[1] != first[1]
