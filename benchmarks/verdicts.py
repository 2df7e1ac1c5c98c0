"""Verdicts that were paid for: each is kept as soon as it is there, and never asked for again.

One SQLite file in the store, written by the one process that asks. A kill between two verdicts
loses none that was received.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attacks.base import Prompt
from benchmarks.keys import code, component_digest, digest, environment
from benchmarks.store import DiskError, StoreError
from eval.judges.base import Called, Judge, Verdict
from targets.base import Rules

if TYPE_CHECKING:
    from targets.hosted.calls import Ledger

_CHUNK = 500
"""Keys in one query; SQLite takes no more than some thousands."""


class Verdicts:
    """The verdicts in a store."""

    def __init__(self, root: Path) -> None:
        """Open them, made when they are not there.

        Raises:
            StoreError: the file is damaged, or the disk full.
        """
        self.path = root / "verdicts" / "verdicts.sqlite"
        self.path.parent.mkdir(exist_ok=True)
        with self._connected() as database:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute(
                "CREATE TABLE IF NOT EXISTS verdicts (key TEXT PRIMARY KEY, value TEXT)"
            )

    def read(self, keys: Sequence[str]) -> dict[str, Verdict]:
        """Those of these keys that are there."""
        found: dict[str, Verdict] = {}
        with self._connected() as database:
            for start in range(0, len(keys), _CHUNK):
                part = keys[start : start + _CHUNK]
                marks = ",".join("?" * len(part))
                rows = database.execute(
                    f"SELECT key, value FROM verdicts WHERE key IN ({marks})",
                    part,
                )
                found |= {key: verdict_of(json.loads(value)) for key, value in rows}
        return found

    @contextmanager
    def writing(self) -> Iterator[Callable[[str, Verdict], None]]:
        """A function that keeps a verdict at once."""
        with self._connected() as database:
            yield lambda key, verdict: _write(database, key, verdict)

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=60, isolation_level=None)) as database:
                yield database
        except sqlite3.OperationalError as error:
            raise DiskError(f"cannot use {str(self.path)!r}: {error}") from error
        except sqlite3.DatabaseError as error:
            raise StoreError(
                f"{str(self.path)!r} is damaged ({error}); move it away, and the verdicts in it "
                "are asked for again"
            ) from error


def _write(database: sqlite3.Connection, key: str, verdict: Verdict) -> None:
    database.execute("INSERT OR REPLACE INTO verdicts VALUES (?, ?)", (key, json.dumps(verdict)))


def verdict_of(stored: Iterable[object]) -> Verdict:
    """A verdict from its plain data; what was not yet written down at its time has its default."""
    score, coherent, why, again, by, tokens, *later = stored
    return Verdict(score, coherent, why, again, by, tuple(tokens), *later)  # type: ignore[arg-type]


def identity(judge: Judge, rules: Rules) -> Any:
    """Whatever a judge's verdicts are kept under, beside the texts."""
    if not isinstance(judge, Called):
        return component_digest(judge)
    own = judge.identity(rules)
    return [own, environment(), code(type(judge).__module__)] if judge.here else own


@dataclass
class Calls:
    """What all judges' calls of a run share: the memory, one account, and whether they stopped."""

    kept: Verdicts
    ledger: Ledger
    stopped: str = ""
    """Why nothing more is asked; what is not judged then is missing."""

    def score(
        self, judge: Called, rules: Rules, prompts: Sequence[Prompt], replies: Sequence[str]
    ) -> list[Verdict]:
        """A verdict on each pair: the one that is kept, or else asked for and kept at once."""
        from targets.hosted.calls import Stopped

        own = identity(judge, rules)
        pairs = [(p.text, r) for p, r in zip(prompts, replies, strict=True)]
        keys = [digest("verdict", own, pair) for pair in pairs]
        found = self.kept.read(keys)
        todo = [i for i, key in enumerate(keys) if key not in found]

        def keep(place: int, verdict: Verdict) -> None:
            key = keys[todo[place]]
            found[key] = verdict
            if not verdict.again:
                write(key, verdict)

        with self.kept.writing() as write:
            try:
                if todo and not self.stopped:
                    judge.ask([pairs[i] for i in todo], rules, keep, self.ledger)
            except Stopped as stopped:
                self.stopped = str(stopped)
        lacking = Verdict(None, why=self.stopped, again=True)
        return [found.get(key, lacking) for key in keys]
