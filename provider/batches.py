"""Batches: many requests in a file, answered by the same code as one."""

from __future__ import annotations

import json
import logging
import random
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Literal, NamedTuple

import pydantic
from fastapi import APIRouter

from benchmarks.engines.local import where
from provider import chat, files, moderation
from provider.errors import ApiError, invalid, unknown
from provider.generation import Completion
from provider.jobs import Labels
from provider.records import BATCH_ACTIVE, Batch, File, listed, new_id, now
from provider.requests import Asked
from provider.service import Service, Serving

MOST = 50_000
"""Requests of a batch, as at OpenAI's."""
Endpoint = Literal["/v1/chat/completions", "/v1/moderations"]
routes = APIRouter()
log = logging.getLogger(__name__)


class BatchRequest(Asked):
    """A batch as it is asked for."""

    input_file_id: str
    endpoint: Endpoint
    completion_window: Literal["24h"]
    metadata: Labels | None = None


class Line(pydantic.BaseModel):
    """One request of a batch's file."""

    custom_id: str
    method: Literal["POST"]
    url: Endpoint
    body: dict[str, Any]


@routes.post("/batches")
def create(request: BatchRequest, service: Serving) -> dict[str, Any]:
    """Queue a batch."""
    with service.contents.lock:
        file = service.records.find(File, request.input_file_id)
        if file is None or file.purpose != "batch":
            said = "input_file_id is not the id of a file uploaded with purpose batch"
            raise ApiError(400, said, param="input_file_id", code="invalid_file")
        batch = Batch(
            id=new_id("batch_"),
            endpoint=request.endpoint,
            input_file_id=file.id,
            input_sha256=file.sha256,
            completion_window=request.completion_window,
            labels=request.metadata or {},
        )
        service.records.add(batch)
    service.batch_added.set()
    return shown(batch)


@routes.get("/batches")
def list_batches(service: Serving, after: str | None = None, limit: int = 20) -> dict[str, Any]:
    """A page of batches, newest first."""
    found, more = service.records.page(Batch, after, limit)
    return listed([shown(batch) for batch in found], more)


@routes.get("/batches/{batch_id}")
def retrieve(batch_id: str, service: Serving) -> dict[str, Any]:
    """One batch."""
    return shown(_find(service, batch_id))


@routes.post("/batches/{batch_id}/cancel")
def cancel(batch_id: str, service: Serving) -> dict[str, Any]:
    """Drop a batch; what is being answered is dropped when it is there."""
    batch = _find(service, batch_id)
    if batch.status not in BATCH_ACTIVE:
        raise ApiError(400, "the batch is over already", code="batch_not_cancellable")
    return shown(_step(service, batch, "cancelling", BATCH_ACTIVE) or _find(service, batch_id))


class _Answered(NamedTuple):
    custom_id: str
    status: int
    body: dict[str, Any]


class Batches:
    """A thread that works off the batches, oldest first."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._stopping = False
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
        while not self._stopping:
            self.service.batch_added.clear()
            for batch in self.service.records.all(Batch, status=(*BATCH_ACTIVE, "cancelling")):
                if not self._stopping:
                    self._do(batch)
            self.service.batch_added.wait()

    def _do(self, batch: Batch) -> None:
        try:
            self._answer(batch)
        except Exception as error:  # noqa: BLE001 - one batch's fault must not stop the others
            log.error("batch %s: %s", batch.id, where(error))
            fault = {"code": "server_error", "message": "the server failed", "line": None}
            _step(self.service, batch, "failed", errors=[fault])
        if not self._stopping:
            _step(self.service, batch, "cancelled", ("cancelling",))

    def _answer(self, batch: Batch) -> None:
        lines, errors = _read(self.service.contents.path(batch.input_sha256).read_bytes(), batch)
        if errors:
            _step(self.service, batch, "failed", BATCH_ACTIVE, errors=errors)
            return
        counts = {"total": len(lines), "completed": 0, "failed": 0}
        if not _step(self.service, batch, "in_progress", BATCH_ACTIVE, counts=counts):
            return
        waiting = [(line.custom_id, _begin(line, self.service)) for line in lines]
        answered = [_Answered(custom_id, *finish()) for custom_id, finish in waiting]
        if self._stopping or not _step(self.service, batch, "finalizing", BATCH_ACTIVE):
            return
        good = [one for one in answered if one.status == 200]
        bad = [one for one in answered if one.status != 200]
        counts |= {"completed": len(good), "failed": len(bad)}
        ids = {"output_file_id": self._write(batch, good, "output")}
        ids["error_file_id"] = self._write(batch, bad, "error")
        _step(self.service, batch, "completed", BATCH_ACTIVE, counts=counts, **ids)

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


def _step(
    service: Service,
    batch: Batch,
    status: str,
    only_in: tuple[str, ...] | None = None,
    **facts: Any,
) -> Batch | None:
    """Bring a batch into a status and note when; None when it has left those it may come from."""
    with service.records.session():
        found = service.records.find(Batch, batch.id)
        times = {**(found.times if found else {}), f"{status}_at": now()}
        return service.records.change(Batch, batch.id, only_in, status=status, times=times, **facts)


def shown(batch: Batch) -> dict[str, Any]:
    """A batch as the client reads it."""
    errors = {"object": "list", "data": batch.errors} if batch.errors else None
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "input_file_id": batch.input_file_id,
        "completion_window": batch.completion_window,
        "status": batch.status,
        "created_at": batch.created_at,
        "errors": errors,
        "output_file_id": batch.output_file_id,
        "error_file_id": batch.error_file_id,
        "request_counts": {"total": 0, "completed": 0, "failed": 0} | batch.counts,
        "metadata": batch.labels,
        **batch.times,
    }


def _find(service: Service, batch_id: str) -> Batch:
    batch = service.records.find(Batch, batch_id)
    if batch is None:
        raise unknown("batch")
    return batch
