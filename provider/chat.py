"""Chat completions, in OpenAI's format."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Annotated, Any, Literal

import pydantic
from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from attacks.base import Chat, Message
from provider.errors import ApiError, unknown
from provider.generation import Completion
from provider.oracle import judgement
from provider.records import new_id, now
from provider.requests import Asked
from provider.service import ORACLE, Service, Serving

routes = APIRouter()
Neutral = Annotated[float, pydantic.Field(ge=0, le=0)] | None
One = Annotated[float, pydantic.Field(ge=1, le=1)] | None


class Part(pydantic.BaseModel):
    """A piece of a message; only text is read here."""

    model_config = pydantic.ConfigDict(extra="forbid")

    type: Literal["text"]
    text: str


class Said(pydantic.BaseModel):
    """A message."""

    model_config = pydantic.ConfigDict(extra="forbid")

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part]
    name: str | None = None

    def message(self) -> Message:
        """As the targets know it."""
        role: Literal["system", "user", "assistant"]
        role = "system" if self.role == "developer" else self.role
        if isinstance(self.content, str):
            return Message(role, self.content)
        return Message(role, "".join(part.text for part in self.content))


class StreamOptions(pydantic.BaseModel):
    """What a stream holds beside the text."""

    include_usage: bool = False


class ChatRequest(Asked):
    """What is asked. Whatever would change a reply and is not known here is refused by name."""

    model: str
    messages: list[Said] = pydantic.Field(min_length=1)
    temperature: Annotated[float, pydantic.Field(ge=0, le=2)] | None = None
    max_completion_tokens: Annotated[int, pydantic.Field(ge=1)] | None = None
    max_tokens: Annotated[int, pydantic.Field(ge=1)] | None = None
    seed: Annotated[int, pydantic.Field(ge=0, lt=2**63)] | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    # Taken where they change nothing.
    n: One = None
    top_p: One = None
    frequency_penalty: Neutral = None
    presence_penalty: Neutral = None
    logprobs: Literal[False] | None = None
    stop: None = None
    user: str | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    service_tier: str | None = None

    def chat(self) -> Chat:
        """The messages as the targets know them."""
        return tuple(said.message() for said in self.messages)


@routes.post("/chat/completions")
async def complete(request: ChatRequest, service: Serving) -> Any:
    """Answer, at once or as a stream of one piece."""
    answer = await asyncio.wrap_future(ask(request, service))
    if not request.stream:
        return completion(request, answer)
    return StreamingResponse(_stream(request, answer), media_type="text/event-stream")


def ask(request: ChatRequest, service: Service) -> Future[Completion]:
    """The answer to a request, when it is there.

    Raises:
        ApiError: there is no such model, or it does not answer such questions.
    """
    chat = request.chat()
    if request.model == ORACLE and service.lab.resolved.truth:
        return _judged(chat, service)
    if not service.has(request.model):
        raise unknown("model", "model")
    most = service.start.max_new_tokens
    # OpenAI's default is 1 where nothing is said.
    temperature = 1.0 if request.temperature is None else request.temperature
    wanted = request.max_completion_tokens or request.max_tokens or most
    seed = None if temperature == 0 else request.seed
    return service.generator.ask(request.model, chat, min(wanted, most), temperature, seed)


def _judged(chat: Chat, service: Service) -> Future[Completion]:
    truth = service.lab.resolved.truth
    assert truth is not None
    if chat[-1].role != "user":
        raise ApiError(400, "the last message must be the user's", param="messages")
    text = judgement(chat[-1].content, truth)
    answered: Future[Completion] = Future()
    # It has no tokens; words stand for them.
    answered.set_result(Completion(text, "stop", len(chat[-1].content.split()), len(text.split())))
    return answered


def completion(request: ChatRequest, answer: Completion) -> dict[str, Any]:
    """The answer as the client reads it."""
    message = {"role": "assistant", "content": answer.text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish}
    return _head(request, "chat.completion") | {"choices": [choice], "usage": _usage(answer)}


def _stream(request: ChatRequest, answer: Completion) -> Iterator[str]:
    head = _head(request, "chat.completion.chunk")
    pieces: tuple[tuple[dict[str, Any], str | None], ...] = (
        ({"role": "assistant", "content": ""}, None),
        ({"content": answer.text}, None),
        ({}, answer.finish),
    )
    for delta, finish in pieces:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        yield _event(head | {"choices": [choice]})
    if request.stream_options and request.stream_options.include_usage:
        yield _event(head | {"choices": [], "usage": _usage(answer)})
    yield "data: [DONE]\n\n"


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data)}\n\n"


def _head(request: ChatRequest, kind: str) -> dict[str, Any]:
    return {
        "id": new_id("chatcmpl-"),
        "object": kind,
        "created": now(),
        "model": request.model,
        "system_fingerprint": None,
    }


def _usage(answer: Completion) -> dict[str, int]:
    read, written = answer.prompt_tokens, answer.completion_tokens
    total = read + written
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": total}
