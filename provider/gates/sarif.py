"""Findings as SARIF, which code hosts show beside the lines of a file.

Source:   OASIS, Static Analysis Results Interchange Format (SARIF) 2.1.0.
Differs:  a finding has one place at most; no text of the file is in it (no snippets).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from provider.gates.found import Findings, Found

SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)


def document(findings: Findings) -> str:
    """A SARIF 2.1.0 log of one run, as JSON."""
    import sarif_pydantic as sarif

    rules = [
        sarif.ReportingDescriptor(
            id=name,
            short_description=sarif.Message(text=summary),
            default_configuration=sarif.ReportingConfiguration(level=level),
        )
        for name, (level, summary) in findings.rules.items()
    ]
    numbers = {name: i for i, name in enumerate(findings.rules)}
    driver = sarif.ToolDriver(name=findings.tool, version=findings.version, rules=rules)
    left_out = {rule: n for rule in findings.rules if (n := _left_out(findings, rule))}
    run = sarif.Run(
        tool=sarif.Tool(driver=driver),
        results=[_result(one, numbers[one.rule]) for one in findings.found],
        columnKind="unicodeCodePoints",
        artifacts=[sarif.Artifact(location=_artifact(name)) for name in findings.files],
        properties={"leftOut": left_out} if left_out else None,
    )
    log = sarif.Sarif.model_validate({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]})
    text: str = log.model_dump_json(by_alias=True, exclude_none=True, indent=2)
    return text + "\n"


def uri(name: str) -> str:
    """A file's name as a reference: relative as it was given, or absolute."""
    if name == "-":
        return "stdin"
    path = Path(name)
    named = quote(os.fsencode(path.as_posix()))
    return f"file://{named}" if path.is_absolute() else named


def _artifact(name: str) -> Any:
    import sarif_pydantic as sarif

    return sarif.ArtifactLocation(uri=uri(name))


def _result(one: Found, number: int) -> Any:
    import sarif_pydantic as sarif

    region = None
    if one.line is not None:
        region = sarif.Region(start_line=one.line, start_column=one.column)
    place = sarif.PhysicalLocation(artifact_location=_artifact(one.file), region=region)
    return sarif.Result(
        rule_id=one.rule,
        rule_index=number,
        level=sarif.Level(one.level),
        message=sarif.Message(text=one.message),
        locations=[sarif.Location(physical_location=place)],
    )


def _left_out(findings: Findings, rule: str) -> int:
    return findings.count(rule) - sum(one.rule == rule for one in findings.found)
