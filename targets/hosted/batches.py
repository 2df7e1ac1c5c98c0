"""Many calls in one file, answered within a day at half the price: the Batch endpoint.

Results come in any order and are told apart by the id that each request was given. Before anything
is sent, what is needed to read the answers is written down, so that a run that is killed finds its
batch again and pays for it once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any, NamedTuple

import openai
import pydantic
from openai.types import Batch
from openai.types.chat import ChatCompletion

from attacks.base import Chat
from targets.hosted.calls import NO_KEY, Answer, Server, body, read, stop
from targets.hosted.desk import MARK, Desk, Event
from targets.hosted.ledger import BATCH_DISCOUNT, Stopped, tokens_of
from targets.hosted.retries import RETRIED

LARGEST = 20_000
"""Requests in one batch.  # ours: OpenAI takes 50,000 and 200 MB, whichever comes first."""
_LONGEST_WAIT = 30.0
_OVER = frozenset({"completed", "failed", "expired", "cancelled"})


class Request(NamedTuple):
    """One call of a batch."""

    id: str
    """Unique, and the same whenever the same is asked."""
    chat: Chat
    note: str
    """What is needed to read the answer; kept here, and not sent."""


class _Response(pydantic.BaseModel):
    status_code: int
    body: Any = None


class _Line(pydantic.BaseModel):
    """A line of a batch's output; what else stands in it is not read."""

    custom_id: str
    response: _Response | None = None


Keep = Callable[[str, str, Answer], None]
"""Told a request's id, its note and its answer."""


def ask_batch(requests: Sequence[Request], server: Server, keep: Keep, desk: Desk) -> None:
    """Ask everything, first of all by finding what an earlier run has asked already.

    Raises:
        Stopped: no key, an unknown model, no such endpoint, a budget that would be passed, or no
            server; what had been answered was kept.
    """
    try:
        with openai.OpenAI(base_url=server.base_url, max_retries=0, timeout=300) as client:
            _Asking(client, server, keep, desk).run(requests)
    except openai.APIStatusError as error:
        stop(error, server)
        raise Stopped(f"the server answered {error.status_code} to a batch") from error
    except openai.APIConnectionError as error:
        raise Stopped(f"no server answers at {client.base_url}; is it running?") from error
    except openai.OpenAIError as error:
        raise Stopped(NO_KEY) from error


def waiting(server: Server, desk: Desk) -> int:
    """How many questions to this model are in batches whose answers nobody has taken."""
    found = _open(server, desk).values()
    return sum(len(entry["notes"]) for entry in found)


def _open(server: Server, desk: Desk) -> dict[str, dict[str, Any]]:
    """By place in the journal, batches that were asked of this model and not taken in."""
    wanted = {"what": "batch", "server": server.base_url or "", "model": server.model}
    return {
        place: entry
        for place, entry in desk.journal.all().items()
        if all(entry.get(name) == value for name, value in wanted.items()) and entry["notes"]
    }


