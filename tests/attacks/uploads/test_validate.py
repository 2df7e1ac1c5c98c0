"""What the checks find in a training file, and where."""

from __future__ import annotations

import io
import json
import random
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attacks.uploads import places
from attacks.uploads.report import MOST_KEPT, Report, watched
from attacks.uploads.rules import RULES
from attacks.uploads.validate import MOST_FINDINGS, Checked, validated
from benchmarks.fuzz.validate import CORPUS, hold, mutated, survives

U = {"role": "user", "content": "How is bread made?"}
A = {"role": "assistant", "content": "With flour."}
CALL = {"id": "c", "type": "function", "function": {"name": "bake", "arguments": "{}"}}
CALLS = {"role": "assistant", "content": None, "tool_calls": [CALL]}
PAIR = {"input": {"messages": [U]}, "preferred_output": [A], "non_preferred_output": [A]}


def check(*lines: Any, **options: Any) -> list[Checked]:
    texts = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    return list(validated(io.BytesIO(b"\n".join(texts)), **options))


def rules(*lines: Any, **options: Any) -> set[str]:
    """What was found, but for the number of rows."""
    found = {one.rule for checked in check(*lines, **options) for one in checked.findings}
    return found - {"rows-few", "file-empty"}


def said(content: Any, **more: Any) -> dict[str, Any]:
    return {"messages": [U, {"role": "assistant", "content": content, **more}]}


@pytest.mark.parametrize(
    ("line", "rule", "at"),
    [
        ({"messages": [U]}, "messages-few", '[{"role'),
        ({"messages": [A, U]}, "last-not-assistant", '[{"role'),
        ({"messages": [{"role": "robot", "content": "a"}, A]}, "role-unknown", '"robot"'),
        ({"messages": [{"content": "a"}, A]}, "role-missing", '{"content": "a"'),
        ({"messages": [{"role": "user"}, A]}, "key-missing", '{"role": "user"}'),
        ({"messages": [{**U, "weight": 1}, A]}, "key-misplaced", "1}"),
        ({"messages": [{**U, "mood": 7}, A]}, "key-unknown", "7}"),
        ({"messages": [{**U, "content": 5}, A]}, "type-wrong", "5}"),
        (said("x", weight=2), "weight-value", "2}"),
        (said("x", weight=True), "weight-value", "true}"),
        (said(None), "content-missing", '{"role": "assistant"'),
        ({"messages": "x"}, "type-wrong", '"x"'),
        ({"prompt": "a"}, "format-unknown", "{"),
        ({**PAIR, "preferred_output": []}, "messages-few", "[]"),
        ({"messages": [U, A], "parallel_tool_calls": 3}, "type-wrong", "3}"),
        (b"[]", "line-not-object", "[]"),
        (b'{"messages": }', "json-syntax", "}"),
        (b'{"a": 1, "b": {"a": 1}, "a": 2}', "duplicate-key", '"a": 2'),
        (b'{"messages": "\\ud800"}', "surrogate", "\\ud800"),
        (b'{"messages": "' + "é".encode() + b'\\udc00"}', "surrogate", "\\udc00"),
        (b'{"messages": NaN}', "json-syntax", "NaN"),
        (b'{"messages": "' + "é".encode() + b'\xff"}', "encoding", "\ufffd"),
        (b"[" * 10_000, "json-nesting", None),
        (b"[" * 100_000, "line-crowded", None),
        (b'{"messages": ' + b"1" * 9_000 + b"}", "json-number", None),
        (b'{"messages": [' + b"0," * 30_000 + b"0]}", "line-crowded", None),
        (b'{"messages": [' + b"[[[[]]]]," * 9_000 + b"0]}", "line-crowded", None),
        (b" " * 5000 + b"{}", "line-long", None),
        (said("a\x00b"), "nul", "\\u0000"),
        (said("a\x07b"), "control-character", "\\u0007"),
        (said("\n\t😀a\u200bb"), "zero-width", "\\u200b"),
        (said("ab\U000e0041"), "zero-width", "\\udb40"),
        (said("ab\u202e"), "bidi-control", "\\u202e"),
        (said("ab \u0440aypal"), "mixed-script", "\\u0440"),
        (said("caf e\u0301"), "not-nfc", "e\\u0301"),
        (said("a" + "\u0301" * 40), "combining-run", "\\u0301"),
        (said("see: " + "QUJDabc9" * 11), "encoded-block", "QUJD"),
        (said("see: " + "0123abcd" * 17), "encoded-block", "0123abcd"),
        (said("\ufffd"), "replacement-character", "\\ufffd"),
        (said(" "), "content-empty", '{"role": "assistant"'),
        (said("x", weight=0), "weight-zero", "0}"),
        ({"messages": [U, A], "id": "x"}, "line-key-unknown", "{"),
    ],
)  # fmt: skip
def test_a_fault_is_found_at_its_place(line: Any, rule: str, at: str | None) -> None:
    data = line if isinstance(line, bytes) else json.dumps(line).encode()
    checks = check({"messages": [U, A]}, line, longest=2**20 if rule != "line-long" else 4096)
    (found,) = [one for checked in checks for one in checked.findings if one.rule == rule]
    assert found.line == 2
    if at is not None:
        text = data.decode(errors="replace")
        assert found.column is not None
        assert text[found.column - 1 :].startswith(at)
    checked = next(one for one in checks if one.line == 2)
    assert (checked.row_index is None) == (RULES[rule].level == "error")


