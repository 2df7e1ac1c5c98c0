"""Findings as JUnit XML, which any continuous integration shows.

A rule is a test: it fails where it was broken at a level that fails, and passes with what was
found in its output otherwise.

Source:   the format of Ant's JUnit task, as `junitparser` writes it; there is no standard.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from provider.gates.found import Findings, Found, Level

MOST_TOLD = 20
"""Places listed of one rule. # ours: a screen"""
FAILING: tuple[Level, ...] = ("error",)
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def document(findings: Findings, failing: Collection[Level] = FAILING) -> str:
    """A test suite in which a rule is a test, as XML."""
    import junitparser

    suite = junitparser.TestSuite(findings.tool)
    broken: dict[str, list[Found]] = {}
    for one in findings.found:
        broken.setdefault(one.rule, []).append(one)
    for name, (_, summary) in findings.rules.items():
        case = junitparser.TestCase(_plain(name), classname=findings.tool, time=0)
        if found := broken.get(name):
            said = _plain(f"{summary} Found: {findings.count(name)}.")
            if any(one.level in failing for one in found):
                failure = junitparser.Failure(said, found[0].level)
                failure.text = _told(findings, name, found)
                case.result = [failure]
            else:
                case.system_out = f"{found[0].level}: {said}\n{_told(findings, name, found)}"
        suite.add_testcase(case)
    xml = junitparser.JUnitXml()
    xml.add_testsuite(suite)
    written = xml.tostring()  # type: ignore[no-untyped-call]
    text: str = written.decode() if isinstance(written, bytes) else written
    return text.rstrip("\n") + "\n"


def _plain(text: str) -> str:
    """What XML can hold of a text: a name may have any character."""
    return _NOT_XML.sub("?", text)


def _told(findings: Findings, name: str, found: list[Found]) -> str:
    told = [_plain(_place(one)) for one in found[:MOST_TOLD]]
    more = findings.count(name) - len(told)
    return "\n".join([*told, f"and {more} more"] if more else told)


def _place(one: Found) -> str:
    where = ":".join(str(part) for part in (one.file, one.line, one.column) if part is not None)
    return f"{where}: {one.message}"
