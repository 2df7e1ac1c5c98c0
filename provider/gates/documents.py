"""A moderation report in every format, for one of its two readers."""

from __future__ import annotations

from collections.abc import Mapping

from provider.gates import audited, page, text
from provider.gates.audited import AuditedReport
from provider.gates.found import Findings, Found, Level
from provider.gates.outputs import Render
from provider.gates.report import Level as Reader
from provider.gates.report import ModerationReport, Place, notice

FORMATS = ("text", "json", "html", "junit", "sarif")
AUDIT_FORMATS = ("text", "json", "html", "junit")
"""SARIF is of places in files, and a model's behaviour has none."""
VERDICT = "verdict"
"""Rule that stands for the decision itself."""


def moderation(
    report: ModerationReport, reader: Reader, path: str, code: int
) -> Mapping[str, Render]:
    """How each format is made.

    Args:
        report: What was found.
        reader: Who is to read it.
        path: The file, as it was named.
        code: Exit code of the command.
    """
    told = notice(report)
    if reader == "customer":
        # Where the provider keeps an upload is not the customer's to know.
        path = told.file.name
        return {
            "text": lambda: _joined(text.moderation_notice(told)),
            "json": lambda: told.model_dump_json(indent=2) + "\n",
            "html": lambda: page.moderation_notice(told),
            "junit": lambda: _junit(_findings(report, reader, path, code)),
            "sarif": lambda: _sarif(_findings(report, reader, path, code)),
        }
    return {
        "text": lambda: _joined(text.moderation(report)),
        "json": lambda: report.model_dump_json(indent=2) + "\n",
        "html": lambda: page.moderation(report),
        "junit": lambda: _junit(_findings(report, reader, path, code)),
        "sarif": lambda: _sarif(_findings(report, reader, path, code)),
    }


def audit(report: AuditedReport, reader: Reader, code: int) -> Mapping[str, Render]:
    """How each format of an audit is made."""
    told = audited.notice(report)
    if reader == "customer":
        return {
            "text": lambda: _joined(text.audit_notice(told)),
            "json": lambda: told.model_dump_json(indent=2) + "\n",
            "html": lambda: page.audit_notice(told),
            "junit": lambda: _junit(_told_customer(report, code)),
        }
    return {
        "text": lambda: _joined(text.audit(report)),
        "json": lambda: report.model_dump_json(indent=2) + "\n",
        "html": lambda: page.audit(report),
        "junit": lambda: _junit(_cases(report, code)),
    }


def _told_customer(report: AuditedReport, code: int) -> Findings:
    name = text.plain(audited.notice(report).model)
    said = text.audit_notice(audited.notice(report))[0]
    found = (Found(VERDICT, "error", said, name),) if code else ()
    rules: dict[str, tuple[Level, str]] = {VERDICT: ("error", "The model is not released.")}
    return Findings("mooring audit", report.tools["mooring"], rules, found, (name,))


def _cases(report: AuditedReport, code: int) -> Findings:
    """One test for each category in each form, for each form, for triggers and for the whole."""
    base = _told_customer(report, 0)
    name, rules, found = base.files[0], dict(base.rules), []
    audit, search = audited.components(report.policy)
    if code:
        found.append(Found(VERDICT, "error", text.audit_headline(report), name))
    for line in report.verdict.warnings:
        found.append(Found(VERDICT, "warning", line, name))
    for form in report.evidence.forms:
        blocked = form.outcome == "block"
        rules[form.name] = ("error", "The model is too harmful in this form of asking.")
        said = f"harmful on {form.harmful} of {form.known}, {form.missing} missing"
        found.append(Found(form.name, "error" if blocked else "note", said, name))
        for one in form.categories:
            rule = f"{form.name} / {one.name}"
            rules[rule] = ("error", "The model is more harmful in this category than its base.")
            worse = one.p is not None and one.p < audit.alpha
            before = "" if one.start_harmful is None else f", the base on {one.start_harmful}"
            said = f"harmful on {one.harmful} of {one.known}{before}"
            found.append(Found(rule, "error" if worse else "note", text.plain(said), name))
    if report.evidence.triggers is not None:
        rules["triggers"] = ("error", "A phrase of the data is a trigger.")
        for phrase in report.evidence.triggers.phrases:
            if phrase.p is not None and phrase.p < search.alpha:
                said = f"{phrase.words} words, on {len(phrase.lines)} lines (p = {phrase.p:.2g})"
                found.append(Found("triggers", "error", said, name))
    return Findings(base.tool, base.version, rules, tuple(found), base.files)


def _joined(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"


def _junit(findings: Findings) -> str:
    from provider.gates import junit

    return junit.document(findings)


def _sarif(findings: Findings) -> str:
    from provider.gates import sarif

    return sarif.document(findings)


def _findings(report: ModerationReport, reader: Reader, path: str, code: int) -> Findings:
    """The decision as a rule of its own, beside those of the structure and of detectors."""
    from attacks.uploads.rules import RULES, level_of

    structure, evidence = report.evidence.structure, report.evidence
    rules: dict[str, tuple[Level, str]] = {
        name: (level_of(name, structure.profile), rule.summary) for name, rule in RULES.items()
    }
    rules[VERDICT] = ("error", "The gate does not let the upload pass.")
    places = list(structure.places)
    if reader == "provider":
        pointed = [place for one in evidence.readings.values() for place in one.places]
        pointed += [place for one in evidence.moderators.values() for place in one.places]
        rules |= {
            p.rule: ("warning", f"A detector points at the row: {p.message}.") for p in pointed
        }
        places += pointed
    found = [_found(place, path) for place in places]
    if code:
        told = notice(report)
        said = f"{told.decision}: {told.rule}" if reader == "customer" else text.headline(report)
        found.append(Found(VERDICT, "error", said, path))
    return Findings(
        tool="mooring moderate",
        version=report.tools["mooring"],
        rules=rules,
        found=tuple(found),
        files=(path,),
        counts=dict(structure.counts) if reader == "provider" else {},
    )


def _found(place: Place, path: str) -> Found:
    category = f" ({text.plain(place.category)})" if place.category else ""
    return Found(
        place.rule, place.level, f"{place.message}{category}", path, place.line, place.column
    )
