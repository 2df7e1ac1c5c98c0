"""When a request is tried again, after how long, and when no more: one rule for all calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import openai
import tenacity

RETRIED = frozenset({408, 409, 429, 500, 502, 503, 504})
"""Answers after which the same request may succeed, as the client's own rule has it."""
PATIENCE = 60.0
"""Longest wait in seconds that a server may ask for.  # ours: a limit by the minute can be waited
for, one by the day cannot"""
FIRST_WAIT = 0.5
LONGEST_WAIT = 8.0
"""Seconds between tries where the server asks for none (the client's own: 0.5 to 8)."""


def asked_to_wait(error: openai.APIStatusError) -> float | None:
    """The seconds that a server asks for before the next try."""
    headers = error.response.headers
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[name]) * unit)
        except (KeyError, ValueError):
            continue
    return None


def is_worth_another_try(error: BaseException) -> bool:
    """Whether the same request may be answered in a moment."""
    if isinstance(error, openai.APIStatusError):
        if error.status_code not in RETRIED or error.code == "insufficient_quota":
            return False
        return (asked_to_wait(error) or 0.0) <= PATIENCE
    return isinstance(error, openai.APIConnectionError)


def is_lost(error: openai.APIError) -> bool:
    """Whether the request may have been done all the same: nobody who did it said that it was not.

    A gateway that gave up waiting (502, 504) does not know.
    """
    if isinstance(error, openai.APIStatusError):
        return error.status_code in (502, 504)
    return isinstance(error, openai.APIConnectionError)


def retrying(attempts: int, wait: Callable[[float], object]) -> tenacity.Retrying:
    """Tries one after the other, the last error raised as it is.

    `wait` waits so many seconds, or less where nobody waits for an answer any more.
    """
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(is_worth_another_try),
        stop=tenacity.stop_after_attempt(attempts),
        wait=_pause,
        sleep=_only(wait),
        reraise=True,
    )


def retrying_async(attempts: int, halted: Callable[[], bool]) -> tenacity.AsyncRetrying:
    """The same beside each other; no wait goes on once `halted`."""

    async def wait(seconds: float) -> None:
        while seconds > 0 and not halted():
            await asyncio.sleep(min(seconds, _STEP))
            seconds -= _STEP

    return tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception(is_worth_another_try),
        stop=tenacity.stop_after_attempt(attempts),
        wait=_pause,
        sleep=wait,
        reraise=True,
    )


def _only(wait: Callable[[float], object]) -> Callable[[float], None]:
    def waited(seconds: float) -> None:
        wait(seconds)

    return waited


_STEP = 0.2


def _pause(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = asked_to_wait(error) if isinstance(error, openai.APIStatusError) else None
    if asked is not None:
        return asked
    doubled = tenacity.wait_exponential(multiplier=FIRST_WAIT, max=LONGEST_WAIT)
    return doubled(state) + tenacity.wait_random(0, FIRST_WAIT)(state)
