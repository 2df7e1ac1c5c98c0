"""Which format a file is of: told by the keys of every record, never by the file's name.

A new format is a `Format` in a file of its own, and its line here.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from attacks.base import UserError
from attacks.sets import benchmarks, chats, conversations, instructions
from attacks.sets.base import HEADLESS, Format, Item, Options, Table, text_at

FORMATS: Final[tuple[Format, ...]] = (
    *chats.FORMATS,
    *conversations.FORMATS,
    *instructions.FORMATS,
    *benchmarks.FORMATS,
)
"""No record fits two of them."""
KNOWN: Final = frozenset[str]().union(*(one.needs | one.may for one in FORMATS))
"""Every key that may be told, since it is a format's and not a row's."""


def _named(one: Format) -> str:
    needs = ", ".join(sorted(one.needs))
    return f"{one.name} ({needs})" if needs else one.name


ALLOWED: Final = "; ".join(_named(one) for one in FORMATS if one.needs)


def of_column(column: str) -> Format:
    """Prompts under a key that the user names."""

    def read(fields: Any, options: Options) -> Item:
        return Item(text=text_at(fields, key))

    key = column.strip().lower()
    return Format(name="column", kind="prompts", needs=frozenset({key}), may=KNOWN, read=read)


def format_of(value: Any) -> Format | None:
    """The format of one record; None for none that is known."""
    return next((one for one in FORMATS if one.fits(value, KNOWN)), None)


def recognised(table: Table, column: str = "") -> Format:
    """The one format of all records.

    Raises:
        UserError: there are none, one fits no format, or they are of different formats.
    """
    if not table.records:
        raise UserError("it holds no rows")
    numbered = column.isdecimal()  # it chose the texts when the file was read
    if numbered and table.container != HEADLESS:
        raise UserError("a column's number is for CSV without a header; give the field's name")
    if column and not numbered:
        return _of_column(table, of_column(column))
    found: list[Format | None] = [format_of(record.value) for record in table.records]
    for one in set(found):
        if one and all(other and (other is one or other.name in one.also) for other in set(found)):
            return one
    first = found[0]
    at = next((i for i, one in enumerate(found) if one is None or one is not first), 0)
    record = table.records[at]
    if first is None:
        raise UserError(
            f"{table.unit} {record.number} {_met(record.value)}, so that it is of no known "
            f"format. Known by what they need: {ALLOWED}. Or name the "
            "field that holds the prompts (column)"
        )
    counts = Counter("none known" if one is None else _named(one) for one in found)
    said = ", ".join(f"{count} of {name}" for name, count in counts.most_common())
    raise UserError(
        f"its rows are of different formats ({said}): the first is {first.name}, and {table.unit} "
        f"{record.number} {_met(record.value)}. Convert the rest, or put them in another file"
    )


def _of_column(table: Table, chosen: Format) -> Format:
    known = KNOWN | chosen.needs
    for record in table.records:
        if not (isinstance(record.value, dict) and chosen.fits(record.value, known)):
            raise UserError(f"{table.unit} {record.number} has no such field as column names")
    return chosen


def _met(value: Any) -> str:
    """What a record is, in words that are not its own."""
    if isinstance(value, str):
        return "is a text"
    if isinstance(value, list):
        return "is a list"
    keys = sorted(KNOWN & value.keys())
    others = len(value) - len(keys)
    named = f"has the fields {', '.join(keys)}" if keys else "has no field that is known"
    return named + (f" and {others} unknown" if keys and others else "")