@pytest.mark.parametrize(
    "line",
    [
        {"messages": [U, A]},
        {"messages": [{"role": "developer", "content": "Be brief."}, U, {**A, "weight": 1}]},
        {"messages": [U, CALLS, {"role": "tool", "tool_call_id": "c", "content": "3"}, A],
         "tools": [{"type": "function", "function": {"name": "bake", "parameters": {}}}]},
        said([{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "b"}]),
        said("Ölige Käsespätzle, μm, Δx, привет, 日本語 and 👨‍👩‍👧"),
        said("می‌خواهم"),
        said("a" * 64 + " sha " + "0123abcd" * 8),
        PAIR,
        {"messages": [U], "reference": "flour"},
    ],
)  # fmt: skip
def test_what_is_right_is_left_alone(line: Any) -> None:
    assert rules(line) == set()
    assert rules(json.dumps(line, ensure_ascii=False).encode()) == set()


def test_rows_keep_their_lines_and_say_what_was_folded() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "QUJDabc9" * 20}}
    parts = [{"type": "text", "text": "one"}, image, {"type": "text", "text": "two"}]
    tool = {"role": "tool", "tool_call_id": "c", "content": "3"}
    developer = {"role": "developer", "content": "Be brief."}
    checks = check(
        {"messages": [developer, {"role": "user", "content": parts}, CALLS, tool, A]},
        b"",
        {"messages": [U]},
        PAIR,
        {"messages": [U], "reference": 1},
    )
    rows = [(one.line, one.row_index, one.row) for one in checks if one.row_index is not None]
    assert [(line, index) for line, index, _ in rows] == [(1, 0), (4, 1), (5, 2)]
    assert rows[0][2] is not None
    assert [tuple(turn) for turn in rows[0][2].messages] == [
        ("system", "Be brief."),
        ("user", "one\ntwo"),
        ("assistant", "[call bake] {}"),
        ("user", "[result] 3"),
        ("assistant", "With flour."),
    ]
    assert rows[2][2] is None
    (image_found,) = checks[0].findings
    assert (image_found.rule, image_found.row, image_found.turn) == ("image", 0, 1)


def test_a_file_of_two_formats_or_few_rows() -> None:
    row = {"messages": [U, A]}
    whole = check(row, PAIR, row)[-1]
    assert whole.line is None
    assert {(one.rule, one.line) for one in whole.findings} == {
        ("rows-few", None),
        ("format-mixed", 2),
    }
    assert {one.level for one in check(*[row] * 9, profile="openai")[-1].findings} == {"error"}
    assert {one.level for one in check(*[row] * 9)[-1].findings} == {"warning"}
    assert check(*[row] * 10)[-1].line == 10


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"", "file-empty"),
        (b"\n \r\n", "file-empty"),
        (b"\x1f\x8b\x08", "file-binary"),
        ("{}".encode("utf-16"), "file-binary"),
        (bytes(range(256)), "file-binary"),
        (b"\xef\xbb\xbf{}", "bom"),
    ],
)
def test_a_file_that_is_none(data: bytes, rule: str) -> None:
    assert rule in {one.rule for checked in hold(data) for one in checked.findings}


