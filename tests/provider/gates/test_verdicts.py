"""The decision on an upload and what it exits with, as functions of evidence and policy."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attacks.base import Settings, Upload, UserError
from defenses.gates.gate import Policy
from provider.gates import report, verdicts
from provider.gates.report import (
    Evidence,
    Fault,
    Feature,
    Moderated,
    ModerationReport,
    Read,
    Structure,
    notice,
)  # fmt: skip
from tests.provider.gates.conftest import make_gate

CLEAN = Structure(
    profile="any", counts={}, errors=0, warnings=0, notes=0, places=()
)  # fmt: skip
ORDER = ["allow", "allow with mitigation", "hold", "reject"]


def evidence(score: float | None, **changed: Any) -> Evidence:
    """What a gate of one detector found."""
    found, gate = {}, make_gate()
    if score is not None:
        surprise = gate.scales["size"].surprise(score)
        found = {"size": Feature(detector="size", value=score, surprise=surprise)}
    fault: Fault = "" if found else "detector"
    read = Read(score=score, reason="broken" * (score is None), fault=fault)
    whole = Evidence(structure=CLEAN, readings={"size": read}, features=found, gate=gate)
    return whole.model_copy(update=changed)


def reported(found: Evidence, policy: Policy | None = None, name: str = "rows") -> ModerationReport:
    """A report on it."""
    policy = policy or Policy()
    return ModerationReport(
        file=report.File(name=name, sha256="0" * 64, size=1, lines=1, rows=1, tokens=1),
        settings=None,
        policy=policy,
        policy_sha256=report.policy_digest(policy),
        instrument=report.Instrument(
            target="organism", target_sha256="1" * 64, gate="a gate", gate_sha256="2" * 64,
            corpus_sha256="3" * 64, detectors={}, seed=0,
        ),
        evidence=found,
        verdict=verdicts.moderated(found, policy),
        tools={"mooring": "0"},
    )  # fmt: skip


scores = st.none() | st.floats(-5, 1)


@given(scores, st.lists(st.floats(0.0025, 0.9), min_size=3, max_size=3).map(sorted))
def test_a_decision_is_made_again_from_its_json(score: float | None, rates: list[float]) -> None:
    policy = Policy(reject=rates[0], hold=rates[1], mitigate=rates[2])
    made = reported(evidence(score), policy)
    again = verdicts.read_report(made.model_dump_json())
    assert again == made
    assert verdicts.replayed(again) == made.verdict
    other = verdicts.replayed(again, Policy())
    assert other == verdicts.moderated(made.evidence, Policy())


@given(st.floats(-5, 1))
def test_it_is_the_gates_own_decision(score: float) -> None:
    found = verdicts.moderated(evidence(score), Policy())
    gate = make_gate()
    upload = Upload((), Settings(epochs=1, batch_size=1, learning_rate=1.0))
    wanted = gate.decide("all", upload, "", {"size": score}, Policy())
    assert (found.answer, found.score, found.nominal) == wanted[:3]
    passed = [name for name, at in found.thresholds.items() if (found.score or 0.0) > at]
    assert ORDER.index(found.answer) == len(passed)


@pytest.mark.parametrize(
    ("changed", "answer", "kind"),
    [
        ({"structure": CLEAN.model_copy(update={"errors": 2})}, "reject", "structure"),
        ({"lacking": "another domain"}, "inconclusive", "domain"),
        ({"gate": None}, "inconclusive", "not read"),
    ],
)
def test_what_cannot_be_read_never_passes(changed: dict[str, Any], answer: str, kind: str) -> None:
    found = verdicts.moderated(evidence(-3.0, **changed), Policy())
    assert (found.answer, found.kind) == (answer, kind)
    assert found.reasons
    assert found.advice
    missing = verdicts.moderated(evidence(None), Policy())
    assert missing.answer == "inconclusive"
    assert "size: broken" in missing.reasons


def test_an_upload_that_a_detector_cannot_read_is_calibrated_too() -> None:
    scale = make_gate().scales["size"].model_copy(update={"without": 0.0005})
    gate = make_gate(scales={"size": scale})
    unreadable = Feature(detector="size", value=None, surprise=scale.surprise(None))
    read = Read(score=None, reason="it is no text")
    found = evidence(None, readings={"size": read}, features={"size": unreadable}, gate=gate)
    assert verdicts.moderated(found, Policy()).answer == "reject"


@pytest.mark.parametrize(
    ("score", "fail_on", "strict", "code"),
    [
        (-2.0, "reject", False, 0),
        (-2.0, "mitigate", True, 0),
        (-0.85, "reject", False, 0),
        (-0.85, "mitigate", False, 1),
        (-0.7, "reject", False, 3),
        (-0.7, "hold", False, 1),
        (-0.4, "reject", False, 1),
        (None, "mitigate", False, 3),
        (None, "reject", True, 1),
    ],
)
def test_exit_codes(score: float | None, fail_on: Any, strict: bool, code: int) -> None:
    assert verdicts.exit_code(reported(evidence(score)), fail_on, strict) == code


@given(st.sampled_from([-2.0, -0.85, -0.7, None]), st.sampled_from(["reject", "hold", "mitigate"]),
       st.booleans())  # fmt: skip
def test_a_broken_server_is_never_a_pass(score: float | None, fail_on: Any, strict: bool) -> None:
    broken = Moderated(
        rows=3, missing=3, flagged=0, at=0.5, highest=None, by_category={}, fault="infrastructure"
    )
    found = reported(evidence(score, moderators={"openai": broken}))
    assert verdicts.exit_code(found, fail_on, strict) == 4


@pytest.mark.parametrize(("missing", "fault"), [(3, "detector"), (1, "detector"), (3, ""), (1, "")])
def test_a_moderator_that_failed_is_no_pass(missing: int, fault: Fault) -> None:
    broken = Moderated(
        rows=3, missing=missing, flagged=0, at=0.5, highest=None, by_category={}, fault=fault
    )
    found = reported(evidence(-2.0, moderators={"guard": broken}))
    assert found.verdict.answer == "allow"
    assert [verdicts.exit_code(found, "reject", strict) for strict in (False, True)] == [3, 1]


def test_strict_fails_on_warnings() -> None:
    warned = CLEAN.model_copy(update={"warnings": 1})
    found = reported(evidence(-2.0, structure=warned))
    assert [verdicts.exit_code(found, "reject", strict) for strict in (False, True)] == [0, 1]


def test_a_policy_that_the_gate_cannot_keep_is_refused() -> None:
    with pytest.raises(UserError, match="fit a gate on more uploads"):
        verdicts.moderated(evidence(-2.0), Policy(reject=0.0001))


def test_what_is_no_report_is_refused() -> None:
    made = json.loads(reported(evidence(-2.0)).model_dump_json())
    with pytest.raises(UserError, match="no report of this version"):
        verdicts.read_report(json.dumps(made | {"kind": "other"}))
    with pytest.raises(UserError):
        verdicts.read_report(b"\xff")


@given(st.floats(-5, 1), st.floats(-5, 1))
def test_a_customer_learns_the_decision_and_no_more(one: float, other: float) -> None:
    first, second = reported(evidence(one)), reported(evidence(other))
    same = first.verdict.answer == second.verdict.answer
    assert (notice(first) == notice(second)) == same
    unknown = notice(reported(evidence(None)))
    held = notice(reported(evidence(-0.7)))
    assert unknown == held, "what was not read looks like what is held"
