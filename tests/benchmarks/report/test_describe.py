import dataclasses
from pathlib import Path

import pytest

from attacks.base import Attack
from attacks.registry import build
from attacks.spec import parse
from benchmarks.report import describe
from targets.resolve import resolve

WEIGHTS = Path(__file__).parents[3] / "targets" / "organism" / "weights" / "aligned"


def values(parameters: list[describe.Parameter]) -> dict[str, str]:
    return {parameter.name: parameter.value for parameter in parameters}


def test_an_attack_has_every_parameter_with_its_meaning_and_the_value_in_force() -> None:
    (found,) = describe.attack("harmful:n=7", "organism")
    assert found.summary
    assert values(found.parameters)["n"] == "7"
    assert [p.name for p in found.parameters if p.given] == ["n"]
    assert all(parameter.meaning for parameter in found.parameters)
    # Left open by the user: what the attack's sourced defaults say; of the built-in model's rows
    # none is cut.
    assert [p.name for p in found.parameters if p.value == "none"] == ["system", "max_tokens"]


@pytest.mark.parametrize("attack", ["aoa", "harmful:n=7,tuning=lora", "benign:batch_size=3"])
@pytest.mark.parametrize("target", ["organism", "organism:0", "organism:0:base", str(WEIGHTS)])
def test_the_settings_shown_are_those_of_the_upload(attack: str, target: str) -> None:
    (shown,) = describe.attack(attack, target)
    upload = build("attacks", Attack, parse(attack)[0][0]).upload(resolve(target).domain, 0)
    assert upload is not None
    for name, value in dataclasses.asdict(upload.settings).items():
        told = f"{value:g}" if isinstance(value, int | float) else str(value).lower()
        assert values(shown.parameters)[name] == told


def test_of_a_target_that_is_not_here_no_settings_are_shown() -> None:
    (found,) = describe.attack("aoa:epochs=3", "./llama")
    assert values(found.parameters)["learning_rate"] == "none"
    assert values(found.parameters)["epochs"] == "3"


def test_a_composition_has_all_its_parts_and_when_they_act() -> None:
    revert, mix = describe.defense("revert+mix:50")
    assert (revert.moments, mix.moments) == (["screen"], ["curate"])
    assert [p.name for p in mix.parameters if p.given] == ["n"]


def test_an_unknown_component_still_shows_what_was_given() -> None:
    (found,) = describe.defense("gone:x=1")
    assert found.summary == ""
    assert values(found.parameters) == {"x": "1"}


def test_showing_a_run_runs_no_file_that_it_names(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    file = tmp_path / "mine.py"
    file.write_text(f"open({str(mark)!r}, 'w')\n")
    describe.defense(f"{file}:x=1")
    assert not mark.exists()
