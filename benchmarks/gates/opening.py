"""Which corpus of labelled uploads: the organism's worlds, or a folder of one's own."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple, Protocol

from attacks.base import Ask, Upload, UserError
from benchmarks.gates.folder import Split, uploads
from benchmarks.gates.results import Intent
from benchmarks.keys import digest


class Labelled(Protocol):
    """An upload of a corpus. The labels are for the benchmark; a detector gets the upload."""

    @property
    def id(self) -> str:
        """Unique in the corpus."""

    @property
    def split(self) -> Split:
        """What it may be used for."""

    @property
    def intent(self) -> Intent:
        """What whoever made it meant."""

    @property
    def family(self) -> str:
        """The kind of attack, or of task."""

    @property
    def upload(self) -> Upload:
        """What is read."""

    @property
    def asks(self) -> tuple[Ask, ...]:
        """How its customer then asks, as far as it is known."""


class Where(NamedTuple):
    """How a corpus is opened; what a worker is sent."""

    folder: str = ""
    """Of one's own past uploads; empty for generated ones."""
    world: int = 0
    """The organism's world that generated ones are of."""
    seed: int = 0
    """Of the generator."""
    size: float = 1.0
    """Share of the whole generated corpus."""


@functools.lru_cache(maxsize=2)
def opened(where: Where) -> dict[str, Labelled]:
    """A corpus's uploads by id.

    Raises:
        UserError: it cannot be opened.
    """
    if where.folder:
        return {one.id: one for one in uploads(Path(where.folder))}
    from benchmarks.gates.corpus import corpus
    from targets.organism.world import World

    return {one.id: one for one in corpus(World(where.world), where.seed, where.size)}


def named(where: Where) -> tuple[str, str]:
    """SHA-256 of a corpus and a line about it.

    Raises:
        UserError: a file of it cannot be read.
    """
    found = opened(where)
    if not found:
        raise UserError("the corpus holds no uploads")
    parts = [(one.id, one.split, one.intent, one.family, one.upload) for one in found.values()]
    what = Path(where.folder).name if where.folder else f"generated from world {where.world}"
    return digest(parts), f"{len(parts)} uploads, {what}"
