from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from attacks.base import Upload, UserError
from defenses import compose
from defenses.base import Decision, Provider
from defenses.detectors.size import Size
from defenses.gates.domain import Domain
from defenses.gates.fit import Sample, fitted
from defenses.mix import Mix
from defenses.none import NoDefense
from defenses.screen import Screen

MODEL = "the tiny one"


@pytest.fixture(scope="module")
def gate(make_upload: Callable[..., Upload], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fitted on sizes alone: the smallest benign uploads have just below 6 rows."""
    rows = [10 ** (0.77 + at / 200) for at in range(400)]
    splits: tuple[Literal["fit", "threshold"], ...] = ("fit", "threshold")
    samples = [Sample(split, "", {"size": -math.log10(n)}) for split in splits for n in rows]
    domain = Domain.of([make_upload(6)], [make_upload(6)])
    made = fitted(samples, {"size": Size()}, domain, corpus="0" * 64, about="", target=MODEL)
    path = tmp_path_factory.mktemp("gate") / "gate.json"
    path.write_text(made.model_dump_json())
    return path


@pytest.fixture(scope="module")
def served(provider: Provider) -> Provider:
    """The provider of the model that the gate was fitted with."""
    return dataclasses.replace(provider, model=MODEL)


@pytest.mark.parametrize(
    ("rows", "outcome"), [(5, "refuse"), (6, "review"), (7, "pass"), (100, "pass")]
)
def test_an_outcome_for_each_answer(
    rows: int, outcome: str, gate: Path, served: Provider, make_upload: Callable[..., Upload]
) -> None:
    decision = Screen(gate=gate).screen(make_upload(rows), served)
    assert decision.outcome == outcome
    assert decision.keep is None
    assert decision.mitigation == ("mix" if rows == 7 else "")
    assert 0 < decision.evidence["nominal rate"] <= 1


def test_a_mitigation_is_what_is_trained_with(
    gate: Path, served: Provider, make_upload: Callable[..., Upload]
) -> None:
    upload = make_upload(7)
    screen = Screen(gate=gate, mitigation="mix:n=3")
    decision = screen.screen(upload, served)
    trained = compose.curated(decision, NoDefense(), upload, served)
    assert trained == Mix(n=3).curate(upload, served)
    assert compose.curated(Decision(), NoDefense(), upload, served) == upload


@pytest.mark.parametrize("mitigation", ["lisa", "audit", "none", "mix+lisa", "mix:n=1,2"])
def test_only_rows_and_settings_are_mitigated(mitigation: str, gate: Path) -> None:
    with pytest.raises(UserError, match="mitigation"):
        Screen(gate=gate, mitigation=mitigation)


def test_two_gates_demand_both_mitigations() -> None:
    joined = Decision(mitigation="mix").joined(Decision(mitigation="cap"))
    assert joined.mitigation == "mix+cap"


def test_a_gate_that_says_nothing_passes_nothing(provider: Provider, gate: Path) -> None:
    screen = Screen(gate=gate)
    assert screen.resolved() != Screen().resolved()
    with pytest.raises(UserError, match="it has all"):
        Screen(gate=gate, by="nonesuch")
    with pytest.raises(UserError, match="cannot read the gate"):
        Screen(gate=Path("absent.json"))
    with pytest.raises(UserError, match="rates from 0"):
        Screen(gate=gate, reject=0.0001)
