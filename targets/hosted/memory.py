"""What was paid for: each answer is kept as soon as it is there, and never asked for again.

SQLite files, so that a kill between two answers loses none that was received, and several threads
and processes may write.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from attacks.base import UserError

_CHUNK = 500
"""Keys in one query; SQLite takes no more than some thousands."""


class Damaged(UserError):
    """The file is no database any more."""


class Unwritable(UserError):
    """The disk is full or failing; nothing was overwritten."""

    exit_code = 4


class Memory:
    """Plain data under keys."""

    def __init__(self, path: Path) -> None:
        """Open it, made when it is not there.

        Raises:
            Damaged: the file is no database.
            Unwritable: the disk is full or failing.
        """
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._connected() as database:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("CREATE TABLE IF NOT EXISTS kept (key TEXT PRIMARY KEY, value TEXT)")

    def read(self, keys: Sequence[str]) -> dict[str, Any]:
        """Those of these keys that are there."""
        found: dict[str, Any] = {}
        with self._connected() as database:
            for start in range(0, len(keys), _CHUNK):
                part = keys[start : start + _CHUNK]
                marks = ",".join("?" * len(part))
                rows = database.execute(f"SELECT key, value FROM kept WHERE key IN ({marks})", part)
                found |= {key: json.loads(value) for key, value in rows}
        return found

    def all(self) -> dict[str, Any]:
        """Everything, in the order in which it was first kept."""
        with self._connected() as database:
            rows = database.execute("SELECT key, value FROM kept ORDER BY rowid")
            return {key: json.loads(value) for key, value in rows}

    @contextmanager
    def writing(self) -> Iterator[Callable[[str, Any], None]]:
        """A function that keeps something at once, in the place of what is there."""
        with self._connected() as database:
            yield lambda key, value: _write(database, key, value)

    def write(self, key: str, value: Any) -> None:
        """Keep one thing."""
        with self.writing() as keep:
            keep(key, value)

    def drop(self, key: str) -> None:
        """Forget one thing."""
        with self._connected() as database:
            database.execute("DELETE FROM kept WHERE key = ?", (key,))

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.path, timeout=60, isolation_level=None)) as database:
                yield database
        except sqlite3.OperationalError as error:
            raise Unwritable(f"cannot use {str(self.path)!r}: {error}") from error
        except sqlite3.DatabaseError as error:
            raise Damaged(
                f"{str(self.path)!r} is damaged ({error}); move it away, and what it held is "
                "asked for again"
            ) from error


def _write(database: sqlite3.Connection, key: str, value: Any) -> None:
    database.execute(
        "INSERT INTO kept VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, json.dumps(value)),
    )
