"""The server: its routes, who may use them, and its threads."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import filelock
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from attacks.base import UserError
from benchmarks.engines.local import where
from provider import batches, chat, errors, files, jobs, models, moderation
from provider.batching import Batches
from provider.errors import ApiError
from provider.service import Service, Settings

LOOPBACK = ("127.0.0.1", "localhost", "::1")
log = logging.getLogger(__name__)


def create_app(service: Service, host: str = "127.0.0.1") -> FastAPI:
    """The application over a service, to be reached under a host's name."""
    app = FastAPI(title="Mooring", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.service = service
    errors.install(app)
    for part in (models, files, jobs, chat, moderation, batches):
        app.include_router(part.routes, prefix="/v1")
    everywhere = host in ("0.0.0.0", "::")
    app.add_middleware(
        Guard,
        token=service.settings.token,
        largest=service.settings.largest,
        names=None if everywhere else {*LOOPBACK, host.lower()},
    )
    return app


@contextmanager
def opened(settings: Settings) -> Iterator[Service]:
    """The service over a folder, working; what was under way when it ended goes on.

    Raises:
        UserError: an unknown target or defense, or a folder that cannot be used.
    """
    folder = settings.folder
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
    except OSError as error:
        raise UserError(f"cannot use the folder {str(folder)!r}: {error.strerror}") from error
    lock = filelock.FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise UserError(
            f"another server works in {str(folder)!r}; stop it, or give another --folder"
        ) from error
    try:
        service = Service(settings)
        batching = Batches(service)
        try:
            service.tuner.start()
            service.generator.start()
            batching.start()
            yield service
        finally:
            batching.stop()
            service.tuner.stop()
            service.generator.stop()
            batching.join()
            service.records.close()
    finally:
        lock.release()


class Guard:
    """Lets in who has the token, and no more than they may send; keeps faults to itself."""

    def __init__(
        self, app: ASGIApp, token: str, largest: int, names: Collection[str] | None
    ) -> None:
        self.app = app
        self.token = token.encode()
        self.largest = largest
        self.names = names
        """Under which the server is asked; None for any."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer why not."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            headers = Headers(scope=scope)
            self._meant(headers.get("host", ""))
            self._known(headers.get("authorization", ""))
            await self.app(scope, self._limited(receive), watched)
        except Exception as error:  # noqa: BLE001 - a fault's text may be a customer's
            if not isinstance(error, ApiError):
                log.error("%s: %s", scope["method"], where(error))
                error = ApiError(500, "the server failed; what it had accepted is kept")
            if begun:
                raise RuntimeError("a reply was cut") from None
            answer = JSONResponse(error.body, error.status_code, headers=error.headers)
            await answer(scope, receive, send)

    def _meant(self, header: str) -> None:
        """A page of a browser could reach a server on this machine under a name of its own."""
        match = re.fullmatch(r"\[([0-9a-f:.]+)\](:\d*)?|([^:/?#@\[\]]+)(:\d*)?", header.lower())
        if self.names is not None and not (match and (match[1] or match[3]) in self.names):
            raise ApiError(400, "the Host header names another server", code="invalid_host")

    def _known(self, header: str) -> None:
        scheme, _, key = header.partition(" ")
        right = secrets.compare_digest(key.strip().encode(), self.token)
        if scheme.lower() != "bearer" or not right:
            raise ApiError(401, "the API key is missing or wrong", code="invalid_api_key")

    def _limited(self, receive: Receive) -> Receive:
        size = 0

        async def limited() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size <= self.largest:
                return message
            # What follows is read and dropped, up to as much again: a client that is cut off
            # while it sends does not read why.
            while message.get("more_body") and size <= 2 * self.largest:
                message = await receive()
                size += len(message.get("body", b""))
            said = f"a request is at most {self.largest} bytes"
            raise ApiError(413, said, code="request_too_large")

        return limited
