"""What the server remembers: files, jobs, events, models and batches, in one SQLite file."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, event
from sqlmodel import JSON, Field, Session, SQLModel, col, create_engine, select

from attacks.base import UserError
from provider.errors import ApiError

FORMAT = 1
"""Layout of the tables; a file of another layout is never touched."""
LARGEST_PAGE = 10_000
JOB_ACTIVE = ("queued", "validating_files", "running")
"""Statuses of a job that is not over."""
BATCH_ACTIVE = ("validating", "in_progress", "finalizing")
"""Statuses of a batch that is wanted and not over."""


def new_id(kind: str) -> str:
    """An id that cannot be guessed."""
    return kind + secrets.token_hex(16)


def now() -> int:
    """Seconds since 1970, as every `created_at`."""
    return int(time.time())


class Record(SQLModel):
    """What every record has."""

    seq: int | None = Field(default=None, primary_key=True)
    """Order of making."""
    id: str = Field(unique=True, index=True)
    created_at: int = Field(default_factory=now)


class File(Record, table=True):
    """An uploaded file, or one that the server made."""

    filename: str
    """As the client called it: data, and never a path."""
    purpose: str
    bytes: int
    sha256: str


class Job(Record, table=True):
    """A fine-tuning job."""

    model: str
    training_file: str
    training_sha256: str
    seed: int
    suffix: str = ""
    labels: dict[str, str] = Field(default_factory=dict, sa_type=JSON)
    """The client's metadata."""
    hyperparameters: dict[str, Any] = Field(sa_type=JSON)
    """As asked for; numbers in place of `auto` once the rows are counted."""
    tuning: str = "full"
    decay: float = 1.0
    request: str
    """Hash of what was asked, to know a repeated request by."""
    status: str = Field(default="queued", index=True)
    error: dict[str, Any] | None = Field(default=None, sa_type=JSON)
    fine_tuned_model: str | None = None
    finished_at: int | None = None
    trained_tokens: int | None = None
    evidence: list[dict[str, Any]] = Field(default_factory=list, sa_type=JSON)
    """What the gates found: for the provider, never for the client."""


class Event(Record, table=True):
    """Something that happened to a job."""

    job_id: str = Field(index=True)
    level: str = "info"
    message: str
    type: str = "message"
    data: dict[str, Any] | None = Field(default=None, sa_type=JSON)


class Tuned(Record, table=True):
    """A model tuned here; its id is the model's."""

    job_id: str
    weights: str
    """Name of its folder."""
    seed: int


class Batch(Record, table=True):
    """Many requests in one file."""

    endpoint: str
    input_file_id: str
    input_sha256: str
    completion_window: str
    labels: dict[str, str] = Field(default_factory=dict, sa_type=JSON)
    status: str = Field(default="validating", index=True)
    times: dict[str, int] = Field(default_factory=dict, sa_type=JSON)
    """When it came to be in a status."""
    counts: dict[str, int] = Field(default_factory=dict, sa_type=JSON)
    errors: list[dict[str, Any]] = Field(default_factory=list, sa_type=JSON)
    output_file_id: str | None = None
    error_file_id: str | None = None


R = TypeVar("R", bound=Record)


class Records:
    """The tables. Every method is one transaction, and one is under way at a time."""

    def __init__(self, path: Path) -> None:
        self._engine = create_engine(
            URL.create("sqlite", database=str(path)), connect_args={"check_same_thread": False}
        )
        self._lock = threading.RLock()
        event.listen(self._engine, "connect", _prepare)
        with self._engine.begin() as connection:
            found = connection.exec_driver_sql("PRAGMA user_version").scalar()
            if found not in (0, FORMAT):
                raise UserError(f"{str(path)!r} was written by another version of Mooring")
            SQLModel.metadata.create_all(connection)
            connection.exec_driver_sql(f"PRAGMA user_version = {FORMAT}")

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A transaction of several steps."""
        with self._lock, Session(self._engine, expire_on_commit=False) as session:
            yield session
            session.commit()

    def add(self, *records: Record) -> None:
        """Keep new records."""
        with self.session() as session:
            session.add_all(records)

    def find(self, table: type[R], id_: str) -> R | None:
        """The record of an id."""
        with self.session() as session:
            return session.exec(select(table).where(col(table.id) == id_)).first()

    def all(self, table: type[R], **facts: Any) -> Sequence[R]:
        """Every record of which the facts are so (a tuple: one of them), oldest first."""
        asked = select(table).order_by(col(table.seq))
        for name, value in facts.items():
            column = getattr(table, name)
            asked = asked.where(column.in_(value) if isinstance(value, tuple) else column == value)
        with self.session() as session:
            return session.exec(asked).all()

    def change(
        self,
        table: type[R],
        id_: str,
        only_in: tuple[str, ...] | None = None,
        also: Sequence[Record] = (),
        **facts: Any,
    ) -> R | None:
        """Write facts into a record, and other records beside it.

        Returns:
            The record; None, and nothing was written, when it is not in such a status.
        """
        with self.session() as session:
            record = session.exec(select(table).where(col(table.id) == id_)).first()
            if record is None or (only_in and getattr(record, "status", "") not in only_in):
                return None
            for name, value in facts.items():
                setattr(record, name, value)
            session.add_all([record, *also])
            return record

    def remove(self, record: Record) -> None:
        """Forget a record."""
        with self.session() as session:
            session.delete(record)

    def page(
        self,
        table: type[R],
        after: str | None,
        limit: int,
        *,
        newest_first: bool = True,
        labels: dict[str, str] | None = None,
        **facts: Any,
    ) -> tuple[list[R], bool]:
        """Records behind the one whose id is given, and whether there are more.

        Raises:
            ApiError: there is no record of that id, or the limit is none.
        """
        if not 1 <= limit <= LARGEST_PAGE:
            raise ApiError(400, f"limit is from 1 to {LARGEST_PAGE}", param="limit")
        asked = select(table).filter_by(**facts)
        if after is not None:
            last = self.find(table, after)
            if last is None:
                raise ApiError(400, "after: there is no such id", param="after")
            behind = col(table.seq) < last.seq if newest_first else col(table.seq) > last.seq
            asked = asked.where(behind)
        order = col(table.seq).desc() if newest_first else col(table.seq).asc()
        found: list[R] = []
        with self.session() as session:
            for record in session.exec(asked.order_by(order)):
                if labels and not labels.items() <= getattr(record, "labels", {}).items():
                    continue
                if len(found) == limit:
                    return found, True
                found.append(record)
        return found, False


def listed(data: Sequence[dict[str, Any]], has_more: bool) -> dict[str, Any]:
    """A page as the client's cursor reads it."""
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {}
    return {"object": "list", "data": data, "has_more": has_more, **ends}


def _prepare(connection: Any, _: Any) -> None:
    # Written through before a commit returns: a job that was accepted survives a power cut.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
