"""From what a user wrote to the cells that run."""

from __future__ import annotations

from pathlib import Path

import pytest

from attacks.base import UserError
from attacks.registry import names
from benchmarks.grid import make_grid, read_grid


def test_the_controls_and_the_benign_column_are_always_there() -> None:
    grid = make_grid(["aoa"], ["mix"])
    assert grid.rows() == ["revert", "none", "mix"]
    assert grid.attacks == ["aoa", "benign"]
    assert len(grid.cells()) == 2 * 3 * 3


def test_controls_given_by_name_are_not_doubled() -> None:
    assert make_grid(["aoa"], ["none", "mix", "mix", "revert"]) == make_grid(["aoa"], ["mix"])


def test_another_benign_attack_is_benign_column_enough() -> None:
    assert make_grid(["benign:n=50"], ["mix"]).attacks == ["benign:n=50"]


def test_sweeps_and_all_are_spelled_out() -> None:
    grid = make_grid(["harmful:n=10,50"], ["mix:n=0,10"], seeds=1)
    assert grid.attacks == ["harmful:n=10", "harmful:n=50", "benign"]
    assert grid.defenses == ["mix:n=0", "mix:n=10"]
    every = make_grid(["all"], ["all"])
    assert set(names("attacks")) - {"file", "visual"} == set(every.attacks)
    assert "mix" in every.defenses
    assert "none" not in every.defenses


def test_a_grid_is_read_back_from_its_file(tmp_path: Path) -> None:
    grid = make_grid(["aoa"], ["mix:n=3+revert"], seeds=2, limit=11)
    path = tmp_path / "run.yaml"
    path.write_text(grid.to_yaml())
    assert read_grid(path) == grid
    assert read_grid(path).digest == grid.digest


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected keys"),
        ("[1", "cannot read"),
        ("atacks: [aoa]", "Did you mean 'attacks'"),
        ("attacks: aoa\ndefenses: [mix]", "attacks='aoa': should be a valid list"),
        ("attacks: [1]\ndefenses: [mix]", r"attacks\.0=1: should be a valid string"),
        ("attacks: [aoa]\ndefenses:", "defenses=None: should be a valid list"),
        ("attacks: [aoa]\njudges:", "judges=None: should be a valid list"),
        ("attacks: [aoa]\njudges: [1]", r"judges\.0=1: should be a valid string"),
        ("attacks: [aoa]\njudges: oracle", "judges='oracle': should be a valid list"),
        ("attacks: [aoa]\ntarget: [1]", "target="),
        ("attacks: [aoa]\ndefenses: [mx]", "Did you mean 'mix'"),
        ("attacks: [aoa]\ndefenses: [mix]\nseeds: 0", "seeds"),
        ("attacks: [aoa]\ndefenses: [mix]\nlimit: many", "limit"),
    ],
)
def test_a_config_with_a_mistake_is_told_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=said) as caught:
        read_grid(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("attacks", "defenses", "said"),
    [
        (["aoa+benign"], ["mix"], "attacks are not composed"),
        (["aoa"], ["mix:order=interleaved+mix:order=interleaved"], "only one can"),
        (["aoa"], ["mix:n=1,ratio=2"], "not both"),
        (["aoa"], ["mix:n=-1"], "greater than or equal"),
    ],
)
def test_bad_grids_are_refused_before_anything_runs(
    attacks: list[str], defenses: list[str], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        make_grid(attacks, defenses)
