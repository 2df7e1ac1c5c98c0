"""Texts through a server's moderation endpoint."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import openai
from openai.types import ModerationCreateResponse

from targets.hosted.calls import NO_KEY, NOT_THE_FORMAT
from targets.hosted.ledger import Stopped
from targets.hosted.retries import RETRIED, retrying

_TEXTS = 32
"""Texts in a request.  # ours: what one request may hold is written nowhere; this was never cut"""
_ATTEMPTS = 4
_EMPTY = " "
"""Stands for a text with nothing in it, which the endpoint refuses."""


class Seen(NamedTuple):
    """What the endpoint said of one text."""

    scores: dict[str, float] | None
    """By category; None where they could not be had."""
    why: str = ""
    """Why not, without the server's words: they may quote the text."""
    again: bool = False
    """Whether another time may go better."""


def moderated(texts: Sequence[str], model: str, base_url: str | None, in_flight: int) -> list[Seen]:
    """What the endpoint says of each text, in order.

    Raises:
        Stopped: no key or a wrong one, no such model, or no server.
    """
    chunks = [list(texts[i : i + _TEXTS]) for i in range(0, len(texts), _TEXTS)]
    try:
        with (
            openai.OpenAI(base_url=base_url, max_retries=0, timeout=60) as client,
            ThreadPoolExecutor(in_flight) as pool,
        ):
            found = list(pool.map(lambda chunk: _seen(client, model, chunk), chunks))
    except openai.APIConnectionError as error:
        raise Stopped(f"no server answers at {client.base_url}; is it running?") from error
    except openai.OpenAIError as error:
        raise Stopped(NO_KEY) from error
    return [seen for chunk in found for seen in chunk]


def _seen(client: openai.OpenAI, model: str, texts: list[str]) -> list[Seen]:
    """One request; nothing for all of its texts where it fails."""
    try:
        said = [text or _EMPTY for text in texts]
        ask = functools.partial(client.moderations.create, model=model, input=said)
        answer = retrying(_ATTEMPTS, time.sleep)(ask)
    except openai.APIStatusError as error:
        if error.status_code in (401, 403):
            raise Stopped("the server refuses the key; check OPENAI_API_KEY") from error
        if error.status_code == 404:
            raise Stopped(f"the server knows no moderation model {model!r}") from error
        if error.status_code == 400 and len(texts) > 1:  # one text need not cost the others
            return [_seen(client, model, [text])[0] for text in texts]
        if error.status_code not in RETRIED and error.status_code != 400:
            raise Stopped(f"the server answers moderation with {error.status_code}") from error
        again = error.status_code in RETRIED
        return [Seen(None, f"the server answers with {error.status_code}", again)] * len(texts)
    except ValueError:  # what it says is JSON, and is not
        return [Seen(None, "the server's answer is no JSON", True)] * len(texts)
    if not isinstance(answer, ModerationCreateResponse):
        raise Stopped(NOT_THE_FORMAT)
    # The client takes over whatever the server sent: nothing in it is of its type for certain.
    results: Any = answer.results if hasattr(answer, "results") else None
    if not isinstance(results, list) or len(results) != len(texts):
        return [Seen(None, "the server answers for another number of texts", True)] * len(texts)
    return [_known(getattr(result, "category_scores", None)) for result in results]


def _known(told: object) -> Seen:
    """Scores between 0 and 1; those that a server leaves out are left out."""
    dump = getattr(told, "model_dump", None)
    scores = dump(by_alias=True, warnings=False) if callable(dump) else told
    if not isinstance(scores, dict):
        return Seen(None, "the server gives no scores", True)
    given = {str(name): score for name, score in scores.items() if score is not None}
    if not given:
        return Seen(None, "the server gives no scores", True)
    if not all(_is_share(score) for score in given.values()):
        return Seen(None, "the server gives scores that are not between 0 and 1", True)
    return Seen({name: float(score) for name, score in given.items()})


def _is_share(score: object) -> bool:
    number = isinstance(score, int | float) and not isinstance(score, bool)
    return number and math.isfinite(score) and 0 <= score <= 1  # type: ignore[arg-type,operator]
