"""Where in a line of JSON a value stands."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from itertools import islice
from typing import Any

Path = tuple[str | int, ...]
"""Keys and indices that lead from the outermost value to one inside."""

_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}:,]|[^\s\[\]{}:,"]++')
_CHARACTER = re.compile(r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u....|\\.|[^\\]", re.DOTALL)


def resolved(loc: Collection[Any], value: Any) -> Path:
    """The part of a pydantic location that is in the value: without tags and what is missing."""
    path: list[str | int] = []
    for step in loc:
        inside = (
            step in value
            if isinstance(value, dict)
            else isinstance(value, list) and isinstance(step, int) and step < len(value)
        )
        if inside:
            value = value[step]
            path.append(step)
    return tuple(path)


def found(text: str, paths: Collection[Path]) -> dict[Path, int]:
    """Where each path's value begins, as an index into `text`, which must be valid JSON.

    Where an object has a key twice the later value is meant, as JSON's readers have it.
    """
    return _walked(text, frozenset(paths))[0]


def repeated(text: str) -> list[int]:
    """Where keys stand that their object had before."""
    return _walked(text, frozenset())[1]


def _walked(text: str, wanted: frozenset[Path]) -> tuple[dict[Path, int], list[int]]:
    places: dict[Path, int] = {}
    again: list[int] = []
    path: list[Any] = []
    keys: list[set[str] | None] = []  # of each open object; None for an array
    key_next = False
    for match in _TOKEN.finditer(text):
        token = match[0]
        first = token[0]
        if first in "]}":
            path.pop()
            keys.pop()
            key_next = False
        elif first == ",":
            key_next = keys[-1] is not None
            if not key_next:
                path[-1] += 1
        elif key_next and (seen := keys[-1]) is not None:
            path[-1] = json.loads(token)
            if path[-1] in seen:
                again.append(match.start())
            seen.add(path[-1])
            key_next = False
        elif first != ":":
            if wanted and (here := tuple(path)) in wanted:
                places[here] = match.start()
            if first in "{[":
                key_next = first == "{"
                path.append(None if key_next else 0)
                keys.append(set() if key_next else None)
    return places, again


def inside(text: str, start: int, indices: Collection[int]) -> dict[int, int]:
    """Where characters of the string that begins at `start` stand in the line, escapes and all."""
    begin, last = start + 1, max(indices)
    if "\\" not in text[begin : begin + last]:
        return {index: begin + index for index in indices}
    read = islice(_CHARACTER.finditer(text, begin), last + 1)
    return {i: match.start() for i, match in enumerate(read) if i in indices}
