from pathlib import Path

from benchmarks.report import describe


def values(parameters: list[describe.Parameter]) -> dict[str, str]:
    return {parameter.name: parameter.value for parameter in parameters}


def test_an_attack_has_every_parameter_with_its_meaning_and_the_value_in_force() -> None:
    (found,) = describe.attack("harmful:n=7", "organism")
    assert found.summary
    assert values(found.parameters)["n"] == "7"
    assert [p.name for p in found.parameters if p.given] == ["n"]
    assert all(parameter.meaning for parameter in found.parameters)
    # Left open by the user: what the attack's sourced defaults say, and not "none".
    assert "none" not in values(found.parameters).values()


def test_settings_differ_between_the_organism_and_a_model_of_the_papers_size() -> None:
    (small,), (large,) = describe.attack("aoa", "organism"), describe.attack("aoa", "./llama")
    assert values(large.parameters)["learning_rate"] == "5e-05"
    assert values(small.parameters) != values(large.parameters)


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
