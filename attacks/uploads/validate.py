"""The checks of a training file, in one pass and in bounded memory.

Source:   as `attacks/uploads/rules.py`. Of JSON, `jiter` reads each line once; what it says about a
          fault is told only where it cannot hold the line's text.
Differs:  a line is an example's whole life: more than 8 MiB or 20,000 values of it are not read.
Breaks:   it says what a file is, and not what it teaches: a harmful upload is as valid as any.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path as File
from typing import Any, NamedTuple

import jiter
import pydantic

from attacks.base import Row
from attacks.uploads import places, shape, texts
from attacks.uploads.faults import told as told_of
from attacks.uploads.faults import turn_of
from attacks.uploads.lines import LONGEST_LINE, Line, Stream, lines
from attacks.uploads.places import Path
from attacks.uploads.rows import has_attached, row_of, text_of
from attacks.uploads.rules import (
    FEWEST_ROWS,
    LARGEST_FILE,
    LONGEST_CONTEXT,
    Finding,
    Profile,
    level_of,
)

MOST_VALUES = 20_000
"""JSON values in a line. # ours: a chat of a thousand turns has a fifth of it; each may be wrong,
and a finding takes a kilobyte"""
MOST_FINDINGS = 20
"""Findings told of one line. # ours: a screen"""
CHARACTERS_A_TOKEN = 4
"""OpenAI's rule of thumb for English, in its help pages on tokens."""

