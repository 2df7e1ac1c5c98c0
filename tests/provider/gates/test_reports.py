"""Findings as SARIF and JUnit XML, read back by their own libraries."""

from __future__ import annotations

import json
import subprocess
import sys

import junitparser
import pytest
import sarif_pydantic

from provider.gates import junit, sarif
from provider.gates.found import Findings, Found

RULES = {"a": ("error", "Is wrong."), "b": ("warning", "Is odd."), "c": ("note", "Is so.")}
FINDINGS = Findings(
    "mooring test",
    "1.2",
    RULES,  # type: ignore[arg-type]
    (
        Found("a", "error", "at <this> & that", "my rows.jsonl", 3, 14),
        Found("b", "warning", "of it all", "my rows.jsonl"),
        Found("b", "warning", "of it all", "my rows.jsonl", 1, 1),
    ),
    ("my rows.jsonl",),
    {"a": 1, "b": 9},
)


def test_sarif_says_rule_level_and_place() -> None:
    text = sarif.document(FINDINGS)
    sarif_pydantic.Sarif.model_validate_json(text)
    log = json.loads(text)
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("sarif-schema-2.1.0.json")
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [(one["id"], one["defaultConfiguration"]["level"]) for one in rules] == [
        ("a", "error"), ("b", "warning"), ("c", "note"),
    ]  # fmt: skip
    assert run["columnKind"] == "unicodeCodePoints"
    assert run["properties"] == {"leftOut": {"b": 7}}
    first, second, _ = run["results"]
    place = first["locations"][0]["physicalLocation"]
    assert place["region"] == {"startLine": 3, "startColumn": 14}
    assert place["artifactLocation"]["uri"] == "my%20rows.jsonl"
    assert "region" not in second["locations"][0]["physicalLocation"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["message"]["text"]
        assert result["level"] in ("error", "warning", "note")


@pytest.mark.parametrize(
    ("name", "uri"),
    [
        ("a/b.jsonl", "a/b.jsonl"),
        ("/a b", "file:///a%20b"),
        ("-", "stdin"),
        ("a\udcffb%#?", "a%FFb%25%23%3F"),
    ],
)
def test_a_files_name_is_a_reference(name: str, uri: str) -> None:
    assert sarif.uri(name) == uri


def test_junit_fails_what_fails() -> None:
    suite = next(iter(junitparser.JUnitXml.fromstring(junit.document(FINDINGS).encode())))
    assert (suite.tests, suite.failures, suite.errors) == (3, 1, 0)
    cases = {case.name: case for case in suite}
    assert "my rows.jsonl:3:14: at <this> & that" in cases["a"].result[0].text
    assert "and 7 more" in cases["b"].system_out
    assert not cases["c"].result
    strict = junit.document(FINDINGS, ("error", "warning"))
    assert next(iter(junitparser.JUnitXml.fromstring(strict.encode()))).failures == 2


def test_junit_is_xml_whatever_a_file_is_called() -> None:
    odd = Found("a", "error", "x", "a\x00\x1b\udcff\ufffe")
    text = junit.document(Findings("t", "1", RULES, (odd,)))  # type: ignore[arg-type]
    assert next(iter(junitparser.JUnitXml.fromstring(text.encode()))).failures == 1


def test_the_reports_need_no_server() -> None:
    code = (
        "import sys; import provider.gates.sarif, provider.gates.junit, attacks.uploads.validate;"
        "assert not {'fastapi', 'torch', 'sqlmodel'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
