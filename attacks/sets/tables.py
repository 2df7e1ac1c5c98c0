"""From a file's text to its elements: JSON, JSON lines, CSV or plain lines, told by content."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import jiter

from attacks.base import UserError
from attacks.sets import sheets
from attacks.sets.base import Record, Table

LISTS: Final = frozenset({"instructions", "prompts", "questions", "data", "rows", "examples"})
"""Keys under which an object holds the whole list; the first is Safety-Tuned LLaMAs' test sets'."""

_AT: Final = re.compile(r" at line (\d+) column (\d+)$")


def table_of(text: str, known: frozenset[str], column: str = "") -> Table:
    """The elements of a file.

    What begins like JSON is JSON: one array or object, or else lines of it. Anything else is CSV
    or lines of text (`sheets`), unless every line is a text in JSON's quotes.

    Args:
        text: the whole file.
        known: names that a CSV's header may have.
        column: the one that the user named beside these.

    Raises:
        UserError: it is empty, or neither.
    """
    begin = text.lstrip()
    if not begin:
        raise UserError("it is empty")
    if begin[0] in "[{":
        return _of_json(text)
    if begin[0] == '"' and (strings := _strings(text)):
        return Table(strings, "line", "JSON lines")
    return sheets.table_of(text, known, column)


def _of_json(text: str) -> Table:
    try:
        value = parsed(text)
    except UserError as error:
        whole = error
    else:
        return _of_value(value)
    lines = list(_lines(text))
    try:
        parsed(lines[0][1])
    except UserError:
        said = "It begins like JSON; a list of prompts that does is written as texts in quotes"
        raise UserError(f"{whole}. {said}") from None
    records = []
    for number, line in lines:
        try:
            records.append(Record(number, lowered(parsed(line))))
        except UserError as error:
            raise UserError(f"line {number}: {_AT_LINE.sub('', str(error))}") from None
    return Table(tuple(records), "line", "JSON lines")


def _of_value(value: Any) -> Table:
    if isinstance(value, dict):
        held = [key for key in value if key in LISTS and isinstance(value[key], list)]
        rows = value[held[0]] if len(held) == 1 else [value]
    else:
        rows = value
    return Table(records_of(rows), "row", "JSON")


def records_of(rows: Iterable[Any]) -> tuple[Record, ...]:
    """Values as records, numbered from 1.

    Raises:
        UserError: one is none that a record can be, told by its number.
    """
    records = []
    for number, row in enumerate(rows, 1):
        try:
            records.append(Record(number, lowered(row)))
        except UserError as error:
            raise UserError(f"row {number}: {error}") from None
    return tuple(records)


def lowered(value: Any) -> Any:
    """A record as formats know it: its own keys in lower case, without blanks around them.

    Raises:
        UserError: it is neither an object, a list nor a text, or two of its keys become one.
    """
    if isinstance(value, str | list):
        return value
    if not isinstance(value, dict):
        raise UserError("a row must be an object, a list of messages or a text")
    lower = {str(key).strip().lower(): inner for key, inner in value.items()}
    if len(lower) < len(value):
        raise UserError("a row has two keys that differ only in their case")
    return lower


def parsed(text: str) -> Any:
    """JSON, read strictly: no key twice, no NaN, no half of a surrogate pair.

    Raises:
        UserError: it is not; told by its place, since the reader's own words may hold a key.
    """
    try:
        return jiter.from_json(text.encode(), allow_inf_nan=False, catch_duplicate_keys=True)
    except ValueError as error:
        said, found = str(error), _AT.search(str(error))
        place = f"at line {found[1]}, column {found[2]}, " if found else ""
        why = "it is not valid JSON"
        if said.startswith("Detected duplicate key"):
            why = "an object has a key twice"
        elif said.startswith("recursion limit"):
            why = "arrays and objects are nested too deeply"
        raise UserError(f"{place}{why}") from None


_AT_LINE: Final = re.compile(r"^at line 1, ")


def _lines(text: str) -> Iterable[tuple[int, str]]:
    """Lines that are not blank; JSON lines end at a line feed and nowhere else."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip(" \t\r"):
            yield number, line


def _strings(text: str) -> tuple[Record, ...]:
    """The texts of a file whose every line is one in JSON's quotes; empty for any other."""
    records = []
    for number, line in _lines(text):
        try:
            value = parsed(line)
        except UserError:
            return ()
        if not isinstance(value, str):
            return ()
        records.append(Record(number, value))
    return tuple(records)
