"""Batches: many requests in a file, in OpenAI's format."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter

from provider.errors import ApiError, unknown
from provider.jobs import Labels
from provider.records import BATCH_ACTIVE, Batch, File, listed, new_id, now
from provider.requests import Asked
from provider.service import Service, Serving

Endpoint = Literal["/v1/chat/completions", "/v1/moderations"]
routes = APIRouter()


class BatchRequest(Asked):
    """A batch as it is asked for."""

    input_file_id: str
    endpoint: Endpoint
    completion_window: Literal["24h"]
    metadata: Labels | None = None


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
    return shown(step(service, batch, "cancelling", BATCH_ACTIVE) or _find(service, batch_id))


def step(
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
