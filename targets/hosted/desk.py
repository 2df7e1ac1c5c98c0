"""What all work with one server shares in a run: what it keeps, counts and tells."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

import filelock

from targets.hosted.calls import NoModel
from targets.hosted.ledger import Ledger, Stopped
from targets.hosted.memory import Memory
from targets.hosted.retries import retrying

MARK = "mooring"
"""The metadata key of what is created on a server, and the suffix of tuned models."""
_ATTEMPTS = 6
"""Tries of one request.  # ours: half a minute of a server that is being restarted."""

T = TypeVar("T")


class Told(NamedTuple):
    """What a server says of itself beside the format."""

    fingerprint: str = ""
    """Of its model and of what it does to jobs and replies; empty where it says nothing."""
    rates: bool = False
    """Whether it takes learning rates, decay and the kind of tuning."""


class Event(NamedTuple):
    """Something that happened on the server."""

    where: str
    """Of which job or batch."""
    message: str
    """In the server's words: untrusted text."""
    passing: bool = False
    """Of interest until the next one: a loss, say."""


@dataclass
class Desk:
    """One to a run, used by its threads together."""

    folder: Path
    ledger: Ledger = field(default_factory=Ledger)
    tell: Callable[[Event], None] = lambda event: None
    """Told what happens to jobs and batches."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Set to go no further; jobs on the server go on, and the next run finds them."""
    stopped: str = ""
    """Why nothing more can be asked."""
    made: Counter[str] = field(default_factory=Counter)
    """Files and jobs created on the server, and jobs that possibly were created twice."""
    replies: Memory = field(init=False)
    journal: Memory = field(init=False)
    """A record before every write to the server, and what came of it."""

    def __post_init__(self) -> None:
        """Open both memories."""
        self.replies = Memory(self.folder / "replies.sqlite")
        self.journal = Memory(self.folder / "journal.sqlite")

    def known(self, model: str, server: str) -> Told:
        """What a server said of itself when it was last asked."""
        place = f"server {model} {server}"
        entry = self.journal.read([place]).get(place)
        return Told() if entry is None else Told(entry["key"], entry["rates"])

    def learnt(self, model: str, server: str, told: Told) -> None:
        """Remember it."""
        entry = {"what": "server", "key": told.fingerprint, "rates": told.rates}
        if self.known(model, server) != told:
            self.journal.write(f"server {model} {server}", {**entry, "server": server, "id": None})

    def lock(self, key: str) -> filelock.BaseFileLock:
        """Held while something is looked for and created, so that nobody creates it twice."""
        folder = self.folder / "locks"
        folder.mkdir(exist_ok=True)
        return filelock.FileLock(folder / f"{key}.lock")

    @contextmanager
    def working(self) -> Iterator[None]:
        """While something is asked of the server: what fails all alike is met once.

        Raises:
            Stopped: something asked before met it.
        """
        if self.stopped:
            raise Stopped(self.stopped)
        try:
            yield
        except NoModel:
            raise  # of this one; others may be there
        except Stopped as stopped:
            self.stopped = str(stopped)
            raise

    def asking(self, look: Callable[[], T]) -> T:
        """Try a request until it is answered; whatever creates something first looks for it."""

        def tried() -> T:
            if self.stop.is_set():
                raise Stopped("interrupted")
            return look()

        return retrying(_ATTEMPTS, self.stop.wait)(tried)

    def halt(self) -> None:
        """Send nothing new."""
        self.stop.set()
        self.ledger.purse.halted = True
