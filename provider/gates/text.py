"""Reports for a terminal: plain lines, in which no name or text can move the cursor."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping

from provider.gates.audited import AuditedReport, AuditNotice, Form
from provider.gates.audited import notice as audit_notice_of
from provider.gates.report import Feature, Level, ModerationReport, Notice, NotRun, Place
from provider.gates.report import notice as notice_of

FEW = 20
"""Places told in the terminal.  # ours: a screen; the JSON has all"""
_BAR = 24
_LINE_BREAKS = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


def plain(text: str) -> str:
    """A text in one line, its control and direction characters written out."""
    return "".join(
        _LINE_BREAKS.get(c) or f"\\u{ord(c):04x}"
        if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        else c
        for c in text
    )


def moderation(report: ModerationReport) -> list[str]:
    """The provider's report."""
    return [plain(line) for line in _moderation(report)]


def moderation_notice(notice: Notice) -> list[str]:
    """The customer's report."""
    return [plain(line) for line in _notice(notice)]


def headline(report: ModerationReport) -> str:
    """The decision in one line."""
    said = "; ".join(report.verdict.reasons)
    return plain(
        f"{report.verdict.answer.upper()}: {said}" if said else report.verdict.answer.upper()
    )


def told(report: ModerationReport, level: Level) -> str:
    """The decision in one line, for one of its readers."""
    return plain(next(_notice(notice_of(report)))) if level == "customer" else headline(report)


def _moderation(report: ModerationReport) -> Iterator[str]:
    verdict, file = report.verdict, report.file
    yield f"{verdict.answer.upper()}  {file.name}"
    yield f"  {file.rows:,} rows in {file.lines:,} lines, {file.size:,} bytes, sha256 {file.sha256}"
    if report.settings is not None:
        s = report.settings
        yield (f"  as if trained for {s.epochs} epochs, batches of {s.batch_size}, "
               f"learning rate {s.learning_rate:.3g}")  # fmt: skip
    if verdict.nominal is not None:
        yield f"  at most {verdict.nominal:.2%} of benign uploads score as high"
    yield from (f"  because: {reason}" for reason in verdict.reasons)
    if verdict.mitigation:
        yield f"  train with the defense {verdict.mitigation}"
    yield from (f"  {line}" for line in verdict.advice)
    yield from _structure(report)
    yield from _readings(report)
    yield from _moderators(report)
    yield from _not_run(report.not_run)
    yield from _shown(report)
    i = report.instrument
    yield f"read with {i.target} ({i.target_sha256[:12]}), gate {i.gate} ({i.gate_sha256[:12]})"


def _structure(report: ModerationReport) -> Iterator[str]:
    structure = report.evidence.structure
    numbers = {"error": structure.errors, "warning": structure.warnings, "note": structure.notes}
    yield "structure: " + ", ".join(f"{n} {what}{'s' * (n != 1)}" for what, n in numbers.items())
    yield from _places(structure.places, sum(structure.counts.values()))


def _readings(report: ModerationReport) -> Iterator[str]:
    found, read = report.evidence.features, report.evidence.readings
    if found:
        yield "detectors (surprise: minus the logarithm of the share of benign uploads as high):"
    width = max(map(len, [*found, *read]), default=0)
    for name, one in found.items():
        yield f"  {name:<{width}}  {_feature(one)}"
    for name, by in read.items():
        lines = sorted({place.line for place in by.places if place.line is not None})
        if lines:
            few = ", ".join(map(str, lines[:8]))
            yield f"  {name:<{width}}  points at lines {few}{' ...' * (len(lines) > 8)}"
        if by.reason:
            yield f"  {name:<{width}}  {_MISSING[by.fault]}: {by.reason}"


_MISSING = {
    "": "nothing to read",
    "needs": "not run",
    "detector": "missing",
    "infrastructure": "missing",
}


def _feature(one: Feature) -> str:
    filled = min(_BAR, round(one.surprise / 20 * _BAR))
    limit = "" if one.limit is None else f", holds above {one.limit:.1f} by itself"
    return f"{'#' * filled:.<{_BAR}} {one.surprise:5.1f}{limit}"


def _moderators(report: ModerationReport) -> Iterator[str]:
    for name, found in report.evidence.moderators.items():
        missing = f", {found.missing} missing" if found.missing else ""
        flagged = f"{found.flagged} of {found.rows} rows flagged"
        yield f"moderator {name}: {flagged}{missing} (it decides nothing)"
        if found.reason:
            yield f"  missing: {found.reason}"
        yield from _places(found.places, len(found.places))


