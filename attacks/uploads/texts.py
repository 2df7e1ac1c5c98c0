"""Characters that hide, mislead or get lost.

Source:   Unicode Technical Reports 36 and 39 (confusables, mixed scripts) with the table of
          `confusable-homoglyphs`; Boucher and Anderson 2021, "Trojan Source", arXiv 2111.00169
          (controls of the writing direction); Unicode Annex 15 (normal forms).
Breaks:   a cipher of plain letters, and words of one other script, look like any text here.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterator
from typing import Any, NamedTuple

from attacks.uploads.places import Path

LONGEST_RUN = 80
"""Characters of base64. # ours: longer than its lines of 76, than words and most addresses"""
LONGEST_HEX = 129
"""Hex digits. # ours: one more than the longest hash in use, SHA-512"""
MOST_MARKS = 30
"""In a row. Unicode Annex 15 §13, the Stream-Safe Text Format."""

_RUN = rf"[A-Za-z0-9+/]{{{LONGEST_RUN},}}"
_LONG = re.compile(_RUN.encode())
_ESCAPED = re.compile(rb"\\[ubf/]")
_INVISIBLE = (
    "\u00ad\u115f\u1160\u180e\u200b\u2060-\u2064\u3164\ufeff\uffa0"
    "\U000e0000-\U000e007f\U000e0100-\U000e01ef"
)
_JOINED = "\u0600-\u0dff\u2190-\u2bff\ufe0f\U0001f000-\U0001faff"
_CONTROLS = "\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"
_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
# One class of characters is searched four times as fast as the groups.
_ANY = re.compile(f"[\x00{_CONTROLS}{_BIDI}{_INVISIBLE}\u200c\u200d\ufffd]")
_STRANGE = re.compile(
    "(?P<nul>\x00)"
    f"|(?P<control>[{_CONTROLS}])"
    f"|(?P<bidi>[{_BIDI}])"
    # Joiners are a part of emoji, and of Arabic and Indian scripts.
    f"|(?P<width>[{_INVISIBLE}]|(?<![{_JOINED}])[\u200c\u200d])"
    "|(?P<lost>\ufffd)"
)
_NAMES = {
    "nul": "nul",
    "control": "control-character",
    "bidi": "bidi-control",
    "width": "zero-width",
    "lost": "replacement-character",
}
_BLOCK = re.compile("(?<![A-Za-z0-9+/])" + _RUN + "={0,2}")
_NO_LETTERS = re.compile(rf"[^\w\x00-\u02ff]{{{MOST_MARKS + 1}}}")
_LATIN = "A-Za-z\u00c0-\u024f"
_ALIKE = "\u0370-\u052f\u0531-\u058f\u13a0-\u13fd\u1f00-\u1fff\u2c80-\u2cff"
"""Greek, Cyrillic, Armenian, Cherokee and Coptic: the scripts whose letters pass for Latin ones."""
_OTHER = re.compile(f"[{_ALIKE}]")
_MIXED = re.compile(rf"\b(?=\w*[{_LATIN}])\w*[{_ALIKE}]\w*")


class Strange(NamedTuple):
    """What was found in one text, told at its first place."""

    rule: str
    start: int
    said: str
    """How much of it there is."""


def plain(line: bytes) -> bool:
    """Whether nothing here can find anything in a line of JSON, seen by its bytes alone."""
    return (
        line.isascii()
        and b"\x7f" not in line
        and _ESCAPED.search(line) is None
        and _LONG.search(line) is None
    )


def texts_of(value: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Every text in a JSON value, without what is attached as data, in order."""
    waiting: list[tuple[Path, Any]] = [(path, value)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, str):
            yield path, value
        elif isinstance(value, dict):
            if value.get("type") not in ("image_url", "input_audio", "file"):
                waiting += [((*path, key), part) for key, part in reversed(value.items())]
        elif isinstance(value, list):
            waiting += [((*path, i), value[i]) for i in range(len(value) - 1, -1, -1)]


def strange(text: str) -> list[Strange]:
    """What is strange in a text, at most once a rule."""
    told: dict[str, list[int]] = {}
    for match in _STRANGE.finditer(text) if _ANY.search(text) else ():
        seen = told.setdefault(_NAMES[match.lastgroup or ""], [match.start(), 0])
        seen[1] += 1
    found = [
        Strange(rule, first, f"{count} in this text, the first here")
        for rule, (first, count) in told.items()
    ]
    if len(text) >= LONGEST_RUN:
        block = next((run for run in _BLOCK.finditer(text) if _encoded(run[0])), None)
        if block is not None:
            said = f"a block of {len(block[0])} characters looks like base64 or hex"
            found.append(Strange("encoded-block", block.start(), said))
    return found if text.isascii() else found + _beyond_ascii(text)


def _beyond_ascii(text: str) -> list[Strange]:
    """Letters of two scripts in a word, and marks in an unusual order or number."""
    found = []
    if _OTHER.search(text):
        words = [m.start() for m in _MIXED.finditer(text) if any(map(_looks_latin, m[0]))]
        if words:
            said = f"{len(words)} words in this text, the first here"
            found.append(Strange("mixed-script", words[0], said))
    # Sorting the marks of a letter takes the square of their number.
    pile = _marks().search(text) if _NO_LETTERS.search(text) else None
    if pile is not None:
        said = f"more than {MOST_MARKS} marks on one letter"
        found.append(Strange("combining-run", pile.start(), said))
    elif not unicodedata.is_normalized("NFC", text):
        found.append(Strange("not-nfc", _drift(text), "the text from here differs in NFC"))
    return found


@functools.cache
def _marks() -> re.Pattern[str]:
    """More combining marks in a row than any language has."""
    points = [point for point in range(0x300, 0x1F000) if unicodedata.combining(chr(point))]
    letters = "".join(map(chr, points))
    return re.compile(f"[{re.escape(letters)}]{{{MOST_MARKS + 1}}}")


def _encoded(run: str) -> bool:
    """Whether a run of base64's letters is one: all kinds of them, or hex beyond any hash."""
    if all(letter in "0123456789abcdefABCDEF" for letter in run):
        return len(run) >= LONGEST_HEX and len(set(run)) > 4
    return bool(re.search("[a-z]", run) and re.search("[A-Z]", run) and re.search("[0-9]", run))


@functools.cache
def _looks_latin(letter: str) -> bool:
    """Whether a letter of another script passes for a Latin one."""
    if not _OTHER.match(letter):
        return False
    from confusable_homoglyphs import confusables

    return bool(confusables.is_confusable(letter, preferred_aliases=["latin"]))


def _drift(text: str) -> int:
    """The first character that NFC changes."""
    pairs = zip(text, unicodedata.normalize("NFC", text), strict=False)
    return next((i for i, (was, now) in enumerate(pairs) if was != now), len(text) - 1)
