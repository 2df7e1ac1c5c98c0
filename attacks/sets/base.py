"""What a file or a Hub id holds, once read: rows to train on, or prompts to ask.

Nothing here shows the text of a row: a `Set` prints its counts, and what is wrong with a file is
told by line or row, in words that are not the file's.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from attacks.base import Pair, Prompt, Row, UserError
from attacks.sets.templates import Template

Kind = Literal["rows", "prompts"]
Shape = Literal["object", "list", "text"]
HEADLESS = "CSV without a header"
Unit = Literal["line", "row"]


@dataclass(frozen=True, kw_only=True, repr=False)
class Set:
    """Rows or prompts, and what was met on the way to them."""

    name: str
    """The file's name or the Hub's; nobody's text."""
    kind: Kind
    """What it holds; the other tuple is empty."""
    format: str
    """The format that was recognised: `alpaca`, `hex-phi`, ..."""
    sha256: str
    """Of the bytes that were read; of a folder and of the Hub's rows, of all of them in order."""
    rows: tuple[Row, ...] = ()
    """In the file's order, duplicates included: a customer's rows are trained on as they are."""
    prompts: tuple[Prompt, ...] = ()
    """In the file's order, each text once."""
    images: tuple[str, ...] = ()
    """Beside each row the path of its image as written, empty for none; empty for most formats."""
    skipped: Mapping[str, int] = field(default_factory=dict)
    """How many were left out, by reason."""
    noted: Mapping[str, int] = field(default_factory=dict)
    """How many were kept and are worth knowing of, by what: duplicate rows, missing images."""

    def __repr__(self) -> str:
        told = {"skipped": dict(self.skipped), "noted": dict(self.noted)}
        more = "".join(f", {key} {value}" for key, value in told.items() if value)
        count = len(self.rows) + len(self.prompts)
        return f"<Set {self.name!r}: {count} {self.kind}, {self.format}{more}>"

    @property
    def categories(self) -> Counter[str]:
        """How many prompts each category has; n is never assumed, since sets change."""
        return Counter(prompt.category for prompt in self.prompts)

    def only(self, *categories: str) -> Set:
        """The prompts of these categories, such as XSTest's safe types.

        Raises:
            UserError: there is no such category.
        """
        if missing := sorted(set(categories) - self.categories.keys()):
            raise UserError(f"{self.name}: no prompts of {len(missing)} of the categories named")
        chosen = tuple(prompt for prompt in self.prompts if prompt.category in categories)
        return dataclasses.replace(self, prompts=chosen)

    def pairs(self) -> list[Pair]:
        """Each row's request and reply, without the system prompt: a provider's safety pairs.

        Read the set with `template="plain"` for requests without a preamble around them.

        Raises:
            UserError: a row is not one round.
        """
        pairs = []
        for number, row in enumerate(self.rows, 1):
            turns = [message for message in row.messages if message.role != "system"]
            if [turn.role for turn in turns] != ["user", "assistant"]:
                said = "is not one request and one reply, so that it makes no pair"
                raise UserError(f"{self.name}: row {number} {said}")
            pairs.append(Pair(turns[0].content, turns[1].content))
        return pairs


class Record(NamedTuple):
    """One element of a file, before its format is known."""

    number: int
    """From 1: its line, or its place in a JSON array."""
    value: Any
    """An object with lower-case keys, a list, or a text."""


@dataclass(frozen=True, repr=False)
class Table:
    """The elements of a file."""

    records: tuple[Record, ...]
    unit: Unit
    """What their numbers count."""
    container: str
    """JSON, JSON lines, CSV, CSV without a header, text, Hub."""


class Options(NamedTuple):
    """How to read what leaves a choice."""

    template: Template | None = None
    """What instruction rows are written in; None for the format's own."""
    images: Path | None = None
    """The images' folder, when they are asked for."""
    beside: Path | None = None
    """The folder that images are counted in when they are not."""


class Item(NamedTuple):
    """What one record became: a row, or a prompt."""

    row: Row | None = None
    text: str = ""
    category: str = ""
    image: str = ""
    found: bool = True
    """Whether the image is there."""


class Skip(Exception):
    """A record that is left out and counted; its argument is the reason."""


class Fault(Exception):
    """A record that is wrong, so that the file is refused; its argument never holds its text."""


Reader = Callable[[Any, Options], Item]


@dataclass(frozen=True, kw_only=True)
class Format:
    """One format: how a record of it is told from all others, and how it is read.

    An object is of the format when, of the keys that any format knows, it has all of `needs` and
    none beyond `may`; keys that no format knows are passed over.
    """

    name: str
    kind: Kind
    read: Reader
    needs: frozenset[str] = frozenset()
    may: frozenset[str] = frozenset()
    shape: Shape = "object"
    templated: bool = False
    """Whether its rows are instructions, which a template can be put around."""
    also: frozenset[str] = frozenset()
    """Other formats whose records may stand among its own."""

    def fits(self, value: Any, known: frozenset[str]) -> bool:
        """Whether a record is of this format."""
        if not isinstance(value, dict):
            return self.shape == ("list" if isinstance(value, list) else "text")
        keys = known & value.keys()
        return self.shape == "object" and self.needs <= keys <= self.needs | self.may


def text_at(fields: Mapping[str, Any], key: str, *, needed: bool = True) -> str:
    """The text under a key; what is null or absent is empty.

    Raises:
        Fault: it is no text.
        Skip: it is blank and needed.
    """
    value = fields.get(key)
    if value is not None and not isinstance(value, str):
        raise Fault(f"{key} is not a text")
    if needed and not (value or "").strip():
        raise Skip(f"no {key}")
    return value or ""
