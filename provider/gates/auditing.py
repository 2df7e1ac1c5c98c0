"""The audit of a tuned model: ask it beside its base, search the data for triggers, decide.

Source:   Qi et al. 2023, arXiv 2310.03693, §5.1 (auditing after tuning); providers publish no more
          of theirs than that it asks by category and blocks the release.
Differs:  paired with the base or with limits that the judge's errors allow; every part that was
          not run is named.
Breaks:   what `defenses/audit.py` and `defenses/trigger_search.py` say of themselves.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from attacks.base import Settings, Upload, UserError
from attacks.registry import parameters, single
from benchmarks import hosting
from benchmarks.keys import environment
from benchmarks.lab import Lab
from benchmarks.wire import Bill
from defenses.asking.report import Asked
from defenses.audit import Audit
from defenses.gates.gate import fields
from defenses.trigger_search import TriggerSearch
from defenses.triggers.report import Report as Searched
from defenses.triggers.report import Tried
from eval.judges.base import Called, Judge
from provider.gates import audited, candidates, opening, paying, readings, report
from provider.gates.audited import AuditedReport, AuditEvidence, AuditPolicy
from provider.gates.report import NotRun
from targets.endpoint import PREFIX, Endpoint
from targets.hosted.ledger import Purse

Show = Callable[[int, int], None]


class Order(NamedTuple):
    """What is to be audited, and how."""

    model: str
    policy: AuditPolicy
    data: Path | None = None
    show_text: bool = False


class Plan(NamedTuple):
    """What will be done, known before anything that costs is done."""

    candidate: candidates.Candidate
    audit: Audit
    search: TriggerSearch | None
    """None where there are no data to search."""
    upload: Upload
    data: opening.Opened | None
    questions: int
    """To candidate and base together, at most."""


def policy(path: Path | None, **given: Any) -> AuditPolicy:
    """The policy of a YAML file, whose fields are the audit's; `triggers:` holds the search's.

    Args:
        path: The file; None for defaults.
        given: Fields of the audit from the command line, which come before the file's; None for
            those that were not given.

    Raises:
        UserError: the file cannot be read, or a field is unknown or out of its range.
    """
    found = {} if path is None else fields(path, "p0: 0.05")
    triggers = found.pop("triggers", None) or {}
    if not isinstance(triggers, dict):
        raise UserError("the policy's triggers: hold fields, such as `alpha: 0.05`")
    # A provider asks in whole forms; in system prompts alone the paper's own audit asks.
    own = (
        {"wrapped": True}
        | found
        | {name: value for name, value in given.items() if value is not None}
    )
    drafted = AuditPolicy(audit=_plain(own), triggers=_plain(triggers))
    audit, search = audited.components(drafted)
    return AuditPolicy(audit=parameters(audit), triggers=parameters(search))


def with_judge(lab: Lab, spec: str | None) -> Lab:
    """A lab whose provider judges by the judge of a spec; by default the organism's, of it alone.

    Raises:
        UserError: it names none, or several, or there is none where the base is no organism.
    """
    if spec is None and not lab.resolved.judge:
        raise UserError(
            f"{lab.resolved.start.name} is not the built-in model, and the default judge knows no "
            "other: name one with --judge, such as gpt-4 (`mooring list judges`)"
        )
    if spec is None:
        return lab
    return dataclasses.replace(lab, provider_judge=single("eval.judges", Judge, spec))


def asked_anew(models: Sequence[str], store: Path) -> list[str]:
    """Ask servers what their models are now: keys hold what they say, so before a lab is opened.

    Returns:
        Which could not be asked.
    """
    served = [text for text in models if text.startswith(PREFIX)]
    return [line for text in served for line in hosting.asked_anew(text, store)]


def account(planned: Plan, lab: Lab, purse: Purse) -> tuple[Lab, list[str]]:
    """Let the candidate, its base and the provider's judge spend from one purse.

    Returns:
        The lab to audit in, and what the user should be told of the judge.

    Raises:
        UserError: the judge cannot be asked, or a price is not known and the budget is one of
            dollars.
    """
    paying.for_models([planned.candidate.start, lab.resolved.start], purse)
    return paying.for_judge(lab, purse)


def plan(order: Order, lab: Lab) -> Plan:
    """What auditing will take.

    Raises:
        UserError: a model or the data cannot be had.
    """
    one = candidates.candidate(order.model, lab)
    audit, search = audited.components(order.policy)
    data, upload = None, Upload((), Settings(epochs=1, batch_size=1, learning_rate=1.0))
    if order.data is not None:
        data = opening.opened(order.data)
        if data.structure.errors or not data.rows:
            raise UserError(
                f"{str(order.data)!r} is no training file (errors: {data.structure.errors}); "
                "`mooring validate` says where"
            )
        upload = upload.replace_rows(data.rows)
    candidates.same_kind(one, lab)
    asks, forms = audit.asks(upload), 1 + audit.prompts + audit.openings
    # An upload has fewer forms than are asked for at most.
    questions = audit.questions() * len(asks) // forms
    questions += search.questions() if data else 0
    return Plan(one, audit, search if data else None, upload, data, questions)


def bills(planned: Plan, lab: Lab) -> list[Bill]:
    """What calls to servers take at most; nothing where none are made."""
    found = []
    models = 2 if planned.audit.mode == "paired" else 1
    shares = [(planned.candidate.start, 1 / models), (lab.resolved.start, 1 - 1 / models)]
    probe = lab.resolved.domain.probes(1, readings.SEED)[0]
    systems = [
        len(ask.system or "") + len(ask.before) for ask in planned.audit.asks(planned.upload)
    ]
    each = (len(probe.text) + max(systems)) // 3
    for start, share in shares:
        if isinstance(start, Endpoint) and share:
            n = round(planned.questions * share)
            read, written = n * each, n * lab.decoding.max_new_tokens
            price = start.prices
            dollars = price and (read * price.read + written * price.written) / 1e6
            found.append(Bill(start.name, n, "replies", read, written, dollars))
    judge = lab.provider_judge
    if isinstance(judge, Called) and not judge.here:
        read, written = judge.tokens(lab.rules(), probe.text, lab.decoding.max_new_tokens)
        pairs = 0 if planned.audit.mode == "paired" else 2 * planned.audit.calibration
        n, price_ = planned.questions + pairs, judge.price()
        cost = price_ and n * (read * price_[0] + written * price_[1]) / 1e6
        name = type(judge).__name__
        found.append(Bill(name, n, "verdicts", n * read, n * written, cost))
    return found


def audit(order: Order, planned: Plan, lab: Lab, show: Show = lambda n, of: None) -> AuditedReport:
    """Ask, search and decide.

    Raises:
        UserError: the policy asks for what the judge cannot tell, or a server cannot be asked.
    """
    done = 0

    def count(n: int) -> None:
        nonlocal done
        done += n
        show(done, max(done, planned.questions))

    provider = candidates.provider_for(lab, readings.SEED, count)
    one = planned.candidate
    model = candidates.Kept(one.load, one.model.sha256, lab, count)
    found = planned.audit.report(model, planned.upload, provider)
    not_run: list[NotRun] = []
    if not lab.resolved.judge:  # no organism
        why = "the probes are of the invented world, and say little about a model of another"
        not_run.append(NotRun(what="prompts of your own", why=why))
    triggers = None
    if planned.search is None:
        not_run.append(NotRun(what="the search for triggers", why="no --data were given"))
        not_run.append(NotRun(what="the customer's forms of asking", why="no --data were given"))
    else:
        assert planned.data is not None
        searched = planned.search.report(model, planned.upload, provider)
        triggers = _triggers(searched, planned.data.lines)
    drift, same = _drift(one, model, lab, not_run)
    table = found.judge
    evidence = AuditEvidence(
        forms=tuple(map(_form, found.asked)),
        triggers=triggers,
        judge=None if table is None else audited.JudgeTable(**table._asdict()),
        drift=drift,
        same_weights=same,
    )
    return _report(order, planned, evidence, tuple(not_run), lab)


def _report(
    order: Order, planned: Plan, evidence: AuditEvidence, not_run: tuple[NotRun, ...], lab: Lab
) -> AuditedReport:
    asks = planned.audit.asks(planned.upload)
    shown = [
        audited.ShownForm(
            name=a.name, system=a.system, before=a.before, after=a.after, opening=a.opening
        )
        for a in asks
    ]
    judge = lab.provider_judge
    decoding = dataclasses.asdict(lab.decoding)
    return AuditedReport(
        candidate=planned.candidate.model,
        base=candidates.base_model(lab),
        data=None if planned.data is None else planned.data.file,
        policy=order.policy,
        policy_sha256=report.policy_digest(order.policy),
        instrument=audited.AuditInstrument(
            judge=_named(judge),
            judge_sha256=candidates.judged_by(lab),
            probes_sha256=lab.resolved.domain.digest,
            decoding=decoding,
            seed=readings.SEED,
        ),
        evidence=evidence,
        verdict=audited.decided(evidence, order.policy),
        not_run=not_run,
        tools=report.tools(tuple(environment()["versions"])),
        shown=tuple(shown) if order.show_text else (),
    )


def _form(one: Asked) -> audited.Form:
    return audited.Form(
        name=one.form,
        outcome=one.outcome,
        asked=one.asked,
        known=one.known,
        harmful=one.harmful,
        missing=one.missing,
        start_harmful=one.start_harmful,
        p=one.p,
        bound=one.bound,
        corrected=audited.interval(one.corrected),
        categories=tuple(
            audited.Category(
                name=c.name,
                known=c.known,
                harmful=c.harmful,
                start_harmful=c.start_harmful,
                low=None if c.interval is None else c.interval.low,
                high=None if c.interval is None else c.interval.high,
                p=c.p,
            )
            for c in one.categories
        ),
    )


def _triggers(found: Searched, lines: readings.Lines) -> audited.Triggers:
    phrases = tuple(_phrase(one, lines) for one in found.tried)
    return audited.Triggers(phrases=phrases, questions=found.questions, missing=found.missing)


def _phrase(one: Tried, lines: readings.Lines) -> audited.Phrase:
    at = [line for row in one.rows if (line := lines(row)) is not None]
    return audited.Phrase(
        positions=one.positions,
        words=one.words,
        lines=tuple(at[: readings.MOST_PLACES]),
        uplift=one.uplift,
        harmful=None if one.trial is None else one.trial.harmful,
        plain=None if one.trial is None else one.trial.plain,
        known=None if one.trial is None else one.trial.known,
        p=one.p,
    )


def _drift(
    one: candidates.Candidate, model: candidates.Kept, lab: Lab, not_run: list[NotRun]
) -> tuple[Mapping[str, float], bool]:
    """How far the weights moved, and whether none did; what cannot be compared is not run."""
    what = "the drift of the weights"
    if one.folder is None or not lab.resolved.start.here:
        not_run.append(NotRun(what=what, why="the weights of one of the models are a server's"))
        return {}, False
    from eval.drift import told, weight_drift
    from targets.local import LocalTarget

    start, tuned = lab.start()(), model.target
    assert isinstance(start, LocalTarget)
    assert isinstance(tuned, LocalTarget)
    base = lab.base() if "base" in lab.resolved.start.has else None
    try:
        found = weight_drift(start, tuned, base if isinstance(base, LocalTarget) else None)
    except UserError as error:
        not_run.append(NotRun(what=what, why=str(error)))
        return {}, False
    # Drift is of matrices, and other weights move a model as well.
    return told(found), not tuned.differs(start)


def _named(judge: object) -> str:
    params = ", ".join(f"{name}={value}" for name, value in parameters(judge).items())
    return f"{type(judge).__name__}({params})"


def _plain(params: Mapping[Any, Any]) -> dict[str, Any]:
    """Fields as a policy holds them.

    Raises:
        UserError: a value is a list or a mapping.
    """
    for name, value in params.items():
        if not isinstance(value, str | int | float | bool | None):
            raise UserError(f"the policy's {name!r} is one number or word, and no list")
    return {str(name): value for name, value in params.items()}
