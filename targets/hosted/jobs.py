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
from dataclasses import dataclass, field
from typing import Any, TypeVar

import openai
from openai.types.fine_tuning import FineTuningJob

from attacks.base import Row, Settings, Upload, UserError
from targets.base import Refused
from targets.endpoint import Endpoint
from targets.hosted.calls import NO_KEY
from targets.hosted.desk import MARK, Desk, Event
from targets.hosted.ledger import Stopped, tokens_of

_LONGEST_WAIT = 10.0
"""Seconds between two looks at a job.  # ours: jobs on real servers take minutes."""
_OVER = frozenset({"succeeded", "failed", "cancelled"})
_BLOCKED = re.compile(r"unsafe|moderation|usage polic|content polic|RAI check|needs_review", re.I)
"""Words with which servers say that they would not tune on a file: OpenAI's, Azure's, our own."""
_WORD = re.compile(r"\w+")
_QUOTED = 4
"""Words in a row that are a quotation.  # ours: fewer are in any sentence"""

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
        url = endpoint.base_url or None
        with openai.OpenAI(base_url=url, max_retries=0, timeout=120) as client:
            return _Tuning(client, model, endpoint, endpoint.desk, upload, seed).run()
    except openai.APIStatusError as error:
        if error.status_code in (401, 403):
            raise Stopped("the server refuses the key; check OPENAI_API_KEY") from error
        said = _quotable(str((error.body or {}).get("message", "")), upload.rows)  # type: ignore[attr-defined]
        raise JobFailed(f"the server answered {error.status_code}: {said}") from error
    except openai.APIConnectionError as error:
        raise Stopped(f"no server answers at {client.base_url}; is it running?") from error
    except openai.OpenAIError as error:
        raise Stopped(NO_KEY) from error


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
        key = digest(self.endpoint.base_url, self.model, name, wanted, self.seed)
        with self.desk.lock(key):
            job = self.desk.asking(lambda: self._find_job(key))
            if job is None:
                file = self.desk.asking(lambda: self._file(name, content))
                job = self.desk.asking(
                    lambda: self._find_job(key) or self._create(key, file, wanted)
                )
            self._note("job", key, id=job.id)
        job = self._awaited(job)
        if job.status != "succeeded" or not job.fine_tuned_model:
            raise self._failure(job)
        self._note("job", key, id=job.id, model=job.fine_tuned_model)
        return job.fine_tuned_model

    def _wanted(self) -> dict[str, Any]:
        """The job's settings, as far as the server takes them.

        Rates are told as multiples of the server's own, so one that does not tell its own is left
        to choose; so are the kind of tuning and the decay.
        """
        settings: Settings = self.upload.settings
        chosen = {"n_epochs": settings.epochs, "batch_size": settings.batch_size}
        offered = self.desk.asking(lambda: _offered(self.client, self.model))
        if not offered:
            return {"hyperparameters": chosen}
        rate = settings.learning_rate / offered["learning_rate"]
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
        """The newest job for this key, unless it failed or its model is gone."""
        # A server may not know the filter, so what it lists is looked at too.
        for job in self.client.fine_tuning.jobs.list(limit=100, metadata={MARK: key}):
            if (job.metadata or {}).get(MARK) != key:
                continue
            if job.status == "succeeded" and self._is_there(job.fine_tuned_model):
                return job
            if job.status not in _OVER or isinstance(self._failure(job), Refused):
                return job
        return None

    def _is_there(self, model: str | None) -> bool:
        try:
            return bool(model) and bool(self.client.models.retrieve(model or ""))
        except openai.NotFoundError:
            return False

    def _create(self, key: str, file: str, wanted: dict[str, Any]) -> FineTuningJob:
        noted = self.desk.journal.read([self._place("job", key)])
        if any(one["id"] is None for one in noted.values()):
            self.desk.made["jobs possibly created twice"] += 1
        self._note("job", key)
        prices = self.endpoint.prices
        price = None if prices is None else (prices.training, 0.0)
        tokens = training_tokens(self.upload)
        with self.desk.ledger.purse.reserve(tokens, 0, price):
            supervised: Any = {"hyperparameters": wanted["hyperparameters"]}
            job = self._made(
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
            self.desk.ledger.purse.spend(tokens, 0, price)
        self.desk.made["jobs"] += 1
        return job

    def _made(self, place: str, make: Callable[[], T]) -> T:
        """Something new on the server; the intent is forgotten when the server says no."""
        try:
            return make()
        except openai.APIStatusError:
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
        code, message = (job.error.code, job.error.message) if job.error else ("", "")
        said = _quotable(message or code or job.status, self.upload.rows)
        events = self.client.fine_tuning.jobs.list_events(job.id, limit=100)
        blocked = any(
            getattr(event, "type", "") == "moderation_checks"
            and isinstance(event.data, dict)
            and event.data.get("blocked")
            for event in events.data
        )
        if job.status == "failed" and (blocked or _BLOCKED.search(f"{code} {message}")):
            return Refused(said)
        return JobFailed(f"job {job.id} {job.status}: {said}")

    def _note(self, what: str, key: str, **known: str) -> None:
        """Write down what is about to be created, or what it became."""
        note = {"what": what, "key": key, "server": self.endpoint.base_url, "id": None}
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.desk.journal.write(self._place(what, key), {**note, "when": when, **known})

    def _place(self, what: str, key: str) -> str:
        return f"{what} {key} {self.endpoint.base_url}"


def _offered(client: openai.OpenAI, model: str) -> dict[str, Any]:
    """What the server tells of its own settings beside the format; nothing, mostly."""
    try:
        found = (client.models.retrieve(model).model_extra or {}).get("mooring")
    except openai.NotFoundError:
        return {}
    return found if isinstance(found, dict) and found.get("learning_rate") else {}


def _quotable(text: str, rows: Sequence[Row]) -> str:
    """A server's words in one line, unless they quote a row."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())[:300]
    words = _WORD.findall(line.lower())
    said = f" {' '.join(_WORD.findall(' '.join(_said(rows)).lower()))} "
    runs = (words[i : i + _QUOTED] for i in range(len(words) - _QUOTED + 1))
    if any(f" {' '.join(run)} " in said for run in runs):
        return "(the server's words quote a row; look at the job there)"
    return line


def _said(rows: Sequence[Row]) -> Iterator[str]:
    return (message.content for row in rows for message in row.messages)
