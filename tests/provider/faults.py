"""What goes wrong between a client and a server, by a plan that a seed fixes."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Kind = Literal[
    "429", "500", "slow", "cut", "lost", "malformed", "truncated", "empty", "refusal"
]  # fmt: skip
"""`cut`: the answer breaks off and nothing was done; `lost`: it was done, and nobody hears of it.
`malformed` is no JSON; `truncated`, `empty` and `refusal` are answers to chats."""


@dataclass
class Faults:
    """Which requests go wrong, and how; by what is asked, so that the order of asking is no matter.

    Of one and the same request (method, path and body) at most `in_a_row` go wrong, the first
    ones: a client that tries again gets through.
    """

    kinds: tuple[Kind, ...] = ()
    share: float = 1.0
    """Of the requests that the paths match."""
    seed: int = 0
    paths: str = r".*"
    """A regular expression that the whole path matches."""
    in_a_row: int = 1
    headers: dict[str, str] = field(default_factory=lambda: {"retry-after-ms": "10"})
    """Of a 429."""
    delay: float = 0.2
    """Seconds of a slow one."""
    requests: Counter[str] = field(default_factory=Counter)
    """Every request that came, by method and path."""
    faulty: Counter[str] = field(default_factory=Counter)
    """What went wrong, by kind."""
    _tries: Counter[str] = field(default_factory=Counter)

    def draw(self, what: str) -> Kind | None:
        """What goes wrong with the next try of a request."""
        self._tries[what] += 1
        plan = random.Random(f"{self.seed} {what}")
        if not self.kinds or plan.random() >= self.share or self._tries[what] > self.in_a_row:
            return None
        drawn = [plan.choice(self.kinds) for _ in range(self._tries[what])]
        return drawn[-1]


class Faulty:
    """An application behind a bad line."""

    def __init__(self, app: ASGIApp, faults: Faults) -> None:
        self.app = app
        self.faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"]
        self.faults.requests[f"{scope['method']} {path}"] += 1
        if not self.faults.kinds or not re.fullmatch(self.faults.paths, path):
            await self.app(scope, receive, send)
            return
        body = await _read(receive)
        what = hashlib.sha256(body).hexdigest()
        fault = self.faults.draw(f"{scope['method']} {path} {what}")
        if fault:
            self.faults.faulty[fault] += 1
        await self._answer(fault, scope, _given(body, receive), send)

    async def _answer(self, fault: Kind | None, scope: Scope, receive: Receive, send: Send) -> None:
        if fault == "slow":
            await asyncio.sleep(self.faults.delay)
        if fault in (None, "slow"):
            await self.app(scope, receive, send)
        elif fault in ("429", "500"):
            error = {"message": f"a planned {fault}", "type": "planned", "code": None}
            headers = self.faults.headers if fault == "429" else {}
            answer = JSONResponse({"error": error}, int(fault), headers=headers)
            await answer(scope, receive, send)
        elif fault == "cut":
            await _break_off(send)
        else:
            made = await _made(self.app, scope, receive)
            if fault == "lost":
                await _break_off(send)
            else:
                await _changed(fault, made)(scope, receive, send)


async def _read(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def _given(body: bytes, receive: Receive) -> Receive:
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def give() -> Message:
        return waiting.pop() if waiting else await receive()

    return give


async def _break_off(send: Send) -> None:
    """More is promised than is sent; uvicorn then closes the line."""
    headers = [(b"content-length", b"1000"), (b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"{", "more_body": True})


async def _made(app: ASGIApp, scope: Scope, receive: Receive) -> bytes:
    parts: list[bytes] = []

    async def collect(message: Message) -> None:
        parts.append(message.get("body", b""))

    await app(scope, receive, collect)
    return b"".join(parts)


def _changed(fault: Kind, made: bytes) -> Response:
    if fault == "malformed":
        return Response(made[: len(made) // 2] + b"}", media_type="application/json")
    answer: dict[str, Any] = json.loads(made)
    for choice in answer.get("choices", []):
        message = choice["message"]
        if fault == "truncated":
            message["content"] = message["content"][: len(message["content"]) // 2]
            choice["finish_reason"] = "length"
        elif fault == "empty":
            message["content"] = ""
        else:
            message |= {"content": None, "refusal": "I cannot help with that."}
    return JSONResponse(answer)
