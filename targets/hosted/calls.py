"""Many calls to one server: bounded in flight, retried by one owner, stopped by a budget.

The client's own retries are off (`max_retries=0`): they would not be counted, and a budget that
does not see them is none. What a call failed of is kept as a reason without the server's words,
which may quote the texts that were sent.
"""

from __future__ import annotations

import asyncio
import datetime
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import openai
from openai.types import Model
from openai.types.chat import ChatCompletion

from attacks.base import Chat
from targets.endpoint import address
from targets.hosted.ledger import Ledger, Price, Stopped, tokens_of
from targets.hosted.retries import PATIENCE, RETRIED, asked_to_wait, is_lost, retrying_async

NOT_THE_FORMAT = "something answers, but not in OpenAI's format; does the address end in /v1?"
NO_KEY = "no key: set OPENAI_API_KEY (any word will do for a server that wants none)"

WITHOUT = {
    "temperature": "temperature=none",
    "response_format": "answers=text",
    "logprobs": "probabilities=false",
    "top_logprobs": "probabilities=false",
}
"""What not every model takes, and the judge's parameter that leaves it out."""


_RETIRED = re.compile(r"deprecat|retire|shut ?down|sunset|decommission", re.I)
_DATE = re.compile(r"\b20\d\d-\d\d-\d\d\b")


class NoModel(Stopped):
    """The server does not know a model, or no more; of others it may."""


class Answer(NamedTuple):
    """What one call gave."""

    text: str | None
    """None where there is no usable answer."""
    why: str = ""
    """Why there is none, in our words."""
    again: bool = False
    """Whether there may be one another time."""
    finish: str = ""
    """Why the model ended, in the format's words."""
    model: str = ""
    """The name the server gave itself."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    logprobs: Sequence[Any] = ()
    """Its tokens' log-probabilities, as the server told them; nothing where it did not."""


class Call(NamedTuple):
    """One chat to be answered, and where its answer belongs."""

    place: int
    chat: Chat


