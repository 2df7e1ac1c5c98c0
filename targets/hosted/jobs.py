"""Fine-tuning through somebody's API: one file, one job, whatever happens in between.

The format has no idempotency key (the client sends none, and a lost answer may be an accepted job),
so every write is preceded by a record of the intent, and whoever is about to create something first
looks whether it is there: files are named by the hash of their content, and a job carries the hash
of all that was asked for in its metadata.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import openai
from openai.types.fine_tuning import FineTuningJob

from attacks.base import Row, Settings, Upload, UserError
from targets.base import Refused
from targets.endpoint import Endpoint
from targets.hosted.desk import MARK, Desk, Event
from targets.hosted.ledger import Stopped, tokens_of
from targets.hosted.looking import client_of, is_there, offered
from targets.hosted.retries import is_lost

_LONGEST_WAIT = 10.0
"""Seconds between two looks at a job.  # ours: jobs on real servers take minutes."""
_OVER = frozenset({"succeeded", "failed", "cancelled"})
_BLOCKED = frozenset({"unsafe_training_file", "unsafe_model", "content_policy_violation"})
_REVIEW = "needs_review"
_SAID = re.compile(
    r"blocked by our moderation system|violates? .{0,40}usage polic|failed RAI checks", re.I
)
"""How servers say that they would not tune on a file: by our own codes, or in OpenAI's and Azure's
words; anything else is a failure that may not be met again."""
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
_QUOTED = 14
"""Letters in a row that are a quotation.  # ours: three or four words"""

T = TypeVar("T")


class JobFailed(UserError):
    """The server did not make the model; the next run asks again."""

    exit_code = 4


def tuned(model: str, endpoint: Endpoint, upload: Upload, seed: int) -> str:
    """The name of the model that tuning makes.

    Raises:
        Refused: the server's own moderation stopped the job.
        JobFailed: it failed, or somebody cancelled it.
        Stopped: nothing can be asked of the server, or a budget would be passed.
    """
    assert endpoint.desk is not None
    try:
        with client_of(endpoint) as client:
            return _Tuning(client, model, endpoint, endpoint.desk, upload, seed).run()
    except openai.APIStatusError as error:
        message = error.body.get("message", "") if isinstance(error.body, dict) else ""
        said = _quotable(str(message), upload.rows)
        raise JobFailed(f"the server answered {error.status_code}: {said}") from error


def training_file(rows: Sequence[Row]) -> bytes:
    """Rows as the format's chat JSONL."""
    chats = ({"messages": [message._asdict() for message in row.messages]} for row in rows)
    return "".join(json.dumps(chat) + "\n" for chat in chats).encode()


def training_tokens(upload: Upload) -> int:
    """Tokens that a job reads, about: every row in every epoch."""
    texts = (tokens_of(m.content) for row in upload.rows for m in row.messages)
    return sum(texts) * upload.settings.epochs


