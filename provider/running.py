"""Running the server until it is interrupted."""

from __future__ import annotations

import ipaddress
import os
import secrets
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import uvicorn

from attacks.base import UserError
from benchmarks.engines.local import WORKER_ENVIRONMENT
from provider.app import create_app, opened
from provider.service import Settings, default_folder

TOKEN = "MOORING_SERVE_TOKEN"
GRACE_S = 5
"""How long answers that are under way may take at the end."""


def serve(
    target: str,
    defense: str,
    host: str,
    port: int,
    folder: Path | None,
    say: Callable[[str], object],
) -> None:
    """Serve until Ctrl-C.

    Raises:
        UserError: an unknown target, or a port, a folder or a host that cannot be used.
    """
    given = os.environ.get(TOKEN, "")
    if not given and not _is_loopback(host):
        raise UserError(f"--host {host} can be reached from elsewhere; set {TOKEN} to a secret")
    # Before torch is imported here: spinning threads would slow the training process down.
    os.environ.update(WORKER_ENVIRONMENT)
    settings = Settings(
        target=target,
        folder=folder or default_folder(),
        token=given or secrets.token_urlsafe(24),
        defense=defense,
    )
    with listening(host, port) as listener, opened(settings) as service:
        url = _url(host, listener.getsockname()[1])
        say(f"export OPENAI_BASE_URL={url}")
        if given:
            say(f"export OPENAI_API_KEY=${TOKEN}   # the token from your environment")
        else:
            say(f"export OPENAI_API_KEY={settings.token}")
        say(f"\nServes {', '.join(service.models())}; {service.base} can be fine-tuned.")
        say(f"Defense: {defense}. Files, jobs and models are kept in {settings.folder}.")
        say("Ctrl-C ends it; a job under way goes on at the next start.")
        config = uvicorn.Config(
            create_app(service, host),
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            timeout_graceful_shutdown=GRACE_S,
        )
        # uvicorn raises the signal that ended it once more; SIGTERM too is to end this in order.
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            # A process that was started with signals ignored, behind `nohup`, say, sees none again.
            with suppress(KeyboardInterrupt):
                uvicorn.Server(config).run(sockets=[listener])
            say("\nended")
        finally:
            signal.signal(signal.SIGTERM, before)


def listening(host: str, port: int) -> socket.socket:
    """A socket to serve on; port 0 is any free one.

    Raises:
        UserError: it cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        why = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"cannot listen on {host}:{port}: {why}; give another --port") from error
    return listener


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"
