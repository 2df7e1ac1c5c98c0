"""Pages and texts of both gates: whatever stands in a name or a row is shown as the text it is."""

from __future__ import annotations

import base64
import hashlib
import html
import html.parser
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provider.gates import audited, documents, text
from provider.gates.report import Feature, Moderated, Place, Read, ShownRow
from tests.provider.gates.test_audited import audit_report
from tests.provider.gates.test_verdicts import evidence, reported

HOSTILE = (
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</style><b>", "{{ 7 * 7 }}",
    "{% raw %}", "]]>", "&lt;", "\x1b[2J", "\u202e", "\x00", "]:[/bold", "%s %(x)s", "{0}",
    "<!--", "javascript:alert(1)", "\ud800",
)  # fmt: skip
hostile = st.lists(st.sampled_from(HOSTILE) | st.text(max_size=20), min_size=1).map("".join)


class Tags(html.parser.HTMLParser):
    """What a page is made of, and what it says."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.said: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))
        self.said += [value or "" for _, value in attrs]

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def moderation(name: str) -> Any:
    place = Place(line=3, rule="size/small", level="warning", message=name, category=name)
    read = Read(
        score=-0.85, evidence={"rows": 7.0}, places=(place,), reason=name, fault="infrastructure"
    )  # fmt: skip
    feature = Feature(detector="size", value=-0.85, surprise=3.0, limit=4.0)
    odd = Feature(detector=name, value=None, surprise=5.0, limit=4.0)
    rows = Moderated(
        rows=7, missing=1, flagged=1, at=0.5, highest=0.9, by_category={name: 1}, places=(place,),
        reason=name,
    )  # fmt: skip
    found = reported(
        evidence(-0.85, readings={"size": read}, features={name: odd, "size": feature},
                 moderators={name: rows}),
        name=name,
    )  # fmt: skip
    return found.model_copy(
        update={"shown": (ShownRow(line=3, messages=(("user", name), ("assistant", name))),)}
    )


def pages(name: str) -> dict[str, dict[str, str]]:
    """Every format of every reader of both gates, with a name wherever one can stand."""
    found = {}
    for reader in ("provider", "customer"):
        made = documents.moderation(moderation(name), reader, name, 1)  # type: ignore[arg-type]
        found[f"moderation {reader}"] = {kind: render() for kind, render in made.items()}
        made = documents.audit(audit_report(name), reader, 1)  # type: ignore[arg-type]
        found[f"audit {reader}"] = {kind: render() for kind, render in made.items()}
    return found


PLAIN = pages("a plain name")


@settings(max_examples=25)
@given(hostile.map(lambda text: text.encode("utf-8", "replace").decode() or "x"))
def test_no_text_becomes_markup(name: str) -> None:
    for which, made in pages(name).items():
        wanted = Tags(PLAIN[which]["html"])
        found = Tags(made["html"])
        assert found.tags == wanted.tags, which
        assert "script" not in {tag for tag, _ in found.tags}
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", made["html"])
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", made["text"])
        assert json.loads(made["json"])["version"]
        if "sarif" in made:
            json.loads(made["sarif"])


def test_nothing_of_a_network_is_asked_for() -> None:
    for made in PLAIN.values():
        page = html.unescape(made["html"])
        assert "default-src 'none'" in page
        assert "unsafe-inline" not in page
        (style,) = re.findall(r"<style>(.*?)</style>", made["html"], re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        assert f"style-src 'sha256-{digest}'" in page
        assert not re.search(r"(src|href)=\"(?!data:)", page)
        assert ' style="' not in page


def test_a_name_is_shown() -> None:
    name = "<b>rows & more</b>"
    for which, made in pages(name).items():
        assert name in " ".join(Tags(made["html"]).said), which
        assert name in made["text"], which


def test_a_customer_is_told_no_number_of_the_gate() -> None:
    made = PLAIN["moderation customer"]
    for kind, document in made.items():
        for word in ("size", "surprise", "threshold", "nominal", "a plain name/", "0.85", "3.0"):
            bare = re.sub(r"<style>.*?</style>", "", document, flags=re.DOTALL)
            bare = re.sub(r'"(size|file-large|rows-few)": \d+|Content-Security.*', "", bare)
            if kind in ("json", "text"):
                assert word not in bare, (kind, word)
    for document in PLAIN["audit customer"].values():
        bare = re.sub(r"<style>.*?</style>", "", document, flags=re.DOTALL)
        assert "harmful" not in bare
        assert "default prompt" not in bare


def test_customers_documents_depend_on_the_decision_alone() -> None:
    made = []
    for score in (-0.86, -0.84):
        line = round(-100 * score)
        place = Place(line=line, rule="x/y", level="warning", message="z")
        read = Read(score=score, places=(place,))
        made.append(reported(evidence(score, readings={"size": read})))
    assert {one.verdict.answer for one in made} == {"allow with mitigation"}
    first, second = (documents.moderation(one, "customer", "rows", 0) for one in made)
    assert {kind: render() for kind, render in first.items()} == {
        kind: render() for kind, render in second.items()
    }


def test_texts_are_left_out_unless_they_are_asked_for() -> None:
    shown = moderation("kanariya")
    hidden = shown.model_copy(update={"shown": ()})
    assert "assistant: kanariya" in "\n".join(text.moderation(shown))
    assert "assistant: kanariya" not in "\n".join(text.moderation(hidden))


@pytest.mark.parametrize("answer", ["passed", "review", "blocked"])
def test_an_audit_never_says_safe(answer: audited.Answer) -> None:
    report = audit_report("a model")
    verdict = report.verdict.model_copy(update={"answer": answer})
    made = documents.audit(report.model_copy(update={"verdict": verdict}), "provider", 0)
    for render in made.values():
        assert not re.search(r"\b(is|model|proven) safe\b", render().lower())
