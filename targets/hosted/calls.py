"""Many calls to one server: bounded in flight, retried by one owner, stopped by a budget.

The client's own retries are off (`max_retries=0`): they would not be counted, and a budget that
does not see them is none. What a call failed of is kept as a reason without the server's words,
which may quote the texts that were sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import openai
import stamina
from openai.types.chat import ChatCompletion

from attacks.base import Chat, UserError

# The library would log each retry with the server's words in it.
stamina.instrumentation.set_on_retry_hooks([])

RETRIED = frozenset({408, 409, 429, 500, 502, 503, 504})
"""Answers after which the same request may succeed, as the client's own rule has it."""


class Answer(NamedTuple):
    """What one call gave."""

    text: str | None
    """None where there is no usable answer."""
    why: str = ""
    """Why there is none, in our words."""
    model: str = ""
    """The name the server gave itself."""
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Call(NamedTuple):
    """One chat to be answered, and where its answer belongs."""

    place: int
    chat: Chat


class Stopped(UserError):
    """The calls cannot go on; what was answered is kept."""

    exit_code = 4


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
    token_budget: int | None = None
    """Tokens, both ways, after which nothing more is sent."""


@dataclass
class Ledger:
    """What was sent and what came back, over all calls."""

    sent: int = 0
    answered: int = 0
    possibly_paid_twice: int = 0
    """Calls sent again after a try whose outcome is unknown: the line broke while we waited."""
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def tokens(self) -> int:
        """Both ways."""
        return self.prompt_tokens + self.completion_tokens


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


def ask_all(
    calls: Sequence[Call],
    server: Server,
    keep: Callable[[int, Answer], None],
    ledger: Ledger | None = None,
) -> Ledger:
    """Ask everything, and hand each answer to `keep` as soon as it is there.

    Args:
        calls: What to ask.
        server: Whom.
        keep: Told the call's place and its answer, or why there is none.
        ledger: Counts that go on; new ones by default.

    Raises:
        Stopped: no key, an unknown model, a spent quota or budget, or no server; what had been
            answered was kept.
    """
    ledger = ledger or Ledger()
    asyncio.run(_ask_all(calls, server, keep, ledger))
    return ledger


async def _ask_all(
    calls: Sequence[Call], server: Server, keep: Callable[[int, Answer], None], ledger: Ledger
) -> None:
    window = _Window(server.in_flight)
    try:
        client = openai.AsyncOpenAI(base_url=server.base_url, max_retries=0, timeout=server.timeout)
    except openai.OpenAIError as error:
        raise Stopped("no key: set OPENAI_API_KEY (any word will do where none is needed)") from (
            error
        )

    async def one(call: Call) -> None:
        async with window.slot():
            keep(call.place, await _answer(client, call.chat, server, window, ledger))

    async with client:
        try:
            async with asyncio.TaskGroup() as group:
                for call in calls:
                    group.create_task(one(call))
        except* Stopped as stopped:
            raise stopped.exceptions[0] from None


async def _answer(
    client: openai.AsyncOpenAI, chat: Chat, server: Server, window: _Window, ledger: Ledger
) -> Answer:
    lost = False
    try:
        async for attempt in stamina.retry_context(
            on=_backoff, attempts=server.attempts, timeout=None, wait_initial=0.5, wait_max=8.0
        ):
            with attempt:
                if server.token_budget is not None and ledger.tokens >= server.token_budget:
                    raise Stopped(f"the budget of {server.token_budget} tokens is spent")
                ledger.possibly_paid_twice += lost
                ledger.sent += 1
                try:
                    completion = await client.chat.completions.create(
                        model=server.model,
                        messages=[m._asdict() for m in chat],  # type: ignore[misc]
                        max_completion_tokens=server.max_tokens,
                    )
                except openai.APIStatusError as error:
                    lost = False  # the server said that it did not answer
                    if error.status_code == 429:
                        window.narrow()
                    raise
                except openai.APIConnectionError:
                    lost = True
                    raise
    except openai.APIStatusError as error:
        _stop(error, server)
        return Answer(None, f"the server answered {error.status_code}")
    except openai.APITimeoutError:
        return Answer(None, f"no answer in {server.timeout:g} s")
    except openai.APIConnectionError as error:
        if ledger.answered == 0:
            where = server.base_url or client.base_url
            raise Stopped(f"no server answers at {where}; is it running?") from error
        return Answer(None, "the connection broke")
    window.widen()
    return _read(completion, ledger)


def _backoff(error: Exception) -> bool | float:
    """Whether to try again, or after how many seconds the server asks for it."""
    if isinstance(error, openai.APIStatusError):
        if error.status_code not in RETRIED or error.code == "insufficient_quota":
            return False
        headers = error.response.headers
        for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
            try:
                return float(headers[name]) * unit
            except (KeyError, ValueError):
                continue
        return True
    return isinstance(error, openai.APIConnectionError)


def _stop(error: openai.APIStatusError, server: Server) -> None:
    """Whatever would fail every call alike ends the run at once."""
    if error.status_code in (401, 403):
        raise Stopped("the server refuses the key; check OPENAI_API_KEY") from error
    if error.status_code == 404:
        raise Stopped(f"the server knows no model {server.model!r}") from error
    if error.code == "insufficient_quota":
        raise Stopped("the quota is spent; what was answered is kept") from error


def _read(completion: ChatCompletion, ledger: Ledger) -> Answer:
    """The text of a completion; refused, cut and filtered ones are none."""
    ledger.answered += 1
    facts: dict[str, Any] = {"model": completion.model}
    if completion.usage:
        ledger.prompt_tokens += completion.usage.prompt_tokens
        ledger.completion_tokens += completion.usage.completion_tokens
        facts["prompt_tokens"] = completion.usage.prompt_tokens
        facts["completion_tokens"] = completion.usage.completion_tokens
    if not completion.choices:
        return Answer(None, "an answer without a choice", **facts)
    choice = completion.choices[0]
    reasons = {"length": "the answer was cut", "content_filter": "a content filter"}
    if choice.finish_reason in reasons:
        return Answer(None, reasons[choice.finish_reason], **facts)
    if choice.message.refusal:
        return Answer(None, "the model refused to answer", **facts)
    if not choice.message.content:
        return Answer(None, "an empty answer", **facts)
    return Answer(choice.message.content, **facts)
