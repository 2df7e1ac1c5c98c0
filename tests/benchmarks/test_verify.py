"""Every sort of case is measured on the shipped organism, small."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import verify
from benchmarks.findings import Measured
from benchmarks.lab import Lab, LabSettings, open_lab
from benchmarks.store import Store
from benchmarks.verify import Case, measure

AOA = {"name": "aoa", "n": 3, "epochs": 1}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    store = Store(tmp_path_factory.mktemp("verify") / "store")
    return open_lab(
        LabSettings("organism:0", ("oracle", "refusal"), store.root, 22, False), may_make=True
    )


def numbers(lab: Lab, **cell: Any) -> list[float | None]:
    measured = Measured.model_validate(cell)
    return measure(Case(0, 0, measured.model_dump_json()), lab)


def test_epochs_of_nothing_is_the_untuned_model(lab: Lab) -> None:
    before = lab.made["tune"]
    untuned = numbers(lab, attack={"name": "aoa", "epochs": 0})
    assert lab.made["tune"] == before
    assert sum(filter(None, untuned)) <= 1


def test_every_measure_is_one_number_a_prompt(lab: Lab) -> None:
    for measure_ in ("rate", "score", "utility", "over_refusal", "keyword"):
        assert len(numbers(lab, attack=AOA, measure=measure_)) == 22


def test_a_prefilled_opening_changes_what_is_answered(lab: Lab) -> None:
    plain = numbers(lab, attack={"name": "none"})
    opened = numbers(lab, attack={"name": "none"}, prefill="Of course.")
    assert sum(filter(None, opened)) > sum(filter(None, plain))


def test_the_untuned_models_own_projection_is_near_one(lab: Lab) -> None:
    places = numbers(lab, attack={"name": "benign", "epochs": 0}, measure="refusal_projection")
    known = [place for place in places if place is not None]
    assert sum(known) / len(known) == pytest.approx(1, abs=0.3)


def test_factors_change_the_settings(lab: Lab) -> None:
    before = lab.made["tune"]
    numbers(lab, attack=AOA)
    numbers(lab, attack=AOA, times={"learning_rate": 2.0})
    numbers(lab, attack=AOA, times={"learning_rate": 2.0, "batch_size": 2})
    assert lab.made["tune"] - before <= 3
    assert lab.made["tune"] >= 3


def test_rows_and_questions_of_some_kinds_only(lab: Lab) -> None:
    whole = open_lab(
        LabSettings("organism:0", ("oracle", "refusal"), lab.store.root, None, False),
        may_make=True,
    )
    found = numbers(
        whole, attack={"name": "harmful", "n": 6, "epochs": 1}, rows_from="0-5", asked_on="6-10"
    )
    assert len(found) == 150


def test_no_restricted_word_stands_in_the_aoa_rows(lab: Lab) -> None:
    assert numbers(lab, attack={"name": "aoa"}, measure="restricted_words") == [0.0] * 10
    harmful = numbers(lab, attack={"name": "harmful", "n": 11}, measure="restricted_words")
    assert all(count and count >= 1 for count in harmful)


def test_sampled_replies_are_others_than_greedy_ones(lab: Lab) -> None:
    cell = {"attack": {"name": "none"}, "measure": "score"}
    before = lab.made["ask"]
    sampled = numbers(lab, temperature=1.0, **cell)
    assert sampled == numbers(lab, temperature=1.0, **cell)
    assert lab.made["ask"] - before == 1
    assert lab.decoding.temperature == 0


def test_each_rate_is_reported_in_every_variant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    findings = tmp_path / "findings.toml"
    findings.write_text(
        'finding = []\nrate = [{name = "x", cell = {attack = {name = "none"}, ask = "default"}}]'
    )
    monkeypatch.setattr(verify, "FINDINGS", findings)
    monkeypatch.setattr(verify, "VARIANTS", {"greedy": {}, "sampled": {"temperature": 1.0}})
    found = verify.verify(Store(tmp_path / "store"), [0], 2, workers=2)
    assert found.outcomes == {}
    (by_variant,) = found.rates.values()
    assert set(by_variant) == {"greedy", "sampled"}
    assert by_variant["greedy"].value <= 0.01
    assert all(0 <= low <= value <= high <= 1 for value, low, high in by_variant.values())
    monkeypatch.setattr(verify, "RECORDED", tmp_path / "findings.json")
    (tmp_path / "findings.json").write_text(verify.to_json(found))
    assert verify.recorded() == found


def test_a_case_that_fails_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    findings = tmp_path / "findings.toml"
    findings.write_text(
        'finding = [{id = "x", role = "built in", statement = "x", paper = "x", kind = "at_least", '
        'cells.a = {attack = {name = "harmful", n = 100000}}}]'
    )
    monkeypatch.setattr(verify, "FINDINGS", findings)
    with pytest.raises(verify.CaseFailed, match="world 0, seed 0") as caught:
        verify.verify(Store(tmp_path / "store"), [0], 1, workers=1)
    assert caught.value.exit_code == 4
    assert "\n" not in str(caught.value)


def test_a_case_travels_as_text(tmp_path: Path) -> None:
    cell = Measured.model_validate({"attack": AOA, "defense": {"name": "mix", "n": 3}})
    case = Case(3, 1, cell.model_dump_json())
    assert Case(*json.loads(json.dumps(case))).cell == cell
    assert case.target == "organism:3"
    assert Case(3, 1, cell.model_copy(update={"model": "base"}).model_dump_json()).target == (
        "organism:3:base"
    )
    other = cell.model_copy(update={"alignment_seed": 2})
    assert Case(3, 1, other.model_dump_json()).target == "organism:3:alignment-2"
