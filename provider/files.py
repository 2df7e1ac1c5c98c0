"""Uploaded files. What a client calls them is kept and given back, and is never a path."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from provider.contents import Contents
from provider.errors import ApiError, unknown
from provider.records import LARGEST_PAGE, File, Records, listed, new_id
from provider.requests import is_text
from provider.service import Service, Serving

PURPOSES = ("fine-tune", "batch")
LONGEST_NAME = 512
CHUNK = 2**20
routes = APIRouter()


@routes.post("/files")
async def upload(request: Request, service: Serving) -> dict[str, Any]:
    """Keep a file."""
    try:
        form = await request.form(max_files=1, max_fields=16)
    except (HTTPException, UnicodeError) as error:
        if isinstance(error, ApiError):
            raise
        raise ApiError(400, "the body is not a multipart form with one file") from error
    try:
        purpose, sent = form.get("purpose"), form.get("file")
        if purpose not in PURPOSES:
            raise ApiError(400, f"purpose is one of {', '.join(PURPOSES)}", param="purpose")
        if not isinstance(sent, UploadFile):
            raise ApiError(400, "a file is missing", param="file")
        name = (sent.filename or "file")[:LONGEST_NAME]
        if not is_text(name):
            raise ApiError(400, "the file's name is no text", param="file", code="invalid_value")
        chunks = iter(lambda: sent.file.read(CHUNK), b"")
        kept = await run_in_threadpool(
            keep, service.records, service.contents, name, str(purpose), chunks
        )
        return shown(kept)
    finally:
        await form.close()


@routes.get("/files")
def list_files(
    service: Serving,
    after: str | None = None,
    limit: int = LARGEST_PAGE,
    order: Literal["asc", "desc"] = "desc",
    purpose: str | None = None,
) -> dict[str, Any]:
    """A page of files."""
    facts: dict[str, Any] = {} if purpose is None else {"purpose": purpose}
    newest = order == "desc"
    found, more = service.records.page(File, after, limit, newest_first=newest, **facts)
    return listed([shown(file) for file in found], more)


@routes.get("/files/{file_id}")
def retrieve(file_id: str, service: Serving) -> dict[str, Any]:
    """One file's description."""
    return shown(_find(service, file_id))


@routes.get("/files/{file_id}/content")
def content(file_id: str, service: Serving) -> FileResponse:
    """One file's content, to the byte."""
    path = service.contents.path(_find(service, file_id).sha256)
    return FileResponse(path, media_type="application/octet-stream")


@routes.delete("/files/{file_id}")
def delete(file_id: str, service: Serving) -> dict[str, Any]:
    """Forget a file; a job that was accepted before keeps its rows until it is over."""
    file = _find(service, file_id)
    with service.contents.lock:
        service.records.remove(file)
        service.release(file.sha256)
    return {"id": file_id, "object": "file", "deleted": True}


def keep(
    records: Records, contents: Contents, name: str, purpose: str, chunks: Iterator[bytes]
) -> File:
    """Keep a file under its hash, and describe it."""
    with contents.lock:
        sha256, size = contents.keep(chunks)
        file = File(id=new_id("file-"), filename=name, purpose=purpose, bytes=size, sha256=sha256)
        records.add(file)
    return file


def shown(file: File) -> dict[str, Any]:
    """A file as the client reads it."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": file.created_at,
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
    }


def _find(service: Service, file_id: str) -> File:
    file = service.records.find(File, file_id)
    if file is None:
        raise unknown("file")
    return file
