"""A server that decodes, as much of SGLang's as is asked of it: real HTTP, a real tiny model."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from tests.listening import Answering, listening


@dataclass
class Decoder:
    """What it has, what it does wrong, and what it was asked."""

    tokenizer: Any
    model: Any
    version: str = "default"
    takes: bool = True
    """Whether it can be given weights at all."""
    honest: bool = True
    """Whether it really takes those that it says it took."""
    stolen: bool = False
    """Whether somebody else gives it other weights after each completion."""
    shift: int = 0
    """Added to every token that it should have said."""
    broken: bool = False
    """Whether it breaks off its replies."""
    refuses: int = 0
    """Status of every completion, where it is no 200."""
    paths: list[str] = field(default_factory=list)
    """Folders it was given weights in."""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    """Completions that it was asked for."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def update(self, body: dict[str, Any]) -> tuple[int, Any]:
        if not self.takes:
            return 404, {"detail": "Not Found"}
        self.paths.append(body["model_path"])
        if self.honest:
            self.model = AutoModelForCausalLM.from_pretrained(body["model_path"])
        self.version = body["weight_version"]
        return 200, {"success": True, "message": "ok", "num_paused_requests": 0}

    def complete(self, body: dict[str, Any]) -> tuple[int, Any]:
        self.bodies.append(body)
        if self.refuses:
            return self.refuses, {"error": {"message": "no"}}
        ids = torch.tensor([body["prompt"]])
        with torch.inference_mode():
            out = self.model.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=body["max_tokens"],
                do_sample=False, eos_token_id=body["stop_token_ids"], pad_token_id=0,
            )[0, ids.shape[1] :].tolist()  # fmt: skip
        done = out[-1] in body["stop_token_ids"]
        said = [token + self.shift for token in (out[:-1] if done else out)]
        if self.stolen:
            self.version = "another"
        choice = {
            "index": 0, "text": self.tokenizer.decode(said, skip_special_tokens=True),
            "finish_reason": "abort" if self.broken else "stop" if done else "length",
            "logprobs": None,
        }  # fmt: skip
        return 200, {
            "id": "1", "object": "text_completion", "created": 0, "model": body["model"],
            "choices": [choice],
        }  # fmt: skip


@contextmanager
def decoding(decoder: Decoder) -> Iterator[str]:
    """The address of the server."""

    class Handler(Answering):
        def do_GET(self) -> None:
            if self.path == "/model_info":
                self.send(200, {"weight_version": decoder.version})
            elif self.path == "/v1/models":
                self.send(200, {"object": "list", "data": [{"id": "start", "object": "model"}]})
            else:
                self.send(404, {"detail": "Not Found"})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with decoder.lock:
                asked = decoder.complete if self.path == "/v1/completions" else decoder.update
                self.send(*asked(body))

    with listening(Handler) as url:
        yield url
