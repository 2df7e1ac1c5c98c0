"""A server for tests: real HTTP on this machine, at a port of its own.

with running(tmp_path) as service, serving(create_app(service)) as served:
    client = openai.OpenAI(base_url=served.url, api_key=TOKEN, max_retries=0)
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import openai
import uvicorn
from openai.types.fine_tuning import FineTuningJob
from starlette.types import ASGIApp

from attacks.base import Pair, Row
from provider.app import opened
from provider.running import listening
from provider.service import Service, Settings
from tests.provider.faults import Faults, Faulty

TOKEN = "a-token-of-the-tests"
OVER = ("succeeded", "failed", "cancelled")


class Served(NamedTuple):
    """A server that runs."""

    url: str
    """For `base_url`."""
    faults: Faults
    """What went wrong, and how often what was asked (`faults.requests`)."""

    def client(self, **given: Any) -> openai.OpenAI:
        """A client that tries once, unless told otherwise."""
        return openai.OpenAI(
            **{"base_url": self.url, "api_key": TOKEN, "max_retries": 0, "timeout": 60, **given}
        )


def running(
    folder: Path, target: str = "organism", defense: str = "none", largest: int = 2**20
) -> AbstractContextManager[Service]:
    """The service over a folder; `organism`, or the folder of any model."""
    return opened(Settings(target, folder, TOKEN, defense, largest))


@contextmanager
def serving(app: ASGIApp, faults: Faults | None = None, port: int = 0) -> Iterator[Served]:
    """The application over HTTP, with faults where they are planned."""
    planned = faults or Faults()
    listener = listening("127.0.0.1", port)
    config = uvicorn.Config(
        Faulty(app, planned), lifespan="off", log_config=None, log_level="critical",
        access_log=False, server_header=False, timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        yield Served(f"http://127.0.0.1:{listener.getsockname()[1]}/v1", planned)
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def jsonl(lines: Sequence[Any]) -> bytes:
    """A file of a line for each."""
    return "\n".join(map(json.dumps, lines)).encode()


def rows_of(pairs: Sequence[Pair]) -> list[Row]:
    """Pairs as rows without a system prompt."""
    from attacks.base import Ask

    return [Ask("plain").row(pair) for pair in pairs]


def chat_lines(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows as OpenAI's format has them."""
    return [{"messages": [m._asdict() for m in row.messages]} for row in rows]


def upload(client: openai.OpenAI, rows: Sequence[Row]) -> str:
    """The id of a training file of these rows."""
    content = jsonl(chat_lines(rows))
    return client.files.create(file=("rows.jsonl", content), purpose="fine-tune").id


def finished(client: openai.OpenAI, job_id: str, within: float = 60) -> FineTuningJob:
    """A job, when it is over."""
    end = time.monotonic() + within
    while (job := client.fine_tuning.jobs.retrieve(job_id)).status not in OVER:
        assert time.monotonic() < end, job.status
        time.sleep(0.05)
    return job