def _not_run(parts: Iterable[NotRun]) -> Iterator[str]:
    by_why: dict[str, list[str]] = {}
    for part in parts:
        by_why.setdefault(part.why, []).append(part.what)
    for why, whats in by_why.items():
        yield f"not run: {', '.join(whats)}: {why}"


def _shown(report: ModerationReport) -> Iterator[str]:
    for row in report.shown:
        yield f"line {row.line}:"
        yield from (f"  {role}: {content}" for role, content in row.messages)


def _notice(notice: Notice) -> Iterator[str]:
    words: Mapping[str, str] = {
        "allow": "the upload is accepted",
        "allow with mitigation": "the upload is accepted, with the provider's mitigation",
        "hold": "a person must look at the upload before it is trained on",
        "reject": "the upload is not accepted",
    }
    yield f"{notice.file.name}: {words[notice.decision]}"
    yield f"  sha256 {notice.file.sha256}"
    if notice.rule:
        yield f"  because of {notice.rule}"
    yield from _places(notice.faults, len(notice.faults))


def _places(places: tuple[Place, ...], count: int) -> Iterator[str]:
    for place in places[:FEW]:
        at = "the file" if place.line is None else f"line {place.line}"
        at += f", column {place.column}" * (place.column is not None)
        category = f" ({place.category})" if place.category else ""
        score = "" if place.score is None else f" {place.score:.2f}"
        yield f"  {at}: {place.level}: {place.message}{category}{score} [{place.rule}]"
    if count > FEW:
        yield f"  and {count - FEW} more; --format json has them"


def audit(report: AuditedReport) -> list[str]:
    """The provider's report on a model."""
    return [plain(line) for line in _audit(report)]


def audit_notice(notice: AuditNotice) -> list[str]:
    """The customer's report on their model."""
    words = {
        "released": "the model is released",
        "held": "a person must look at the model before it is released",
        "not released": "the model is not released; it did not pass the provider's evaluation",
    }
    return [plain(f"{notice.model}: {words[notice.decision]}")]


def audit_headline(report: AuditedReport) -> str:
    """The decision in one line."""
    verdict = report.verdict
    return plain(": ".join(filter(None, (verdict.answer.upper(), "; ".join(verdict.reasons)))))


def told_audit(report: AuditedReport, level: Level) -> str:
    """The decision in one line, for one of its readers."""
    if level == "customer":
        return audit_notice(audit_notice_of(report))[0]
    return audit_headline(report)


def _audit(report: AuditedReport) -> Iterator[str]:
    verdict = report.verdict
    yield f"{verdict.answer.upper()}  {report.candidate.name}, tuned from {report.base.name}"
    yield from (f"  because: {reason}" for reason in verdict.reasons)
    yield from (f"  warning: {line}" for line in verdict.warnings)
    yield from (f"  {line}" for line in verdict.advice)
    yield "certified:"
    yield from (f"  {line}" for line in verdict.certified or ("nothing",))
    for form in report.evidence.forms:
        yield from _form(form)
    if report.evidence.drift:
        numbers = (f"{name} {value:.3g}" for name, value in report.evidence.drift.items())
        yield f"weights (evidence, no verdict): {', '.join(numbers)}"
    yield from _not_run(report.not_run)
    for ask in report.shown:
        yield f"{ask.name}: system {ask.system!r}, before {ask.before!r}, after {ask.after!r}"
    i = report.instrument
    yield f"judged by {i.judge}, policy {report.policy_sha256[:12]}, seed {i.seed}"


def _form(form: Form) -> Iterator[str]:
    beside = "" if form.start_harmful is None else f", the base on {form.start_harmful}"
    missing = f", {form.missing} verdicts missing" if form.missing else ""
    p = "" if form.p is None else f", p = {form.p:.2g}"
    yield f"{form.name}: harmful on {form.harmful} of {form.known}{beside}{missing}{p}"
    width = max((len(one.name) for one in form.categories), default=0)
    for one in form.categories:
        filled = round(_BAR * one.harmful / one.known) if one.known else 0
        before = "" if one.start_harmful is None else f" (base {one.start_harmful})"
        bar = f"{'#' * filled:.<{_BAR}}"
        yield f"  {one.name:<{width}}  {bar} {one.harmful} of {one.known}{before}"
