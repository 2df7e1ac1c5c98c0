"""A moderation report in every format, for one of its two readers."""

from __future__ import annotations

from collections.abc import Mapping

from provider.gates import page, text
from provider.gates.found import Findings, Found, Level
from provider.gates.outputs import Render
from provider.gates.report import Level as Reader
from provider.gates.report import ModerationReport, Place, notice

FORMATS = ("text", "json", "html", "junit", "sarif")
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
