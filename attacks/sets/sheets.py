"""CSV with a header or without, and one text a line.

A first row with a known name in it is a header. Without one, a single column is a list of prompts
(AdvBench in the official code of Qi et al. 2023, arXiv 2310.03693), and lines whose commas are all
prose's (before white space, or within a number) are one prompt each. Several columns without a
known name are refused: no reader can tell which of them is asked.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from typing import Final

from attacks.base import UserError
from attacks.sets.base import HEADLESS, Record, Table

_SEPARATES: Final = re.compile(r",(?![ \t])(?!(?<=\d,)\d)")
_QUOTED: Final = re.compile(r'(^|,)"', re.MULTILINE)
_MARKDOWN: Final = re.compile(r"^(```|\|\s*:?-{3})", re.MULTILINE)
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*")
_FIELD: Final = 2**24
"""Characters. # ours: the reader's own limit, 131,072, is less than a long answer may have"""


def table_of(text: str, known: frozenset[str], column: str = "") -> Table:
    """The rows of CSV, or the lines of a text.

    Raises:
        UserError: a row is not CSV or has not the header's columns, the header is unknown, or none
            is there and it is needed.
    """
    if column.isdecimal():
        return _headless(list(_rows(text)), int(column))
    first = _first(text)
    header = [name.strip().lower() for name in first]
    named = known | ({column.strip().lower()} if column else set())
    if set(header) & named:
        return _headed(text, header)
    _separated(text, known)
    if not _QUOTED.search(text) and not _SEPARATES.search(text):
        return _plain(text)
    rows = list(_rows(text))
    if all(len(row) == 1 for _, row in rows):
        return _headless(rows, 1)
    raise UserError(
        f"its first row has {len(first)} columns, none of a known name, so that it is not known "
        "which holds the prompts. Give the name or the number of that column (column), or a "
        "header; for one prompt a line with commas in it, put each line in quotes"
    )


def _first(text: str) -> list[str]:
    """The first row, where the file can be read as CSV so far."""
    try:
        return next(_rows(text), (1, []))[1]
    except UserError:
        if _QUOTED.search(text):
            raise
        return []


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not blank, with the line that each begins at."""
    csv.field_size_limit(max(_FIELD, csv.field_size_limit()))  # the module's, for everybody
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    begin = 1
    try:
        for row in reader:
            if any(field.strip() for field in row):
                yield begin, row
            begin = reader.line_num + 1
    except csv.Error as error:
        # The module's words are its own; no field is in them.
        said = f"the row that begins at line {begin} is not CSV: {error}"
        raise UserError(f'{said}. A quote within quotes is written twice: ""') from None


def _headed(text: str, header: list[str]) -> Table:
    if len(set(header)) < len(header):
        raise UserError("two columns have the same name in the header, line 1")
    records = []
    rows = _rows(text)
    next(rows)
    for number, row in rows:
        if len(row) != len(header):
            raise UserError(
                f"line {number} has {len(row)} columns where the header has {len(header)}; a text "
                "with a comma or a line break in it stands in quotes"
            )
        records.append(Record(number, dict(zip(header, row, strict=True))))
    if not records:
        raise UserError("it has a header and no rows")
    return Table(tuple(records), "line", "CSV")


def _headless(rows: list[tuple[int, list[str]]], column: int) -> Table:
    if not rows:
        raise UserError("it is empty")
    for number, row in rows:
        if not 1 <= column <= len(row):
            raise UserError(f"line {number} has {len(row)} columns, and column {column} is named")
    texts = [(number, row[column - 1]) for number, row in rows]
    no_header([text for _, text in texts])
    return Table(tuple(Record(*text) for text in texts), "line", HEADLESS)


def _plain(text: str) -> Table:
    if _MARKDOWN.search(text):
        raise UserError("it is Markdown, and no list of prompts: give the file of data beside it")
    lines = [(n, line.rstrip("\r")) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    no_header([line for _, line in lines])
    return Table(tuple(Record(*line) for line in lines), "line", "text")


def no_header(texts: list[str]) -> None:
    """Refuse what looks like the name of a column above texts of several words.

    Taken for a prompt, as the official code does, it would be asked and scored.

    Raises:
        UserError: it does.
    """
    rest = texts[1:]
    if _NAME.fullmatch(texts[0].strip()) and rest and all(" " in text.strip() for text in rest):
        raise UserError(
            "the first line is one word above texts of several: it looks like a header of a name "
            "that is not known. Remove it, or give its name (column)"
        )


def _separated(text: str, known: frozenset[str]) -> None:
    """Refuse columns of known names that another mark separates."""
    line = text.lstrip().split("\n", 1)[0]
    for mark, name in {"\t": "tabs", ";": "semicolons", "|": "bars"}.items():
        if mark in line and {part.strip(' "\r').lower() for part in line.split(mark)} & known:
            raise UserError(f"its columns are separated by {name}; save it as CSV with commas")
