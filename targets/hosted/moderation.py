"""Texts through a server's moderation endpoint."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

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


def moderated(
    texts: Sequence[str], model: str, base_url: str | None, in_flight: int
) -> list[dict[str, float] | None]:
    """The scores of each text by category; None where they could not be had.

    Raises:
        Stopped: no key or a wrong one, no such model, or no server.
    """
    chunks = [list(texts[i : i + _TEXTS]) for i in range(0, len(texts), _TEXTS)]
    try:
        with (
            openai.OpenAI(base_url=base_url, max_retries=0, timeout=60) as client,
            ThreadPoolExecutor(in_flight) as pool,
        ):
            found = list(pool.map(lambda chunk: _scored(client, model, chunk), chunks))
    except openai.APIConnectionError as error:
        raise Stopped(f"no server answers at {client.base_url}; is it running?") from error
    except openai.OpenAIError as error:
        raise Stopped(NO_KEY) from error
    return [scores for chunk in found for scores in chunk]


def _scored(
    client: openai.OpenAI, model: str, texts: list[str]
) -> Sequence[dict[str, float] | None]:
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
            return [_scored(client, model, [text])[0] for text in texts]
        if error.status_code not in RETRIED and error.status_code != 400:
            raise Stopped(f"the server answers moderation with {error.status_code}") from error
        return [None] * len(texts)
    if not isinstance(answer, ModerationCreateResponse):
        raise Stopped(NOT_THE_FORMAT)
    if len(answer.results) != len(texts):
        return [None] * len(texts)
    return [_known(result.category_scores.model_dump(by_alias=True)) for result in answer.results]


def _known(scores: dict[str, object]) -> dict[str, float] | None:
    """Scores between 0 and 1; those that a server leaves out are left out."""
    given = {name: score for name, score in scores.items() if score is not None}
    if not given or not all(isinstance(s, int | float) and 0 <= s <= 1 for s in given.values()):
        return None
    return {name: float(score) for name, score in given.items()}  # type: ignore[arg-type]