_BOMS = (b"\xff\xfe", b"\xfe\xff")  # of UTF-16, and of UTF-32's first half
_BINARY = (b"\x1f\x8b", b"PK\x03\x04", b"PAR1", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ")
_BLANK = b" \t\r"
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_WHERE = re.compile(r" at line \d+ column (\d+)$")
_HALF = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_TELLABLE = re.compile(
    "(expected|EOF while parsing|trailing|control character|invalid (escape|number)|unexpected)"
    "[ `:,a-z]*"
)


class Checked(NamedTuple):
    """What came of one line, or, without a line, of the whole file."""

    line: int | None
    """From 1; None for the findings of the whole file, which come last."""
    size: int
    """Bytes of the line, its end included."""
    row: Row | None
    """The training row, of a line without errors that holds a reply."""
    row_index: int | None
    """From 0 among the lines that were accepted; None for a line that was not."""
    parsed: shape.Line | None
    """The whole example, of a line without errors."""
    kind: type[shape.Line] | None
    """The format that was recognised, also of a line with errors."""
    tokens: int
    """About how many, by the line's length; 0 for a line that was not accepted."""
    findings: tuple[Finding, ...]


def validated(
    file: File | Stream, profile: Profile = "any", longest: int = LONGEST_LINE
) -> Iterator[Checked]:
    """Check a file line by line; blank lines are passed over, as every reader does.

    Args:
        file: a path, or a stream of bytes.
        profile: whose rules are meant; it moves levels only, so the same rows are read.
        longest: bytes of the longest line that is read.

    Raises:
        OSError: the file cannot be read, or not to its end.
    """
    if isinstance(file, File):
        with file.open("rb") as opened:
            yield from validated(opened, profile, longest)
        return
    check = _Check(profile)
    for line in lines(file, longest):
        if (checked := check.line(line)) is not None:
            yield checked
        if check.hopeless:
            return
    if findings := check.whole():
        yield Checked(None, 0, None, None, None, None, 0, findings)


class _Fault(Exception):
    """The line cannot be read any further."""

    def __init__(self, rule: str, message: str, offset: int = 0) -> None:
        super().__init__(message)
        self.rule, self.message, self.offset = rule, message, offset


class _Check:
    """What is remembered from line to line."""

    def __init__(self, profile: Profile) -> None:
        self.profile: Profile = profile
        self.rows = 0
        self.size = 0
        self.kinds: Counter[str] = Counter()
        self.mixed: int | None = None  # the line where a second format begins
        self.hopeless = False

    def line(self, line: Line) -> Checked | None:
        """Check one line; None for a blank one."""
        self.size += line.size
        findings: list[Finding] = []
        data = line.data
        if line.number == 1 and data is not None:
            if data.startswith((*_BOMS, *_BINARY)) or b"\0" in data:
                self.hopeless = True
                said = "it begins like a binary, compressed or UTF-16 file; write UTF-8 JSON lines"
                found = self._finding("file-binary", said, 1, 1)
                return Checked(1, line.size, None, None, None, None, 0, (found,))
            if data.startswith(b"\xef\xbb\xbf"):
                data = data[3:]
                findings.append(
                    self._finding(
                        "bom", "it begins with a byte order mark; write UTF-8 without one", 1, 1
                    )
                )
        if data is not None and not data.strip(_BLANK):
            return (
                Checked(1, line.size, None, None, None, None, 0, tuple(findings))
                if findings
                else None
            )
        read = _Read(self, line.number, findings)
        parsed, row = read.accept(data)
        self._count(read.kind, line.number)
        accepted = not any(found.level == "error" for found in findings)
        index = self.rows if accepted else None
        self.rows += accepted
        if accepted and findings:
            findings = [found._replace(row=index) for found in findings]
        tokens = len(data or b"") // CHARACTERS_A_TOKEN if accepted else 0
        if not accepted:
            parsed = row = None
        told = tuple(findings)
        return Checked(line.number, line.size, row, index, parsed, read.kind, tokens, told)

    def whole(self) -> tuple[Finding, ...]:
        """What is wrong with the file as a whole."""
        found = []
        if not self.rows:
            found.append(self._finding("file-empty", "no line of it is an example", None, None))
        elif self.rows < FEWEST_ROWS:
            said = f"examples: {self.rows}; OpenAI takes {FEWEST_ROWS} or more"
            found.append(self._finding("rows-few", said, None, None))
        if self.mixed is not None:
            counts = ", ".join(f"{n} {kind.lower()}" for kind, n in sorted(self.kinds.items()))
            said = f"it holds lines of {len(self.kinds)} formats ({counts}); a second begins here"
            found.append(self._finding("format-mixed", said, self.mixed, 1))
        if self.size > LARGEST_FILE:
            said = f"{self.size:,} bytes; OpenAI takes {LARGEST_FILE:,}"
            found.append(self._finding("file-large", said, None, None))
        return tuple(found)

    def _count(self, kind: type[shape.Line] | None, line: int) -> None:
        if kind is not None:
            self.kinds[kind.__name__] += 1
            if self.mixed is None and len(self.kinds) > 1:
                self.mixed = line

    def _finding(self, rule: str, message: str, line: int | None, column: int | None) -> Finding:
        return Finding(rule, level_of(rule, self.profile), message, line, column)


class _Read:
    """One line that is not blank."""

    def __init__(self, check: _Check, number: int, findings: list[Finding]) -> None:
        self.profile = check.profile
        self.number = number
        self.findings = findings
        self.kind: type[shape.Line] | None = None
        self.data = b""
        self.told = 0

    def accept(self, data: bytes | None) -> tuple[shape.Line | None, Row | None]:
        """The example of the line, and its row; what is wrong goes to the findings."""
        try:
            if data is None:
                raise _Fault("line-long", "it is over the limit of a line, and was passed over")
            self.data = data
            return self._row(*self._parsed(data))
        except _Fault as fault:
            # A place within a character is that character's.
            before = self.data[: fault.offset].decode(errors="ignore")
            self._tell(fault.rule, fault.message, len(before))
        finally:
            if self.told > MOST_FINDINGS:
                said = f"{self.told - MOST_FINDINGS} more findings are not told one by one"
                level = level_of("findings-left-out", self.profile)
                found = Finding("findings-left-out", level, said, self.number, 1)
                self.findings.append(found)
        return None, None

    def _parsed(self, data: bytes) -> tuple[dict[str, Any], shape.Line | None]:
        if _crowded(data):
            raise _Fault("line-crowded", f"it holds more than {MOST_VALUES} values")
        try:
            value = jiter.from_json(data, allow_inf_nan=False, catch_duplicate_keys=True)
        except ValueError as error:
            value = self._misread(data, error)
        if not isinstance(value, dict):
            raise _Fault("line-not-object", "each line is one JSON object", _lead(data))
        self.kind = shape.kind_of(value)
        if self.kind is None:
            said = "messages are missing, or input, preferred_output and non_preferred_output"
            raise _Fault("format-unknown", said, _lead(data))
        try:
            return value, self.kind.model_validate(value)
        except pydantic.ValidationError as error:
            self._misshapen(value, error)
            return value, None

    def _misread(self, data: bytes, error: ValueError) -> Any:
        """Tell why a line is not JSON, or go on where it is but is ambiguous."""
        try:
            text = data.decode()
        except UnicodeDecodeError as broken:
            raise _Fault("encoding", "a byte here is not UTF-8", broken.start) from None
        said = str(error)
        column = int(match[1]) if (match := _WHERE.search(said)) else 1
        offset = max(0, min(column, len(data)) - 1)
        if said.startswith("Detected duplicate key"):
            try:
                value = jiter.from_json(data, allow_inf_nan=False)
            except ValueError as other:
                return self._misread(data, other)
            again = places.repeated(text)
            self._tell("duplicate-key", "the object has this key before", *again[:1])
            return value
        if said.startswith("recursion limit"):
            raise _Fault("json-nesting", "arrays and objects are nested too deeply", offset)
        if said.startswith("number out of range"):
            raise _Fault("json-number", "a number has too many digits", offset)
        near = max(0, offset - 12)
        if "hex escape" in said and (half := _HALF.search(data, near, offset + 6)):
            raise _Fault("surrogate", "half of a surrogate pair", half.start())
        told = (
            match[0].strip()
            if (match := _TELLABLE.match(_WHERE.sub("", said)))
            else "it is not valid"
        )
        raise _Fault("json-syntax", f"not JSON: {told}", offset)

    def _misshapen(self, value: dict[str, Any], error: pydantic.ValidationError) -> None:
        """Tell what pydantic found, with the places of the values."""
        found = error.errors(include_url=False, include_context=False, include_input=False)
        told = [told_of(one["type"], one["loc"], value) for one in found]
        text = self.data.decode()
        at = places.found(text, {path for _, _, path in told[:MOST_FINDINGS]})
        for rule, message, path in told:
            self._tell(rule, message, at.get(path, 0), turn_of(path))

    def _row(
        self, value: dict[str, Any], line: shape.Line | None
    ) -> tuple[shape.Line | None, Row | None]:
        if line is not None:
            self._look(value, line)
        if not texts.plain(self.data):
            self._read_texts(value)
        return line, None if line is None else row_of(line)

    def _look(self, value: dict[str, Any], line: shape.Line) -> None:
        """What is allowed and worth knowing."""
        paired = isinstance(line, shape.Preference)
        turns = line.input.messages if isinstance(line, shape.Preference) else line.messages
        start: Path = ("input", "messages") if paired else ("messages",)
        for i, turn in enumerate(turns):
            if turn.role == "assistant" and turn.weight == 0:
                said = "this reply has weight 0: it is read and not learnt"
                self._point("weight-zero", said, (*start, i, "weight"))
            if turn.role != "assistant" and not text_of(turn).strip() and not has_attached(turn):
                self._point("content-empty", "this message has no text", (*start, i))
            if has_attached(turn):
                said = "images, sound and files are not looked at"
                self._point("image", said, (*start, i, "content"))
        if type(line) is shape.Supervised:
            self._look_at_replies(line)
            if line.model_extra:
                said = "beside messages stand keys of no known use"
                self._point("line-key-unknown", said, ())
        if len(self.data) > LONGEST_CONTEXT * CHARACTERS_A_TOKEN:
            said = f"about {len(self.data) // CHARACTERS_A_TOKEN:,} tokens"
            self._point("row-long", said, ())

    def _look_at_replies(self, line: shape.Supervised) -> None:
        replies = [turn for turn in line.messages if isinstance(turn, shape.Assistant)]
        if all(reply.weight == 0 for reply in replies):
            self._point("nothing-trained", "every reply has weight 0", ("messages",))
        last = replies[-1]
        if not (text_of(last).strip() or last.tool_calls or last.function_call):
            said = "the reply to learn has no text"
            self._point("content-empty", said, ("messages", len(line.messages) - 1))

    def _read_texts(self, value: dict[str, Any]) -> None:
        """Look at the characters of every text."""
        for path, text in texts.texts_of(value):
            full = self.told >= MOST_FINDINGS
            if full and self._failed():
                return
            # Each place is looked for from the line's beginning: only for what is told.
            found = [
                one
                for one in texts.strange(text)
                if not full or level_of(one.rule, self.profile) == "error"
            ]
            if found:
                line = self.data.decode()
                start = places.found(line, [path]).get(path, 0)
                at = places.inside(line, start, {one.start for one in found})
                for one in found:
                    self._tell(one.rule, one.said, at.get(one.start, start), turn_of(path))

    def _point(self, rule: str, message: str, path: Path) -> None:
        """Tell a finding at a value."""
        start = 0
        if self.told < MOST_FINDINGS:
            start = places.found(self.data.decode(), [path]).get(path, 0)
        self._tell(rule, message, start, turn_of(path))

    def _tell(self, rule: str, message: str, start: int = 0, turn: int | None = None) -> None:
        level = level_of(rule, self.profile)
        self.told += 1
        # Those that are left out may not hide an error.
        if self.told > MOST_FINDINGS and (level != "error" or self._failed()):
            return
        self.findings.append(Finding(rule, level, message, self.number, start + 1, None, turn))

    def _failed(self) -> bool:
        return any(found.level == "error" for found in self.findings)


def _crowded(data: bytes) -> bool:
    """Whether a line has too many values, counted before they are made."""

    def marks(data: bytes) -> int:
        return data.count(b",") + data.count(b"[") + data.count(b"{")

    return marks(data) > MOST_VALUES and marks(_STRING.sub(b"", data)) > MOST_VALUES


def _lead(data: bytes) -> int:
    return len(data) - len(data.lstrip(_BLANK))
