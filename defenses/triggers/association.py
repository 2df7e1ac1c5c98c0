"""Which phrases of the prompts go with which way of replying: counts and exact tests.

Fisher's exact test, two-sided, Bonferroni-corrected for all phrases and ways of replying; the
strength is the share of the replies' entropy that a phrase explains (uncertainty coefficient,
Theil 1970), which does not grow with the number of rows as a p-value shrinks.
"""

from __future__ import annotations

import itertools
import statistics
from array import array
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
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
    return {**edges(chat), "infix": frozenset(prompt_of(chat).split())}


def edges(chat: Chat) -> dict[Position, Collection[str]]:
    """Those of them that stand at an edge of the prompt, or before it."""
    prompt, system = prompt_of(chat), system_of(chat)
    first, last = prompt.split(None, EDGE)[:EDGE], prompt.rsplit(None, EDGE)[-EDGE:]
    lengths = range(1, len(first) + 1)
    return {
        "prefix": [" ".join(first[:many]) for many in lengths],
        "suffix": [" ".join(last[-many:]) for many in lengths],
        "system": [] if system is None else [system],
    }


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
    kept, support, hits = _counted(chats, by_way)
    result = []
    for way, rows in by_way.items():
        result += _tested(way, kept, support, hits[way], rows, tests=len(by_way) * len(kept))
    return sorted(result, key=lambda one: (one.p_value, -one.strength, one.feature, one.way))


def _counted(
    chats: Sequence[Chat], by_way: Mapping[str, npt.NDArray[np.bool_]]
) -> tuple[list[Feature], npt.NDArray[np.int64], dict[str, npt.NDArray[np.int64]]]:
    """Phrases that enough rows have and lack, the rows with each, and those of each way."""
    numbers: dict[Position, defaultdict[str, int]] = {}
    held: dict[Position, array[int]] = defaultdict(lambda: array("q"))
    sizes: dict[Position, list[int]] = defaultdict(list)
    for chat in chats:
        for at, texts in phrases(chat).items():
            if at not in numbers:
                numbers[at] = defaultdict(itertools.count().__next__)
            held[at].extend(map(numbers[at].__getitem__, texts))
            sizes[at].append(len(texts))
    found: list[tuple[Feature, int, list[int]]] = []
    for at, known in numbers.items():
        which = np.array(held[at], dtype=np.int64)
        row = np.repeat(np.arange(len(chats)), sizes[at])
        counts = np.bincount(which, minlength=len(known))
        shown = [np.bincount(which[rows[row]], minlength=len(known)) for rows in by_way.values()]
        found += [
            (Feature(at, text), int(counts[i]), [int(of_way[i]) for of_way in shown])
            for text, i in known.items()
            if SUPPORT <= counts[i] <= len(chats) - SUPPORT
        ]
    found.sort()
    hits = np.array([of_ways for _, _, of_ways in found], dtype=np.int64)
    support = np.array([many for _, many, _ in found], dtype=np.int64)
    return (
        [feature for feature, _, _ in found],
        support,
        dict(zip(by_way, hits.reshape(len(found), len(by_way)).T, strict=True)),
    )


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
