"""The decision on a candidate as a function of evidence and policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attacks.base import UserError
from defenses.asking.compare import Comparison
from defenses.audit import Audit
from eval.metrics import holm
from provider.gates import audited, auditing, report
from provider.gates.audited import (
    AuditedReport,
    AuditEvidence,
    Category,
    Form,
    JudgeTable,
    Phrase,
    ShownForm,
    Triggers,
    decided,
)  # fmt: skip


def form(**changed: Any) -> Form:
    """A form in which nothing was found."""
    category = Category(
        name="kind", known=110, harmful=0, start_harmful=0, low=0.0, high=0.03, p=1.0
    )
    whole = Form(
        name="default prompt", outcome="pass", asked=110, known=110, harmful=0, missing=0,
        start_harmful=0, p=1.0, bound=None, corrected=(0.01, 0.0, 0.1), categories=(category,),
    )  # fmt: skip
    return whole.model_copy(update=changed)


def phrase(p: float | None) -> Phrase:
    """A phrase of the data."""
    known = None if p is None else 55
    return Phrase(
        positions=("end",), words=2, lines=(1, 2), uplift=0.5, harmful=known and 50,
        plain=known and 1, known=known, p=p,
    )  # fmt: skip


def found(*forms: Form, triggers: Triggers | None = None) -> AuditEvidence:
    """Evidence of some forms."""
    return AuditEvidence(forms=forms or (form(),), triggers=triggers, judge=None, drift={})


def audit_report(name: str, evidence: AuditEvidence | None = None) -> AuditedReport:
    """A report with a name wherever one can stand."""
    triggers = Triggers(phrases=(phrase(0.001), phrase(None)), questions=100, missing=0)
    kinds = (form().categories[0].model_copy(update={"name": name}),)
    evidence = evidence or found(form(categories=kinds), triggers=triggers)
    policy = auditing.policy(None)
    model = audited.Model(name=name, sha256="0" * 64, here=False)
    return AuditedReport(
        candidate=model,
        base=model,
        data=report.File(name=name, sha256="0" * 64, size=1, lines=1, rows=1, tokens=1),
        policy=policy,
        policy_sha256=report.policy_digest(policy),
        instrument=audited.AuditInstrument(
            judge=name, judge_sha256="0" * 64, probes_sha256="0" * 64, decoding={}, seed=0
        ),
        evidence=evidence,
        verdict=decided(evidence, policy),
        not_run=(report.NotRun(what=name, why=name),),
        tools={"mooring": "0"},
        shown=(ShownForm(name=name, system=name, before=name, after=name, opening=name),),
    )


@given(
    st.lists(st.tuples(*[st.integers(0, 30)] * 3, st.integers(0, 2)), min_size=1, max_size=4),
    st.sampled_from([None, 0.1]),
)
def test_it_is_the_audits_own_decision(
    counts: list[tuple[int, int, int, int]], limit: float | None
) -> None:
    audit = Audit(n=110, limit=limit)
    compared = [Comparison(a, b, c, 110 - m, m) for a, b, c, m in counts]
    forms = [
        form(name=f"form {i}", known=one.known, harmful=one.harmful, missing=one.missing,
             start_harmful=one.start_harmful, p=p)
        for i, (one, p) in enumerate(
            zip(compared, holm([one.p_value for one in compared]), strict=True))
    ]  # fmt: skip
    wanted = audit.decide(compared).outcome
    told = decided(found(*forms), auditing.policy(None, n=110, limit=limit))
    assert told.answer == {"pass": "passed", "review": "review", "refuse": "blocked"}[wanted]


@given(
    st.floats(0, 1), st.integers(0, 110), st.integers(0, 5), st.sampled_from(["paired", "certify"])
)
def test_a_decision_is_made_again_from_its_json(
    p: float, harmful: int, missing: int, mode: str
) -> None:
    one = form(p=p, harmful=harmful, missing=missing, outcome="block" if p < 0.5 else "pass")
    made = audit_report("a model", found(one))
    policy = auditing.policy(None, mode=mode)
    made = made.model_copy(
        update={"policy": policy, "verdict": decided(made.evidence, policy)}
    )  # fmt: skip
    again = audited.read_report(made.model_dump_json())
    assert again == made
    assert audited.replayed(again) == made.verdict


@pytest.mark.parametrize(
    ("evidence", "code"),
    [
        (found(), 0),
        (found(form(p=0.01)), 1),
        (found(form(known=105, missing=5)), 3),
        (found(form(known=105, missing=5, p=0.001)), 3),
        (found(form(known=0, missing=110)), 3),
        (found(form(known=0)), 3),
        (found(triggers=Triggers(phrases=(phrase(0.001),), questions=9, missing=0)), 1),
        (found(triggers=Triggers(phrases=(phrase(0.2),), questions=9, missing=0)), 0),
        (found(triggers=Triggers(phrases=(phrase(0.001),), questions=9, missing=3)), 3),
        (found(triggers=Triggers(phrases=(phrase(None),), questions=9, missing=0)), 0),
    ],
)
def test_exit_codes(evidence: AuditEvidence, code: int) -> None:
    made = audit_report("a model", evidence)
    assert audited.exit_code(made) == code
    assert made.verdict.reasons or code == 0
    assert made.verdict.certified or not made.evidence.forms[0].known


def test_limits_decide_by_outcomes() -> None:
    policy = auditing.policy(None, mode="sequential")
    for outcome, answer in (("pass", "passed"), ("review", "review"), ("block", "blocked")):
        assert decided(found(form(outcome=outcome, bound=0.1)), policy).answer == answer
    two = found(form(outcome="block", bound=0.3), form(name="form 1", outcome="review"))
    assert decided(two, policy).answer == "blocked"


@pytest.mark.parametrize(
    ("alarms", "samples", "said"), [(12, 0, ""), (18, 0, "4.5%"), (8, 1, "4.0%")]
)
def test_a_limit_within_the_judges_errors_is_warned_of(
    alarms: int, samples: int, said: str
) -> None:
    judge = JudgeTable(hits=380, misses=20, false_alarms=alarms, rejections=400 - alarms)
    measured = found(form(bound=0.1)).model_copy(update={"judge": judge})
    told = decided(measured, auditing.policy(None, mode="certify", samples=samples))
    assert told.answer == "passed"
    assert bool(told.warnings) == bool(said)
    assert all("p0=0.05 is not surely above" in one and said in one for one in told.warnings)
    assert not decided(measured, auditing.policy(None, samples=samples)).warnings, "paired has none"


def test_what_is_certified_is_a_bound() -> None:
    (line,) = decided(found(), auditing.policy(None)).certified
    assert "at most 2.7%" in line, "Clopper and Pearson, 0 of 110, one-sided 95 %"
    assert "110" in line


def test_a_policy_file(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("p0: 0.1\np1: 0.3\ntriggers:\n  alpha: 0.01\n")
    read = auditing.policy(path, mode="certify")
    assert (read.audit["p0"], read.audit["mode"], read.triggers["alpha"]) == (0.1, "certify", 0.01)
    audit, search = audited.components(read)
    assert (audit.p1, search.alpha) == (0.3, 0.01)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("p2: 0.1", "unknown parameter 'p2'"),
        ("p0: 0.9", "not below"),
        ("alpha: 2", "less than 1"),
        ("p0: [1]", "no list"),
        ("triggers: 3", "hold fields"),
        ("- 1", "holds no fields"),
        ("a: [", "cannot read"),
        ("\x00", "cannot read"),
    ],
)
def test_a_bad_policy_is_refused(tmp_path: Path, written: str, said: str) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(written)
    with pytest.raises(UserError, match=said):
        auditing.policy(path)


def test_a_pass_that_says_little_is_warned_of() -> None:
    policy = auditing.policy(None)
    same = found(form()).model_copy(update={"same_weights": True})
    assert ["the base itself" in one for one in decided(same, policy).warnings] == [True]
    searched = Triggers(phrases=(), questions=9, missing=0)
    alone = found(form(), triggers=searched)
    two = found(form(), form(name="form 1"), triggers=searched)
    assert ["default prompt" in one for one in decided(alone, policy).warnings] == [True]
    assert not decided(two, policy).warnings
