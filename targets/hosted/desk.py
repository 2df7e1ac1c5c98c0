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
import stamina

from targets.hosted.calls import backoff
from targets.hosted.ledger import Ledger, Stopped
from targets.hosted.memory import Memory

MARK = "mooring"
"""The metadata key of what is created on a server, and the suffix of tuned models."""
_ATTEMPTS = 6
"""Tries of one request.  # ours: half a minute of a server that is being restarted."""

T = TypeVar("T")


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
    """Files and jobs created on the server, and jobs possibly created twice."""
    replies: Memory = field(init=False)
    journal: Memory = field(init=False)
    """A record before every write to the server, and what came of it."""

    def __post_init__(self) -> None:
        """Open both memories."""
        self.replies = Memory(self.folder / "replies.sqlite")
        self.journal = Memory(self.folder / "journal.sqlite")

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
        except Stopped as stopped:
            self.stopped = str(stopped)
            raise

    def asking(self, look: Callable[[], T]) -> T:
        """Try a request until it is answered; whatever creates something first looks for it."""
        for attempt in stamina.retry_context(
            on=backoff, attempts=_ATTEMPTS, timeout=None, wait_initial=0.5, wait_max=8.0
        ):
            with attempt:
                if self.stop.is_set():
                    raise Stopped("interrupted")
                return look()
        raise AssertionError  # the loop returns or raises

    def halt(self) -> None:
        """Send nothing new."""
        self.stop.set()
        self.ledger.purse.halted = True
