"""Lines of a file of any size, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

LONGEST_LINE = 8 * 2**20
"""Bytes. # ours: an example at the longest context in use, a million tokens, is half of it"""
_CHUNK = 2**20


class Stream(Protocol):
    """What is read: a file opened for bytes, a pipe, `io.BytesIO`."""

    def readline(self, limit: int, /) -> bytes:
        """At most `limit` bytes of the next line, with its end."""


class Line(NamedTuple):
    """One line of a file."""

    number: int
    """From 1."""
    data: bytes | None
    """Without the line's end; None for a line over the limit, which was skipped."""
    size: int
    """Bytes, with the line's end."""


def lines(stream: Stream, longest: int = LONGEST_LINE) -> Iterator[Line]:
    """The lines of a stream; one longer than `longest` bytes is skipped, and never held whole."""
    number = 0
    while data := stream.readline(longest + 2):
        number += 1
        bare = data.removesuffix(b"\n")
        if len(bare) <= longest:
            yield Line(number, bare, len(data))
            continue
        size = len(data)
        while not data.endswith(b"\n") and (data := stream.readline(_CHUNK)):
            size += len(data)
        yield Line(number, None, size)