@dataclass(frozen=True, kw_only=True)
class Server:
    """Whom to call, and how hard."""

    model: str
    base_url: str | None = None
    """None: the client's default, or `OPENAI_BASE_URL`."""
    in_flight: int = 32
    """Most calls at a time.  # ours: a minute for 330 judgements of three seconds."""
    attempts: int = 4
    """Tries of one call, the first included.  # ours: with the waits below, about ten seconds."""
    timeout: float = 120.0
    """Seconds for one try.  # ours: a long reason takes half a minute on a slow model."""
    max_tokens: int = 1024
    """Longest answer (official code: 1024)."""
    temperature: float | None = 0.0
    """0 is greedy (official code: 0); None leaves it out, for models that take none."""
    price: Price | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else a request says, as its body has it: `response_format`, say."""


Send = Callable[[openai.AsyncOpenAI, Chat, Server], Awaitable[Answer]]
"""Sends one chat, and reads what comes back."""


@dataclass
class _Window:
    """How many calls may be in flight: halved at a 429, and slowly widened by what is answered."""

    limit: int
    size: float = 0.0
    busy: int = 0
    _free: asyncio.Condition = field(default_factory=asyncio.Condition)

    def __post_init__(self) -> None:
        self.size = float(self.limit)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        async with self._free:
            await self._free.wait_for(lambda: self.busy < max(1, int(self.size)))
            self.busy += 1
        try:
            yield
        finally:
            async with self._free:
                self.busy -= 1
                self._free.notify_all()

    def narrow(self) -> None:
        self.size = max(1.0, self.size / 2)

    def widen(self) -> None:
        self.size = min(float(self.limit), self.size + 1 / max(1.0, self.size))


def check(server: Server) -> str:
    """Look for the model without asking it anything, which costs nothing.

    Returns:
        That the model will be shut down, where the server says when; else nothing.

    Raises:
        Stopped: no key or a wrong one, no such model, one that is retired, or no server.
    """
    address(server.base_url or "")
    try:
        with openai.OpenAI(base_url=server.base_url, max_retries=1, timeout=20) as client:
            try:
                return _until(client.models.retrieve(server.model))
            except openai.NotFoundError:
                # Some servers have no such page; one that lists its models knows what it has.
                for model in client.models.list():
                    if model.id == server.model:
                        return _until(model)
                raise
    except openai.APIConnectionError as error:
        raise Stopped(f"no server answers at {client.base_url}; is it running?") from error
    except openai.APIStatusError as error:
        stop(error, server)
        return ""  # a server without such pages; the first call will tell
    except openai.OpenAIError as error:
        raise Stopped(NO_KEY) from error
    except UnicodeError as error:
        raise Stopped("OPENAI_API_KEY holds letters that no key has") from error


def _until(model: Any) -> str:
    """How long a model will be there, where its server says so in a date.

    Raises:
        Stopped: no longer.
    """
    if not isinstance(model, Model):
        raise Stopped(NOT_THE_FORMAT)
    try:
        end = datetime.date.fromisoformat((model.shutdown_date or "")[:10])
    except ValueError:
        return ""
    if end <= datetime.datetime.now(datetime.UTC).date():
        raise Stopped(f"{model.id!r} was shut down on {end}; name another model")
    return f"{model.id} will be shut down on {end}"


def ask_all(
    calls: Sequence[Call],
    server: Server,
    keep: Callable[[int, Answer], None],
    ledger: Ledger | None = None,
    send: Send | None = None,
) -> Ledger:
    """Ask everything, and hand each answer to `keep` as soon as it is there.

    Args:
        calls: What to ask.
        server: Whom.
        keep: Told the call's place and its answer, or why there is none.
        ledger: Counts that go on; new ones by default.
        send: How one chat is sent and its answer read; by default as a judge's, of which one that
            was cut or left empty is none.

    Raises:
        Stopped: no key, an unknown model, a spent quota or budget, or no server; what had been
            answered was kept.
    """
    ledger = ledger or Ledger()
    asyncio.run(_ask_all(calls, server, keep, ledger, send or judged))
    return ledger


async def _ask_all(
    calls: Sequence[Call],
    server: Server,
    keep: Callable[[int, Answer], None],
    ledger: Ledger,
    send: Send,
) -> None:
    window = _Window(server.in_flight)
    try:
        client = openai.AsyncOpenAI(base_url=server.base_url, max_retries=0, timeout=server.timeout)
    except openai.OpenAIError as error:
        raise Stopped(NO_KEY) from error

    stops: list[Stopped] = []

    async def one(call: Call) -> None:
        async with window.slot():
            if stops or ledger.purse.halted:
                return  # what is under way comes back
            try:
                keep(call.place, await _answer(client, call.chat, server, window, ledger, send))
            except Stopped as stopped:
                stops.append(stopped)

    async with client, asyncio.TaskGroup() as group:
        for call in calls:
            group.create_task(one(call))
    if stops:
        raise stops[0]


async def _answer(
    client: openai.AsyncOpenAI,
    chat: Chat,
    server: Server,
    window: _Window,
    ledger: Ledger,
    send: Send,
) -> Answer:
    lost = False
    try:
        async for attempt in retrying_async(server.attempts, lambda: ledger.purse.halted):
            with attempt:
                if ledger.purse.halted:
                    raise Stopped("interrupted")
                read = sum(tokens_of(message.content) for message in chat)
                read += tokens_of(json.dumps(dict(server.extra))) if server.extra else 0
                with ledger.purse.reserve(read, server.max_tokens, server.price):
                    ledger.send(again=lost)
                    try:
                        answer = await send(client, chat, server)
                    except openai.APIError as error:
                        lost = is_lost(error)
                        if isinstance(error, openai.RateLimitError):
                            window.narrow()
                        raise
                    used = (answer.prompt_tokens, answer.completion_tokens)
                    ledger.count(used, server.price)
    except openai.APIStatusError as error:
        stop(error, server)
        if error.code == "content_filter":  # Azure's, of a request that its filter stops
            return Answer(None, "a content filter", finish="content_filter")
        again = error.status_code in RETRIED
        return Answer(None, f"the server answered {error.status_code}", again)
    except openai.APITimeoutError:
        return Answer(None, f"no answer in {server.timeout:g} s", again=True)
    except openai.APIConnectionError as error:
        if ledger.answered == 0:
            where = server.base_url or client.base_url
            raise Stopped(f"no server answers at {where}; is it running?") from error
        return Answer(None, "the connection broke", again=True)
    window.widen()
    return answer


def body(chat: Chat, server: Server) -> dict[str, Any]:
    """What one call says."""
    said: dict[str, Any] = {
        "model": server.model,
        "messages": [message._asdict() for message in chat],
        "max_completion_tokens": server.max_tokens,
        **server.extra,
    }
    return said if server.temperature is None else {**said, "temperature": server.temperature}


async def judged(client: openai.AsyncOpenAI, chat: Chat, server: Server) -> Answer:
    """A judge's answer: refused, cut, filtered and empty ones are none."""
    return read(_known(await client.chat.completions.create(**body(chat, server))))


