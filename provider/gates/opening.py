"""A training file as it was uploaded: read once, validated line by line, and hashed."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO, NamedTuple

from attacks.base import Row, UserError
from attacks.uploads.report import Report as Checks
from attacks.uploads.report import watched
from attacks.uploads.rules import Finding, Profile
from attacks.uploads.validate import validated
from provider.gates import readings, report
from provider.gates.report import NotRun, Place

_CHUNK = 2**20


class Opened(NamedTuple):
    """An upload as the validator read it."""

    file: report.File
    structure: report.Structure
    rows: tuple[Row, ...]
    lines: readings.Lines
    unread: tuple[NotRun, ...]
    """What of it no detector sees."""


def opened(path: Path, profile: Profile = "any") -> Opened:
    """A file, validated line by line; what is hashed is what was read.

    Raises:
        UserError: it is no file.
        OSError: it cannot be read.
    """
    if path.exists() and not path.is_file():
        raise UserError(f"{str(path)!r} is not a file")
    checks = Checks()
    rows: list[Row] = []
    lines: list[int] = []
    accepted = 0
    with path.open("rb") as file:
        stream = _Hashed(file)
        for checked in watched(validated(stream, profile), checks):
            accepted += checked.row_index is not None
            if checked.row is not None and checked.line is not None:
                rows.append(checked.row)
                lines.append(checked.line)
        stream.drain()
    told = report.File(
        name=report.written(path.name),
        sha256=stream.hash.hexdigest(),
        size=stream.size,
        lines=checks.lines,
        rows=checks.rows,
        tokens=checks.tokens,
    )
    return Opened(
        told, _structure(checks, profile), tuple(rows), readings.Lines(lines),
        _unread(checks, accepted - len(rows)),
    )  # fmt: skip


def _structure(checks: Checks, profile: Profile) -> report.Structure:
    return report.Structure(
        profile=profile,
        counts=dict(sorted(checks.counts.items())),
        errors=checks.levels["error"],
        warnings=checks.levels["warning"],
        notes=checks.levels["note"],
        places=tuple(map(_place, checks.findings)),
    )


def _place(one: Finding) -> Place:
    return Place(
        line=one.line, column=one.column, rule=one.rule, level=one.level, message=one.message,
        turn=one.turn,
    )  # fmt: skip


def _unread(checks: Checks, without_reply: int) -> tuple[NotRun, ...]:
    """What of the file no detector sees."""
    found = []
    if n := checks.formats["preference"]:
        found.append(NotRun(what=f"the replies that {n} lines do not prefer",
                            why="detectors read the preferred side"))  # fmt: skip
    if without_reply:
        found.append(NotRun(what=f"{without_reply} lines without a reply",
                            why="detectors read requests with replies"))  # fmt: skip
    if n := checks.counts["image"]:
        found.append(NotRun(what=f"attachments in {n} messages",
                            why="images, sound and files are not read"))  # fmt: skip
    return tuple(found)


class _Hashed:
    """A file that is hashed as it is read."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.hash = hashlib.sha256()
        self.size = 0

    def readline(self, limit: int, /) -> bytes:
        """At most so many bytes of the next line."""
        return self._took(self.file.readline(limit))

    def drain(self) -> None:
        """Hash what nobody read."""
        while self._took(self.file.read(_CHUNK)):
            pass

    def _took(self, data: bytes) -> bytes:
        self.hash.update(data)
        self.size += len(data)
        return data
