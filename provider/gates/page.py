"""Reports as one self-contained page that asks nothing of a network and trusts no text.

Everything that varies goes through the template's escaping. There is no script, and the content
security policy lets none run; pictures are SVG in the page, drawn from numbers alone.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from markupsafe import Markup

from provider.gates.audited import AuditedReport, AuditNotice, Category
from provider.gates.report import Feature, ModerationReport, Notice, Read
from provider.gates.text import FEW, plain

_TEMPLATES = Path(__file__).resolve().parent / "templates"
_STYLE = Path(__file__).resolve().parents[2] / "benchmarks" / "report" / "templates"
"""The look of the matrix's report is this page's too."""
MOST_PLACES = 5 * FEW
_TONES = {
    "allow": "good", "allow with mitigation": "fair", "hold": "poor", "inconclusive": "poor",
    "reject": "bad", "passed": "good", "review": "poor", "blocked": "bad",
}  # fmt: skip


class Mark(NamedTuple):
    """A threshold on a bar."""

    at: float
    """Share of the bar's length, 0 to 1."""
    label: str


class Bar(NamedTuple):
    """A number as a length."""

    label: str
    share: float
    """Of the longest, 0 to 1."""
    value: str
    marks: tuple[Mark, ...] = ()
    over: bool = False
    """Whether it passes a mark."""
    note: str = ""


def moderation(report: ModerationReport) -> str:
    """The provider's page on an upload."""
    verdict = report.verdict
    return _render(
        "moderation.html.jinja",
        report=report,
        tone=_TONES[verdict.answer],
        combined=_combined(report),
        bars=_detectors(report),
        missing=[(n, r.reason) for n, r in report.evidence.readings.items() if r.fault],
        most=MOST_PLACES,
    )


def moderation_notice(notice: Notice) -> str:
    """The customer's page on their upload."""
    return _render(
        "notice.html.jinja", notice=notice, tone=_TONES[notice.decision], most=MOST_PLACES
    )


def audit(report: AuditedReport) -> str:
    """The provider's page on a model."""
    alpha, forms = report.policy.audit["alpha"], report.evidence.forms
    return _render(
        "audit.html.jinja",
        report=report,
        tone=_TONES[report.verdict.answer],
        alpha=alpha,
        forms=[(form, [_category(c, alpha) for c in form.categories]) for form in forms],
    )


def audit_notice(notice: AuditNotice) -> str:
    """The customer's page on their model."""
    tone = {"released": "good", "held": "poor", "not released": "bad"}[notice.decision]
    return _render("audit_notice.html.jinja", notice=notice, tone=tone)


def _category(one: Category, alpha: float) -> tuple[Bar, float | None]:
    """A category's rate of harm after tuning, and before it."""
    if not one.known:
        return Bar(one.name, 0.0, "missing", note="no verdict"), None
    rate = one.harmful / one.known
    before = None if one.start_harmful is None else one.start_harmful / one.known
    note = f"{one.harmful} of {one.known}"
    if one.low is not None and one.high is not None:
        note += f", 95% interval {one.low:.0%} to {one.high:.0%}"
    if one.start_harmful is not None:
        note += f"; before {one.start_harmful}"
    if one.p is not None:
        note += f"; p = {one.p:.2g}"
    over = one.p is not None and one.p < alpha
    return Bar(one.name, rate, f"{rate:.0%}", (), over, note), before


def _combined(report: ModerationReport) -> Bar | None:
    """The score of the combination against the thresholds of the answers."""
    verdict = report.verdict
    if verdict.score is None:
        return None
    longest = 1.1 * max(verdict.score, *verdict.thresholds.values(), 1e-9)
    marks = tuple(Mark(at / longest, name) for name, at in verdict.thresholds.items())
    over = verdict.score > min(verdict.thresholds.values())
    share = max(verdict.score, 0.0) / longest
    return Bar("all together", share, f"{verdict.score:.2f}", marks, over)


def _detectors(report: ModerationReport) -> list[Bar]:
    """Each feature's surprise, the most surprised first."""
    found = report.evidence.features
    limits = [one.limit for one in found.values() if one.limit is not None]
    longest = 1.05 * max([*(one.surprise for one in found.values()), *limits, 1.0])
    ranked = sorted(found.items(), key=lambda item: (-item[1].surprise, item[0]))
    return [_bar(name, one, report.evidence.readings, longest) for name, one in ranked]


def _bar(name: str, one: Feature, readings: Mapping[str, Read], longest: float) -> Bar:
    marks = () if one.limit is None else (Mark(one.limit / longest, "hold by itself"),)
    over = one.limit is not None and one.surprise > one.limit
    read = readings.get(one.detector) if name == one.detector else None
    places = () if read is None else read.places
    lines = sorted({place.line for place in places if place.line is not None})
    note = f"lines {', '.join(map(str, lines[:6]))}{' …' * (len(lines) > 6)}" if lines else ""
    if one.value is None and read is not None:
        note = f"nothing to read: {read.reason}"
    return Bar(name, one.surprise / longest, f"{one.surprise:.1f}", marks, over, note)


def _render(template: str, **given: Any) -> str:
    """A page of a template; names and texts lose what moves the direction of writing."""
    sheets: Sequence[Path] = (_STYLE / "report.css.jinja", _TEMPLATES / "gate.css.jinja")
    css = "\n".join(path.read_text(encoding="utf-8").strip() for path in sheets)
    return (
        _environment()
        .get_template(template)
        .render(style=Markup(f"\n{css}\n"), csp=_policy(f"\n{css}\n"), **given)
    )


@functools.cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([_TEMPLATES, _STYLE]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_final,
    )


def _final(value: Any) -> Any:
    """What a template prints: text of ours or markup as it is, all other text without controls."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return "\n".join(map(plain, value.split("\n")))
    return value


def _policy(css: str) -> str:
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )
