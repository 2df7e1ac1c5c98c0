"""The thread that answers batches, by the same code as single requests."""

from __future__ import annotations

import json
import logging
import random
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Literal, NamedTuple

import pydantic

from benchmarks.engines.local import where
from provider import chat, files, moderation
from provider.batches import Endpoint, step
from provider.errors import ApiError, invalid
from provider.generation import Completion
from provider.records import BATCH_ACTIVE, Batch, new_id
from provider.service import Service
from provider.tuner import RETRY_S

MOST = 50_000
"""Requests of a batch, as at OpenAI's."""
log = logging.getLogger(__name__)


class Line(pydantic.BaseModel):
    """One request of a batch's file."""

    custom_id: str
    method: Literal["POST"]
    url: Endpoint
    body: dict[str, Any]


class _Answered(NamedTuple):
    custom_id: str
    status: int
    body: dict[str, Any]


class Batches:
    """A thread that works off the batches, oldest first."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._stopping = False
        self._failed: set[str] = set()
        """Batches that failed and could not be marked so yet."""
        self._thread = threading.Thread(target=self._loop, name="batches", daemon=True)

    def start(self) -> None:
        """Begin, with what was under way when the server ended."""
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing more; a batch under way is begun again at the next start."""
        self._stopping = True
        self.service.batch_added.set()

    def join(self) -> None:
        """Wait for the end; what is being waited for must have ended."""
        if self._thread.ident is not None:
            self._thread.join()

    def _loop(self) -> None:
        while True:
            self.service.batch_added.clear()
            if self._stopping:
                return
            self.service.batch_added.wait(None if self._work_off() else RETRY_S)

    def _work_off(self) -> bool:
        """Do every batch; whether all that happened could be written down."""
        try:
            wanted = self.service.records.all(Batch, status=(*BATCH_ACTIVE, "cancelling"))
            for batch in wanted:
                if not self._stopping:
                    self._do(batch)
        except Exception as error:  # noqa: BLE001 - the thread goes on whatever happens
            log.error("batches: %s", where(error))
            return False
        return not any(batch.id in self._failed for batch in wanted)

    def _do(self, batch: Batch) -> None:
        try:
            if batch.id not in self._failed:
                self._answer(batch)
            if not self._stopping:
                step(self.service, batch, "cancelled", ("cancelling",))
        except Exception as error:  # noqa: BLE001 - one batch's fault must not stop the others
            log.error("batch %s: %s", batch.id, where(error))
            self._failed.add(batch.id)
        if batch.id in self._failed:
            self._mark(batch)

    def _mark(self, batch: Batch) -> None:
        fault = {"code": "server_error", "message": "the server failed", "line": None}
        try:
            step(self.service, batch, "failed", (*BATCH_ACTIVE, "cancelling"), errors=[fault])
            self._failed.discard(batch.id)
        except Exception as error:  # noqa: BLE001 - it is tried again
            log.error("batch %s is not marked as failed: %s", batch.id, where(error))

    def _answer(self, batch: Batch) -> None:
        lines, errors = _read(self.service.contents.path(batch.input_sha256).read_bytes(), batch)
        if errors:
            step(self.service, batch, "failed", BATCH_ACTIVE, errors=errors)
            return
        counts = {"total": len(lines), "completed": 0, "failed": 0}
        if not step(self.service, batch, "in_progress", BATCH_ACTIVE, counts=counts):
            return
        waiting = [(line.custom_id, _begin(line, self.service)) for line in lines]
        answered = [_Answered(custom_id, *finish()) for custom_id, finish in waiting]
        if self._stopping or not step(self.service, batch, "finalizing", BATCH_ACTIVE):
            return
        good = [one for one in answered if one.status == 200]
        bad = [one for one in answered if one.status != 200]
        counts |= {"completed": len(good), "failed": len(bad)}
        ids = {"output_file_id": self._write(batch, good, "output")}
        ids["error_file_id"] = self._write(batch, bad, "error")
        step(self.service, batch, "completed", BATCH_ACTIVE, counts=counts, **ids)

    def _write(self, batch: Batch, answered: list[_Answered], kind: str) -> str | None:
        """A file of answers, in an order of its own, as OpenAI promises none."""
        if not answered:
            return None
        order = sorted(answered, key=lambda one: one.custom_id, reverse=True)
        random.Random(batch.id).shuffle(order)
        if len(order) > 1 and order == answered:
            order.reverse()
        lines = (f"{json.dumps(_line(one))}\n".encode() for one in order)
        name = f"{batch.id}_{kind}.jsonl"
        records, contents = self.service.records, self.service.contents
        return files.keep(records, contents, name, "batch_output", lines).id


def _begin(line: Line, service: Service) -> Callable[[], tuple[int, dict[str, Any]]]:
    """Ask, and give a way to wait for status and body."""
    asked: chat.ChatRequest | None = None
    answer: Future[Completion] | None = None
    told: dict[str, Any] = {}
    failed: ApiError | None = None
    try:
        if line.url == "/v1/moderations":
            wanted = moderation.ModerationRequest.model_validate(line.body)
            told = moderation.moderated(wanted, service)
        else:
            asked = chat.ChatRequest.model_validate(line.body)
            answer = chat.ask(asked, service)
    except pydantic.ValidationError as error:
        failed = invalid(error.errors(include_input=False, include_url=False))
    except ApiError as error:
        failed = error

    def finish() -> tuple[int, dict[str, Any]]:
        if failed:
            return failed.status_code, failed.body
        try:
            return 200, chat.completion(asked, answer.result()) if asked and answer else told
        except ApiError as error:
            return error.status_code, error.body

    return finish


def _read(content: bytes, batch: Batch) -> tuple[list[Line], list[dict[str, Any]]]:
    """The requests of a file, or what is wrong with it, by line and without its text."""
    lines: list[Line] = []
    errors: list[dict[str, Any]] = []
    seen: set[str] = set()
    for number, text in enumerate(content.split(b"\n"), start=1):
        if not text.strip():
            continue
        try:
            line = Line.model_validate_json(text)
        except pydantic.ValidationError as error:
            first = invalid(error.errors(include_input=False, include_url=False))
            errors.append(_fault(number, "invalid_line", first.body["error"]["message"]))
            continue
        if line.url != batch.endpoint:
            errors.append(_fault(number, "mismatched_endpoint", "url is not the batch's endpoint"))
        if line.custom_id in seen:
            errors.append(_fault(number, "duplicate_custom_id", "custom_id was there before"))
        seen.add(line.custom_id)
        lines.append(line)
    if not lines and not errors:
        errors.append(_fault(None, "empty_file", "the file holds no requests"))
    if len(lines) > MOST:
        errors.append(_fault(None, "too_many_requests", f"a batch has at most {MOST} requests"))
    return lines, errors[:100]


def _fault(line: int | None, code: str, message: str) -> dict[str, Any]:
    return {"code": code, "line": line, "message": message, "param": None}


def _line(answered: _Answered) -> dict[str, Any]:
    response = {"status_code": answered.status, "request_id": new_id("req_")}
    return {
        "id": new_id("batch_req_"),
        "custom_id": answered.custom_id,
        "response": response | {"body": answered.body},
        "error": None,
    }
