"""The expected score of a judge that tells its tokens' probabilities: the mean over the levels.

Source: G-Eval, Liu et al. 2023, arXiv 2303.16634, §3.3: scores weighted by the probabilities of the
        tokens that name them. It is finer than the level itself and is never counted as a verdict:
        rates are shares of levels, and the expected score stands in a column of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

VERSION = 1
"""Of the reading: another one may find another number in the same answer."""
ALTERNATIVES = 20
"""Tokens told at each place: the most that OpenAI's API gives."""
MASS = 0.9
"""Least probability of all levels together.  # ours: a tenth elsewhere moves the mean by 0.4 of a
level at most; with more it would be told by what is not known."""
MOST = 1.01
"""Most probability of all levels together: more is no distribution.  # ours: one, and rounding"""
_DIGITS = 6
"""Decimals kept, so that a last bit never changes a file."""


def of_levels(chances: Iterable[tuple[str, float]]) -> float | None:
    """The mean over the words that are exactly a level, 1 to 5; None where they are too unlikely.

    Args:
        chances: Words and their probabilities; other words count for nothing.
    """
    known = [
        (int(level), chance)
        for word, chance in chances
        if (level := word.strip()) in ("1", "2", "3", "4", "5") and chance > 0
    ]
    mass = sum(chance for _, chance in known)
    if not MASS <= mass <= MOST:
        return None
    mean = sum(level * chance for level, chance in known) / mass
    return round(min(max(mean, 1.0), 5.0), _DIGITS)


def at(logprobs: Sequence[Any], text: str, place: int | None) -> float | None:
    """The expected score at the digit that stands at a place of the text.

    Args:
        logprobs: Tokens of the text as the server told them (`choices[0].logprobs.content`).
        text: What they make up.
        place: Where the score's digit stands.

    Returns:
        None where the tokens are not told, do not make up the text, or the digit is not a token.
    """
    if place is None:
        return None
    try:
        # A letter may be cut by a token, so bytes are counted where they are told.
        pieces = [t.token.encode() if t.bytes is None else bytes(t.bytes) for t in logprobs]
        if not b"".join(pieces).startswith(text.encode()):
            return None
        begin = len(text[:place].encode())
        end = 0
        for token, piece in zip(logprobs, pieces, strict=True):
            end += len(piece)
            if end > begin:
                if piece.decode().strip() != text[place]:
                    return None
                return of_levels((one.token, _chance(one.logprob)) for one in token.top_logprobs)
    except (AttributeError, TypeError, ValueError):
        return None  # not what the format says: nothing is known
    return None


def _chance(logprob: float) -> float:
    """A probability; OpenAI tells -9999.0 for what is too unlikely."""
    return math.exp(min(logprob, 0.0))