def test_a_byte_order_mark_costs_no_row() -> None:
    first = check(b"\xef\xbb\xbf" + json.dumps({"messages": [U, A]}).encode())[0]
    assert (first.row_index, [one.rule for one in first.findings]) == (0, ["bom"])


def test_a_long_line_is_never_held_whole() -> None:
    class Endless(io.RawIOBase):
        left = 100 * 2**20

        def readline(self, limit: int | None = -1, /) -> bytes:
            size = min(self.left, limit or 0)
            self.left -= size
            return b"a" * size

    tracemalloc.start()
    checks = list(validated(Endless(), longest=2**20))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [one.rule for one in checks[0].findings] == ["line-long"]
    assert checks[0].size == 100 * 2**20
    assert peak < 8 * 2**20


def test_a_line_tells_so_many_findings_and_hides_no_error() -> None:
    turns = [{"role": "user", "content": "a\u200b"}] * 50
    (checked, _) = check({"messages": [*turns, {**A, "content": "\x00"}]})
    assert len(checked.findings) == MOST_FINDINGS + 2
    assert checked.row_index is None
    assert [one.rule for one in checked.findings][-2:] == ["nul", "findings-left-out"]


def test_a_report_counts_what_it_does_not_keep() -> None:
    report = Report()
    lines = io.BytesIO(b"{}\n" * (MOST_KEPT + 7))
    assert sum(1 for _ in watched(validated(lines), report)) == MOST_KEPT + 8
    assert report.counts["format-unknown"] == MOST_KEPT + 7
    assert (len(report.kept["format-unknown"]), report.left_out) == (MOST_KEPT, 7)
    assert report.fails("error")


def test_a_failing_disk_is_told() -> None:
    class Broken(io.BytesIO):
        def readline(self, limit: int | None = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        list(validated(Broken()))


def test_findings_hold_no_text_of_a_row() -> None:
    canary = "kanariya"
    lines = [
        {"messages": [{"role": canary, "content": canary, canary: canary}, {canary: 1}, canary]},
        {canary: {canary: canary}},
        said("\u200b" + canary, name=7, **{canary: canary}),
        {"messages": [U, A], "tools": [{"type": canary, canary: 1}]},
        f'{{"{canary}": 1, "{canary}": 2}}'.encode(),
        f'{{"messages": {canary}'.encode(),
    ]
    found = [one for checked in check(*lines) for one in checked.findings]
    assert len(found) > 8
    assert canary not in repr(found)


def test_places_are_looked_for_no_oftener_than_they_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found, walks = places.found, []
    monkeypatch.setattr(places, "found", lambda *given: walks.append(1) or found(*given))
    turns = [{**U, "content": "a\u200bb"}, {**A, "content": "c\u200bd"}] * 100
    (checked,) = check(json.dumps({"messages": turns}, ensure_ascii=False).encode())[:1]
    assert checked.row is not None
    assert len(checked.findings) == len(walks) == MOST_FINDINGS


def test_notes_hide_no_error_behind_them() -> None:
    turns = [{**U, "content": "a\u200bb"}, {**A, "content": "c\u200bd"}] * 100
    (checked,) = check({"messages": [*turns, U, {**A, "content": "with a nul \0"}]})[:1]
    assert checked.row is None
    assert [one.rule for one in checked.findings if one.level == "error"] == ["nul"]


@pytest.mark.parametrize("path", sorted(CORPUS.iterdir()), ids=lambda path: path.name)
def test_the_corpus(path: Any) -> None:
    survives(path.read_bytes())


@settings(max_examples=150)
@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    survives(data)


@settings(max_examples=300)
@given(st.sampled_from(sorted(CORPUS.iterdir())), st.integers(0, 2**32))
def test_mutated_files(path: Any, seed: int) -> None:
    survives(mutated(path.read_bytes(), random.Random(seed)))


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "text", "messages"]), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@settings(max_examples=150)
@given(st.lists(_json, max_size=4), st.booleans())
def test_any_json_for_messages(messages: list[Any], ascii_only: bool) -> None:
    line = json.dumps({"messages": messages}, ensure_ascii=ascii_only)
    survives(line.encode(errors="replace"))
