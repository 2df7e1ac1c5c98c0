"""A real HTTP server on this machine that speaks as much of the format as a test needs."""

from __future__ import annotations

import json
import math
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.listening import Answering, listening


@dataclass
class Plan:
    """What the server does, and what it saw."""

    reply: Callable[[str], str] = lambda text: "I answer."
    """Text of the answer to the last message."""
    chances: Callable[[str], dict[str, float]] = lambda token: {token: 1.0}
    """Probabilities of a token of the answer and of others in its place."""
    fault: Callable[[str, int], int | str] = lambda text, attempt: 200
    """Status for a message's nth try (from 1); `hang up` answers nobody after the work is done."""
    moderate: Callable[[list[str]], Any] = lambda texts: []
    """Results of the moderation endpoint, whatever they are; text that is no JSON in bytes."""
    latency: float = 0.0
    finish: str = "stop"
    refused: str = ""
    """What the model says where it declines to answer in the wanted form."""
    without: tuple[str, ...] = ()
    """Parameters that the model does not take."""
    shutdown: str | None = None
    """When the server says that its models end."""
    unknown: str = "no"
    """What it says of models that it does not know: those called `nobody`."""
    headers: dict[str, str] = field(default_factory=dict)
    tries: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    """Messages whose work was done, answered or not."""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    """Requests, as they came."""
    busy: int = 0
    most_busy: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def serving(plan: Plan) -> Iterator[str]:
    """The base URL of a server that follows the plan."""

    class Handler(Answering):
        headers_sent = plan.headers

        def do_GET(self) -> None:
            name = self.path.rsplit("/", 1)[-1]
            if self.headers["Authorization"] == "Bearer wrong":
                self.send(401, {"error": {"message": "no", "code": None}})
            elif name == "models":
                self.send(200, {"object": "list", "data": []})
            elif name == "nobody":
                self.send(404, {"error": {"message": plan.unknown, "code": None}})
            else:
                model = {"id": name, "object": "model", "created": 0, "owned_by": "x"}
                self.send(200, model | {"shutdown_date": plan.shutdown})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            deciding = self.path.endswith("/decisions")
            moderating = self.path.endswith("/moderations")
            text = body["messages"][-1]["content"] if "messages" in body else str(body["input"])
            with plan.lock:
                plan.bodies.append(body)
                plan.tries[text] += 1
                attempt = plan.tries[text]
                plan.busy += 1
                plan.most_busy = max(plan.most_busy, plan.busy)
            time.sleep(plan.latency)
            fault = plan.fault(text, attempt)
            with plan.lock:
                plan.busy -= 1
                if fault in (200, "hang up"):
                    plan.done[text] += 1
            if fault == "hang up":
                self.close_connection = True
                self.connection.close()
            elif unknown := next((name for name in plan.without if name in body), None):
                self.send(400, {"error": {"message": "no", "code": None, "param": unknown}})
            elif fault == 200 and moderating:
                results = plan.moderate(body["input"])
                told = {"id": "m", "model": body["model"], "results": results}
                self.send(200, results if isinstance(results, bytes) else told)
            elif fault == 200:
                self.send(200, (_decision if deciding else _completion)(plan, text, body))
            else:
                self.send(int(fault), {"error": {"message": f"about {text}", "code": None}})

    with listening(Handler) as url:
        yield url


def _completion(plan: Plan, text: str, body: dict[str, Any]) -> dict[str, Any]:
    said = plan.reply(text)
    message = {"role": "assistant", "content": said, "refusal": plan.refused or None}
    choice = {"index": 0, "finish_reason": plan.finish, "message": message}
    if body.get("logprobs"):
        tokens = re.findall(r"\d|\s+|[^\d\s]+", said)
        choice["logprobs"] = {"content": [_token(one, plan.chances(one)) for one in tokens]}
    return {
        "id": "1", "object": "chat.completion", "created": 0, "model": f"{body['model']}-2026",
        "choices": [choice],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    }  # fmt: skip


def _token(text: str, chances: dict[str, float]) -> dict[str, Any]:
    def one(word: str, chance: float) -> dict[str, Any]:
        logprob = math.log(chance) if chance else -9999.0
        return {"token": word, "bytes": list(word.encode()), "logprob": logprob}

    top = [one(word, chance) for word, chance in chances.items()]
    return {**one(text, chances.get(text, 0.0)), "top_logprobs": top}


def _decision(plan: Plan, text: str, body: dict[str, Any]) -> dict[str, Any]:
    """The plan's reply is the one answer, as JSON."""
    return {
        "answers": [json.loads(plan.reply(text))],
        "model": f"{body['model']}-2026",
        "usage": {
            "input_tokens": 7,
            "input_tokens_details": {"cache_write_tokens": 0, "cached_tokens": 0},
            "output_tokens": 3,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 10,
        },
    }