async def replied(client: openai.AsyncOpenAI, chat: Chat, server: Server) -> Answer:
    """A tuned model's reply: whatever came is what its customers get."""
    completion = _known(await client.chat.completions.create(**body(chat, server)))
    if not completion.choices:
        return read(completion)
    message = completion.choices[0].message
    return read(completion)._replace(text=message.content or message.refusal or "", why="")


def _known(completion: Any) -> ChatCompletion:
    """An answer in the format; the client hands over whatever else a server says as text."""
    if isinstance(completion, ChatCompletion):
        return completion
    raise Stopped(NOT_THE_FORMAT)


def stop(error: openai.APIStatusError, server: Server) -> None:
    """Whatever would fail every call alike ends the run at once."""
    if error.status_code in (401, 403):
        raise Stopped("the server refuses the key; check OPENAI_API_KEY") from error
    if (seconds := asked_to_wait(error)) and seconds > PATIENCE:
        raise Stopped(f"the server asks to wait {seconds:.0f} s; the same command goes on then")
    if error.status_code == 404:
        gone = _RETIRED.search(str(error.body))
        when = _DATE.search(str(error.body)) if gone else None
        ended = f" any more: retired{f' on {when[0]}' if when else ''}" * bool(gone)
        path = urlsplit(server.base_url or "").path
        hint = "; does its address end in /v1?" * bool(server.base_url and "/v" not in path)
        raise NoModel(f"the server knows no model {server.model!r}{ended}{hint}") from error
    if error.code == "insufficient_quota":
        raise Stopped("the quota is spent; what was answered is kept") from error
    if error.status_code == 400 and (name := (error.param or "").partition(".")[0]) in WITHOUT:
        raise Stopped(f"{server.model!r} takes no {name}; add {WITHOUT[name]}") from error


def read(completion: ChatCompletion) -> Answer:
    """The text of a completion; refused, cut, filtered and empty ones are none."""
    facts: dict[str, Any] = {"model": completion.model}
    if completion.usage:
        facts["prompt_tokens"] = completion.usage.prompt_tokens
        facts["completion_tokens"] = completion.usage.completion_tokens
    if not completion.choices:
        return Answer(None, "an answer without a choice", **facts)
    choice = completion.choices[0]
    facts["finish"] = choice.finish_reason
    reasons = {"length": "the answer was cut", "content_filter": "a content filter"}
    if choice.finish_reason in reasons:
        return Answer(None, reasons[choice.finish_reason], **facts)
    if choice.message.refusal:
        return Answer(None, "the model refused to answer", **facts)
    if not choice.message.content:
        return Answer(None, "an empty answer", **facts)
    told = (choice.logprobs and choice.logprobs.content) or ()
    return Answer(choice.message.content, **facts, logprobs=told)