@dataclass
class _Asking:
    client: openai.OpenAI
    server: Server
    keep: Keep
    desk: Desk

    def run(self, requests: Sequence[Request]) -> None:
        """Create what is lacking, then wait for all of it.

        Nobody else creates meanwhile; who waits for the same answers takes the same batch.
        """
        with ExitStack() as held:
            with self.desk.lock("batches"):
                open_ = self._found({request.id for request in requests})
                asked = {i for entry in open_.values() for i in entry["notes"]}
                rest = [request for request in requests if request.id not in asked]
                for start in range(0, len(rest), LARGEST):
                    part = rest[start : start + LARGEST]
                    held.enter_context(self._reserved(part))
                    open_ |= self._new(part)
            for place, entry in open_.items():
                self._collect(place, entry)

    def _found(self, ids: set[str]) -> dict[str, dict[str, Any]]:
        """Batches of earlier runs that hold any of these ids."""
        found = {}
        for place, entry in _open(self.server, self.desk).items():
            if not ids & entry["notes"].keys():
                continue
            number = entry["id"] or self._looked_for(entry["key"])
            if number is None:
                self.desk.journal.drop(place)  # it never arrived
                continue
            found[place] = {**entry, "id": number}
            self.desk.journal.write(place, found[place])
        return found

    def _new(self, requests: Sequence[Request]) -> dict[str, dict[str, Any]]:
        """One batch, written down before it is made."""
        content = "".join(json.dumps(self._line(request)) + "\n" for request in requests).encode()
        name = f"{hashlib.sha256(content).hexdigest()}.jsonl"
        notes = {request.id: request.note for request in requests}
        entry: dict[str, Any] = {"what": "batch", "key": name[:60], "id": None, "notes": notes}
        entry |= {"server": self.server.base_url or "", "model": self.server.model}
        place = f"batch {name}"
        self.desk.journal.write(place, entry)
        made = self.desk.asking(lambda: self._made(name, content))
        entry["id"] = made.id
        self.desk.journal.write(place, entry)
        self.desk.made["batches"] += 1
        self.desk.tell(Event(made.id, f"{len(requests)} requests; a batch may take a day"))
        return {place: entry}

    def _line(self, request: Request) -> dict[str, Any]:
        url = "/v1/chat/completions"
        return {
            "custom_id": request.id, "method": "POST", "url": url,
            "body": body(request.chat, self.server),
        }  # fmt: skip

    def _made(self, name: str, content: bytes) -> Batch:
        """The batch, found where an answer to us was lost."""
        key = name[:60]
        if number := self._find(key):
            return self.client.batches.retrieve(number)
        listed = self.client.files.list(purpose="batch")
        file = next((one.id for one in listed if one.filename == name), None)
        if file is None:
            file = self.client.files.create(file=(name, content), purpose="batch").id
        return self.client.batches.create(
            input_file_id=file, endpoint="/v1/chat/completions", completion_window="24h",
            metadata={MARK: key},
        )  # fmt: skip

    def _content(self, file: str) -> str:
        return self.desk.asking(lambda: self.client.files.content(file).text)

    def _looked_for(self, key: str) -> str | None:
        return self.desk.asking(lambda: self._find(key))

    def _find(self, key: str) -> str | None:
        batches = self.client.batches.list(limit=100)
        return next((one.id for one in batches if (one.metadata or {}).get(MARK) == key), None)

    def _collect(self, place: str, entry: dict[str, Any]) -> None:
        """Wait for a batch and hand over its answers."""
        number, notes = entry["id"], entry["notes"]
        try:
            batch = self._awaited(number)
            files = [i for i in (batch.output_file_id, batch.error_file_id) if i]
            lines = [line for file in files for line in self._content(file).splitlines()]
        except openai.NotFoundError:
            # Of another key's, or cleared away: its questions are asked, and paid for, again.
            self.desk.journal.drop(place)
            for _ in notes:
                self.desk.ledger.send(again=True)
            self.desk.tell(Event(number, "the server does not know this batch any more"))
            return
        for _ in notes:
            self.desk.ledger.send(again=False)
        answered = {i for line in lines for i in self._taken(line, notes)}
        self.desk.tell(Event(number, f"{batch.status}, {len(answered)} of {len(notes)} answered"))
        for file in [batch.input_file_id, *files]:
            note = {"what": "file", "key": file, "id": file, "server": entry["server"]}
            self.desk.journal.write(f"file {file} {entry['server']}", note)
        self.desk.journal.write(place, {**entry, "notes": {}})
        if not answered and batch.status == "failed":
            raise Stopped(f"batch {number} failed; look at it on the server")

    def _taken(self, line: str, notes: dict[str, str]) -> set[str]:
        """One answer, if it is to something that was asked."""
        try:
            told = _Line.model_validate_json(line)
        except pydantic.ValidationError:
            return set()
        if told.custom_id not in notes:
            return set()
        ledger, status = self.desk.ledger, told.response.status_code if told.response else 0
        if told.response is None or status != 200:
            why = f"the server answered {status}" if status else "the batch did not get to it"
            again = not status or status in RETRIED
            self.keep(told.custom_id, notes[told.custom_id], Answer(None, why, again))
            return {told.custom_id}
        try:
            answer = read(ChatCompletion.model_validate(told.response.body))
        except pydantic.ValidationError:
            answer = Answer(None, "an answer in no known form", again=True)
        ledger.count((answer.prompt_tokens, answer.completion_tokens), self._price())
        self.keep(told.custom_id, notes[told.custom_id], answer)
        return {told.custom_id}

    def _awaited(self, number: str) -> Batch:
        wait = 0.2
        while True:
            batch = self.desk.asking(lambda: self.client.batches.retrieve(number))
            if batch.status in _OVER:
                return batch
            if self.desk.stop.wait(wait):
                raise Stopped(f"interrupted; batch {number} goes on, and the next run finds it")
            wait = min(1.5 * wait, _LONGEST_WAIT)

    def _reserved(self, requests: Sequence[Request]) -> AbstractContextManager[None]:
        """Hold what the requests take at most."""
        extra = tokens_of(json.dumps(dict(self.server.extra))) if self.server.extra else 0
        read_ = sum(tokens_of(m.content) for request in requests for m in request.chat)
        written = self.server.max_tokens * len(requests)
        return self.desk.ledger.purse.reserve(read_ + extra * len(requests), written, self._price())

    def _price(self) -> tuple[float, float] | None:
        price = self.server.price
        return None if price is None else (BATCH_DISCOUNT * price[0], BATCH_DISCOUNT * price[1])
