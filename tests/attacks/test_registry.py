"""The folder is the registry, and its errors say what to do."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from attacks.base import Attack, UserError
from attacks.registry import build, find, names, parameters
from attacks.spec import Part
from defenses.base import Defense
from eval.judges.base import Judge


def test_every_file_is_a_component() -> None:
    for package, kind in (("attacks", Attack), ("defenses", Defense), ("eval.judges", Judge)):
        assert names(package)
        for name in names(package):
            assert issubclass(find(package, kind, name), kind)


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (Part("ao", {}), "Did you mean 'aoa'"),
        (Part("aoa", {"epocs": "3"}), "Did you mean 'epochs'"),
        (Part("aoa", {"n": "0"}), "greater than or equal to 1"),
        (Part("aoa", {"n": "two"}), "n='two'"),
        (Part("aoa", {"learning_rate": "nan"}), "finite"),
        (Part("aoa", {"n": "1", "identity": "2"}), "identity=2 is more than"),
        (Part("aoa", {"": "5", "n": "6"}), "given twice"),
        (Part("repeated", {"n": "1000", "copies": "101"}), "101,000, and may be 100,000"),
        (Part("selected", {"n": "1000", "among": "101"}), "101,000, and may be 100,000"),
        (Part("none", {"": "5"}), "needs its parameter's name"),
        (Part("file", {}), "path"),
    ],
)
def test_mistakes_are_told_in_one_line(part: Part, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        build("attacks", Attack, part)
    assert "\n" not in str(caught.value)


def test_parameters_are_typed_from_text() -> None:
    attack = build("attacks", Attack, Part("aoa", {"": "12", "epochs": "none", "tuning": "lora"}))
    assert parameters(attack) | {"n": 12, "epochs": None, "tuning": "lora"} == parameters(attack)


def test_a_file_of_the_users_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        textwrap.dedent(
            '''
            """Mine."""
            from attacks.base import component
            from defenses.base import Defense

            @component
            class Mine(Defense):
                """Does nothing."""

                x: int = 1
                """ours: any."""
            '''
        )
    )
    mine = build("defenses", Defense, Part(str(path), {"x": "7"}))
    assert parameters(mine) == {"x": 7}


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "found 0"), ("import nowhere_at_all", "ModuleNotFoundError"), ("x = (", "SyntaxError")],
)
def test_a_file_without_a_component(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "bad.py"
    path.write_text(text)
    with pytest.raises(UserError, match=said):
        find("defenses", Defense, str(path))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("class Mine(Attack):\n    def upload(self, source, seed): ...", "write @component"),
        ("@dataclass\nclass Mine(Attack):\n    def upload(self, source, seed): ...", "@component"),
        ("class Mine(Tuned):\n    def upload(self, source, seed): ...", "write @component"),
        ("@component\nclass Mine(Attack):\n    x: int = 1", "Mine lacks asks, upload"),
    ],
)
def test_a_component_that_is_not_finished(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "mine.py"
    head = "from dataclasses import dataclass\nfrom attacks.base import Attack, Tuned, component\n"
    path.write_text(head + text)
    with pytest.raises(UserError, match=said):
        build("attacks", Attack, Part(str(path), {}))


def test_no_such_file() -> None:
    with pytest.raises(UserError, match="no file"):
        find("defenses", Defense, "./nowhere.py")
