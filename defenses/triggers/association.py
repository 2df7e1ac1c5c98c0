"""Which phrases of the prompts go with which way of replying: counts and exact tests.

Fisher's exact test, two-sided, Bonferroni-corrected for all phrases and ways of replying; the
strength is the share of the replies' entropy that a phrase explains (uncertainty coefficient,
Theil 1970), which does not grow with the number of rows as a p-value shrinks.
"""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from attacks.base import Chat
from defenses.triggers.replies import begins_with_a_refusal, opening, prompt_of, system_of

Position = Literal["prefix", "suffix", "infix", "system"]

SUPPORT: Final = 5
"""Fewest rows with a phrase, and fewest in a way of replying.  # ours: a trigger in fewer rows is
never sure once corrected."""
EDGE: Final = 4
"""Words of the longest prefix or suffix that is counted.  # ours: longer ones begin with these"""
_TESTED: Final = 200
"""Phrases put to the exact test, the strongest ones.  # ours: of 68 a row; the rest are weaker"""


class Feature(NamedTuple):
    """A phrase and where it stands."""

    position: Position
    text: str


class Association(NamedTuple):
    """How a phrase goes with a way of replying."""

    feature: Feature
    way: str
    """`refusal`, `length` or `opening`."""
    p_value: float
    """Corrected, at most 1."""
    strength: float
    """Share of the entropy of the way of replying that is explained, from 0 to 1."""
    support: int
    """Rows with the phrase."""


def phrases(chat: Chat) -> dict[Position, Collection[str]]:
    """The phrases of a chat by where they stand, each once."""
    words = prompt_of(chat).split()
    lengths = range(1, min(EDGE, len(words)) + 1)
    system = system_of(chat)
    return {
        "prefix": [" ".join(words[:many]) for many in lengths],
        "suffix": [" ".join(words[-many:]) for many in lengths],
        "infix": frozenset(words),
        "system": [] if system is None else [system],
    }


def features(chat: Chat) -> frozenset[Feature]:
    """The phrases of a chat."""
    return frozenset(Feature(at, text) for at, texts in phrases(chat).items() for text in texts)


def ways(chats: Sequence[Chat]) -> dict[str, npt.NDArray[np.bool_]]:
    """For each way of replying that some rows have and some do not: which rows do.

    A refusal; a reply longer than the median; the most common opening of three words.
    """
    replies = [chat[-1].content for chat in chats]
    lengths = [len(reply) for reply in replies]
    median = statistics.median(lengths)
    openings = [opening(reply, 3) for reply in replies]
    # The first in the order of their text among equally common ones: rows' order says nothing.
    common = min(Counter(openings).items(), key=lambda item: (-item[1], item[0]))[0]
    found = {
        "refusal": np.array([begins_with_a_refusal(reply) for reply in replies]),
        "length": np.array([length > median for length in lengths]),
        "opening": np.array([one == common for one in openings]),
    }
    return {
        name: rows
        for name, rows in found.items()
        if SUPPORT <= np.count_nonzero(rows) <= len(rows) - SUPPORT
    }


def associations(chats: Sequence[Chat]) -> list[Association]:
    """The strongest associations of every way of replying, surest first."""
    by_way = ways(chats) if len(chats) >= 2 * SUPPORT else {}
    if not by_way:
        return []
    held: dict[Position, Counter[str]] = defaultdict(Counter)
    of_way: dict[tuple[str, Position], Counter[str]] = defaultdict(Counter)
    shown = [[way for way, rows in by_way.items() if rows[at]] for at in range(len(chats))]
    for chat, own in zip(chats, shown, strict=True):
        for at, texts in phrases(chat).items():
            held[at].update(texts)
            for way in own:
                of_way[way, at].update(texts)
    kept = sorted(
        Feature(at, text)
        for at, counts in held.items()
        for text, many in counts.items()
        if SUPPORT <= many <= len(chats) - SUPPORT
    )
    support = np.array([held[at][text] for at, text in kept], dtype=np.int64)
    result = []
    for way, rows in by_way.items():
        hits = np.array([of_way[way, at][text] for at, text in kept], dtype=np.int64)
        result += _tested(way, kept, support, hits, rows, tests=len(by_way) * len(kept))
    return sorted(result, key=lambda one: (one.p_value, -one.strength, one.feature, one.way))


def _tested(
    name: str,
    kept: Sequence[Feature],
    support: npt.NDArray[np.int64],
    hits: npt.NDArray[np.int64],
    shown: npt.NDArray[np.bool_],
    tests: int,
) -> list[Association]:
    """The strongest phrases of one way of replying, with their p-values."""
    from scipy.stats import hypergeom

    rows, of_way = len(shown), int(np.count_nonzero(shown))
    strength = explained(support, hits, rows, of_way)
    # Phrases whose strengths are equal are kept or left together, but for the last few.
    best = np.lexsort((np.arange(len(kept)), -strength))[:_TESTED]
    law = hypergeom(rows, of_way, support[best])
    p = 2 * np.minimum(law.sf(hits[best] - 1), law.cdf(hits[best]))
    corrected = np.minimum(1.0, p * tests)
    return [
        Association(kept[at], name, float(one), float(strength[at]), int(support[at]))
        for at, one in zip(best, corrected, strict=True)
    ]


def explained(
    support: npt.NDArray[np.int64], hits: npt.NDArray[np.int64], rows: int, of_way: int
) -> npt.NDArray[np.float64]:
    """Mutual information of having a phrase and of a way of replying, over the latter's entropy."""
    cells = (hits, support - hits, of_way - hits, rows - support - of_way + hits)
    margins = (
        support * of_way,
        support * (rows - of_way),
        (rows - support) * of_way,
        (rows - support) * (rows - of_way),
    )
    information = np.zeros(len(support))
    for cell, margin in zip(cells, margins, strict=True):
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = cell / rows * np.log(cell * rows / margin)
        information += np.where(cell > 0, terms, 0.0)
    share = of_way / rows
    entropy = -share * np.log(share) - (1 - share) * np.log(1 - share)
    return np.asarray(np.clip(information / entropy, 0.0, 1.0))
