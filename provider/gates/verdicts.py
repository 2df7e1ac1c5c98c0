"""From evidence and a policy to a decision, and from a decision to an exit code. Pure.

Nothing here reads a clock, a file or a model, so that whoever has the report can decide again.
"""

from __future__ import annotations

from typing import Any, Literal

from attacks.base import UserError
from defenses.gates.gate import Gate, Policy
from provider.gates.report import Evidence, ModerationReport, Verdict

FailOn = Literal["reject", "hold", "mitigate"]
PASSED, FAILED, USAGE, REVIEW, INFRASTRUCTURE = range(5)


def moderated(evidence: Evidence, policy: Policy) -> Verdict:
    """The decision on an upload.

    Raises:
        UserError: too few uploads are behind the gate for the policy's rates.
    """
    if errors := evidence.structure.errors:
        reason = f"the file has {errors} error{'s' * (errors > 1)} of structure"
        advice = ("repair the lines that are named, and upload the file again",)
        return Verdict(answer="reject", kind="structure", reasons=(reason,), advice=advice)
    if evidence.lacking:
        return Verdict(
            answer="inconclusive", kind="domain", reasons=(evidence.lacking,), advice=_ADVICE
        )
    if evidence.gate is None:
        reasons = ("nothing was read",)
        return Verdict(answer="inconclusive", kind="not read", reasons=reasons, advice=_AGAIN)
    scores = {name: one.value for name, one in evidence.features.items()}
    gate = evidence.gate
    found = gate.decide_by(evidence.by, scores, policy)
    if found.answer == "inconclusive":
        whys = [f"{name}: {read.reason}" for name, read in evidence.readings.items() if read.fault]
        return Verdict(
            answer="inconclusive", kind="not read", reasons=(*found.reasons, *whys), advice=_AGAIN
        )
    mitigated = found.answer == "allow with mitigation"
    return Verdict(
        answer=found.answer,
        kind=None if found.answer == "allow" else "content",
        score=found.score,
        nominal=found.nominal,
        thresholds=thresholds(gate, evidence.by, policy),
        reasons=found.reasons,
        mitigation=policy.mitigation if mitigated else "",
    )


def thresholds(gate: Gate, by: str, policy: Policy) -> dict[str, float]:
    """The combined score that each answer begins above."""
    rates = {"mitigate": policy.mitigate, "hold": policy.hold, "reject": policy.reject}
    return {answer: gate.threshold(by, rate) for answer, rate in rates.items()}


def replayed(report: ModerationReport, policy: Policy | None = None) -> Verdict:
    """The decision made again from a report, by its own policy or another."""
    return moderated(report.evidence, policy or report.policy)


def exit_code(report: ModerationReport, fail_on: FailOn = "reject", strict: bool = False) -> int:
    """The status of a process that found this.

    A gate that could not run never passes: what a server or the disk kept from being read is
    told apart (4), and so is what nobody can decide (3), a moderator that failed included.
    """
    answer = report.verdict.answer
    if answer == "reject":
        return FAILED
    if report.faulty:
        return INFRASTRUCTURE
    if answer == "hold":
        return REVIEW if fail_on == "reject" else FAILED
    if answer == "inconclusive":
        return FAILED if strict else REVIEW
    if answer == "allow with mitigation" and fail_on == "mitigate":
        return FAILED
    if report.broken:
        return FAILED if strict else REVIEW
    return FAILED if strict and report.warned else PASSED


def read_report(data: bytes | str) -> ModerationReport:
    """A report from its JSON.

    Raises:
        UserError: it is none of this version.
    """
    import pydantic

    try:
        return ModerationReport.model_validate_json(data)
    except pydantic.ValidationError as error:
        first: Any = error.errors(include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"no report of this version: {where}: {first['msg']}") from error


_ADVICE = (
    "mooring gates fit --corpus DIR   fits a gate on your own past uploads",
    "--moderator guard:model=FOLDER   adds a guard model that needs no domain",
    "--by DETECTOR                    decides by one detector that the gate has fitted",
)
_AGAIN = (
    "run the same command again: what was read is kept",
    "--by tests                       decides by the detectors that ask no model",
)