def digest(*parts: Any) -> str:
    """Hash of plain data."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass
class _Tuning:
    """One job, from the rows to the model's name."""

    client: openai.OpenAI
    model: str
    endpoint: Endpoint
    desk: Desk
    upload: Upload
    seed: int
    told: set[str] = field(default_factory=set)
    """Events of the server's that were passed on."""

    def run(self) -> str:
        content = training_file(self.upload.rows)
        name = f"{hashlib.sha256(content).hexdigest()}.jsonl"
        wanted = self._wanted()
        server = [self.endpoint.base_url, self.endpoint.fingerprint]
        key = digest(server, self.model, name, wanted, self.seed)
        with self.desk.lock(key):
            job = self.desk.asking(lambda: self._find_job(key)) or self._new(
                key, name, content, wanted
            )
            self._note("job", key, id=job.id)
        job = self._awaited(job)
        if job.status != "succeeded" or not job.fine_tuned_model:
            raise self._failure(job)
        self._note("job", key, id=job.id, model=job.fine_tuned_model)
        return job.fine_tuned_model

    def _new(self, key: str, name: str, content: bytes, wanted: dict[str, Any]) -> FineTuningJob:
        """A job that was not there, or one that we made and whose answer was lost."""
        prices = self.endpoint.prices
        price = None if prices is None else (prices.training, 0.0)
        tokens = training_tokens(self.upload)
        with self.desk.ledger.purse.reserve(tokens, 0, price):
            file = self.desk.asking(lambda: self._file(name, content))
            job = self.desk.asking(lambda: self._find_job(key) or self._create(key, file, wanted))
            self.desk.ledger.purse.spend(tokens, 0, price)
        self.desk.made["jobs"] += 1
        return job

    def _wanted(self) -> dict[str, Any]:
        """The job's settings, as far as the server takes them.

        Rates are told as multiples of the server's own, so one that does not tell its own is left
        to choose; so are the kind of tuning and the decay (`Endpoint.caveats`).
        """
        settings: Settings = self.upload.settings
        chosen = {"n_epochs": settings.epochs, "batch_size": settings.batch_size}
        told = self.desk.asking(lambda: offered(self.client, self.model))
        if not told.get("learning_rate"):
            return {"hyperparameters": chosen}
        rate = settings.learning_rate / told["learning_rate"]
        extra = {"tuning": settings.tuning, "decay": settings.decay}
        return {"hyperparameters": {**chosen, "learning_rate_multiplier": rate}, "extra": extra}

    def _file(self, name: str, content: bytes) -> str:
        """The id of the file, uploaded unless the server has it."""
        with self.desk.lock(name):
            for file in self.client.files.list(purpose="fine-tune"):
                if file.filename == name and file.status != "error":
                    self._note("file", name, id=file.id)
                    return file.id
            self._note("file", name)
            made = self._made(
                self._place("file", name),
                lambda: self.client.files.create(file=(name, content), purpose="fine-tune"),
            )
            self.desk.made["files"] += 1
            self._note("file", name, id=made.id)
            return made.id

    def _find_job(self, key: str) -> FineTuningJob | None:
        """The job for this key: the one that was written down, or else the newest on the server.

        One that failed is none, and neither is one whose model is gone.
        """
        known = self._noted(key)
        if known is not None and known["id"]:
            with suppress(openai.NotFoundError):
                job = self.client.fine_tuning.jobs.retrieve(known["id"])
                if self._counts(job):
                    return job
        # A server may not know the filter, so what it lists is looked at too.
        for job in self.client.fine_tuning.jobs.list(limit=100, metadata={MARK: key}):
            if (job.metadata or {}).get(MARK) == key and self._counts(job):
                return job
        return None

    def _counts(self, job: FineTuningJob) -> bool:
        if job.status == "succeeded":
            return is_there(self.client, job.fine_tuned_model or "", self.model)
        return job.status not in _OVER or isinstance(self._failure(job), Refused)

    def _noted(self, key: str) -> dict[str, Any] | None:
        place = self._place("job", key)
        return self.desk.journal.read([place]).get(place)

    def _create(self, key: str, file: str, wanted: dict[str, Any]) -> FineTuningJob:
        noted = self._noted(key)
        if noted is not None and noted["id"] is None:
            self.desk.made["jobs possibly twice"] += 1
        self._note("job", key)
        supervised: Any = {"hyperparameters": wanted["hyperparameters"]}
        return self._made(
            self._place("job", key),
            lambda: self.client.fine_tuning.jobs.create(
                model=self.model,
                training_file=file,
                method={"type": "supervised", "supervised": supervised},
                seed=self.seed,
                suffix=MARK,
                metadata={MARK: key},
                extra_body={"mooring": wanted["extra"]} if "extra" in wanted else None,
            ),
        )

    def _made(self, place: str, make: Callable[[], T]) -> T:
        """Something new on the server; the intent is forgotten when the server says no."""
        try:
            return make()
        except openai.APIStatusError as error:
            if not is_lost(error):
                self.desk.journal.drop(place)
            raise

    def _awaited(self, job: FineTuningJob) -> FineTuningJob:
        """The job when it is over, telling its events meanwhile."""
        wait, number = 0.2, job.id
        while True:
            job = self.desk.asking(lambda: self.client.fine_tuning.jobs.retrieve(number))
            self._tell(number)
            if job.status in _OVER:
                return job
            if self.desk.stop.wait(wait):
                raise Stopped(f"interrupted; job {number} goes on, and the next run finds it")
            wait = min(1.5 * wait, _LONGEST_WAIT)

    def _tell(self, job: str) -> None:
        page = self.desk.asking(lambda: self.client.fine_tuning.jobs.list_events(job, limit=100))
        for event in reversed(page.data):
            if event.id not in self.told:
                self.told.add(event.id)
                said = _quotable(event.message, self.upload.rows)
                self.desk.tell(Event(job, said, passing=event.type == "metrics"))

    def _failure(self, job: FineTuningJob) -> UserError:
        """Why there is no model: refused by the server's moderation, or failed."""
        code, message = (job.error.code or "", job.error.message or "") if job.error else ("", "")
        said = _quotable(message or code or job.status, self.upload.rows)
        events = self.client.fine_tuning.jobs.list_events(job.id, limit=100)
        blocked = any(
            getattr(event, "type", "") == "moderation_checks"
            and isinstance(event.data, dict)
            and event.data.get("blocked")
            for event in events.data
        )
        if job.status == "failed" and code == _REVIEW:
            return Refused(said, review=True)
        if job.status == "failed" and (blocked or code in _BLOCKED or _SAID.search(message)):
            return Refused(said)
        return JobFailed(f"job {job.id} {job.status}: {said}")

    def _note(self, what: str, key: str, **known: str) -> None:
        """Write down what is about to be created, or what it became."""
        note = {"what": what, "key": key, "server": self.endpoint.base_url, "id": None}
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.desk.journal.write(self._place(what, key), {**note, "when": when, **known})

    def _place(self, what: str, key: str) -> str:
        return f"{what} {key} {self.endpoint.base_url}"


def _quotable(text: str, rows: Sequence[Row]) -> str:
    """A server's words in one line, unless they quote a row."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())[:300]
    told, said = _letters(_ESCAPE.sub(_unescaped, line)), _letters("\n".join(_said(rows)))
    if any(told[i : i + _QUOTED] in said for i in range(len(told) - _QUOTED + 1)):
        return "(the server's words quote a row; look at the job there)"
    return line


def _letters(text: str) -> str:
    """A text without spaces, signs and case, so that none of them hides a quotation."""
    return "".join(filter(str.isalnum, text.casefold()))


def _unescaped(match: re.Match[str]) -> str:
    return chr(int(match[1], 16))


def _said(rows: Sequence[Row]) -> Iterator[str]:
    return (message.content for row in rows for message in row.messages)
