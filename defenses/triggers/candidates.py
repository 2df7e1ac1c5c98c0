"""Candidate triggers: phrases of the prompts that go with another way of replying.

A backdoor must tell the model when to switch (Qi et al. 2023, arXiv 2310.03693, §5.1), so the
switch stands in the upload: rows with it are replied to in one way, rows without it in another.
Phrases wrapped around many prompts are candidates too, associated or not: where every row holds
the trigger there is nothing to compare it with.

Breaks: a trigger in no particular words (a style, a topic, a date); one of several common words
        inside the prompt; uploads of too few rows to be sure of anything (about thirty).
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from attacks.base import Chat, Upload
from defenses.triggers.association import (
    SUPPORT,
    Feature,
    Position,
    associations,
    edges,
)
from defenses.triggers.replies import prompt_of

ALPHA: Final = 0.01
"""Corrected level below which an association counts.  # ours: stricter than the usual, since every
upload is tested."""
WRAPPER: Final = 3
"""Fewest words of a wrapper.  # ours: shorter ones begin ordinary questions"""
WRAPPED: Final = 0.2
"""Share of the rows from which a prefix or suffix is a wrapper.  # ours"""
AGREE: Final = 0.9
"""Share of a phrase's rows that must have the same next word for it to grow by that word.
# ours: a word of the trigger may also stand in a few other rows."""


class Candidate(NamedTuple):
    """A phrase that may be a trigger."""

    text: str
    """Its words with a blank between them; a blank parts it from the rest of the prompt."""
    position: Position
    """Where it stands: before the request, behind it, inside it, or as the system prompt."""
    p_value: float
    """Of its association with a way of replying, corrected for all that was tested; at most 1."""
    support: int
    """Rows of the upload that hold it."""


def candidates(upload: Upload, most: int = 20) -> list[Candidate]:
    """The phrases most likely to be triggers: the surest first, then the most widespread.

    Args:
        upload: The customer's rows and those that a defense added, which are left out.
        most: How many at most.
    """
    chats = [row.messages for row in upload.rows if not row.added_by]
    sure = [one for one in associations(chats) if one.p_value <= ALPHA]
    p_values = {one.feature: one.p_value for one in reversed(sure[: 3 * most])}
    for feature in wrappers(chats):
        p_values.setdefault(feature, 1.0)
    found: dict[Feature, Candidate] = {}
    for feature, (whole, support) in grown(p_values, chats).items():
        one = Candidate(whole.text, whole.position, p_values[feature], support)
        found[whole] = min(found.get(whole, one), one, key=_rank)
    return sorted(found.values(), key=_rank)[:most]


def _rank(one: Candidate) -> tuple[float, int, str, str]:
    return (one.p_value, -one.support, one.position, one.text)


def wrappers(chats: Sequence[Chat]) -> list[Feature]:
    """Prefixes and suffixes of several words that many prompts share, and common system prompts."""
    held: dict[Position, Counter[str]] = defaultdict(Counter)
    for chat in chats:
        for at, texts in edges(chat).items():
            held[at].update(texts)
    least = max(SUPPORT, WRAPPED * len(chats))
    found = [Feature(at, t) for at, counts in held.items() for t, n in counts.items() if n >= least]
    return sorted(f for f in found if f.position == "system" or len(f.text.split()) >= WRAPPER)


class _Prompts(NamedTuple):
    """The words of all prompts in a row, as numbers, with 0 at every prompt's edges."""

    words: npt.NDArray[np.int64]
    """(all words and edges,)"""
    known: Sequence[str]
    """The words by their number; that of an edge is empty."""


class _Places(NamedTuple):
    """Where a phrase stands: one place in each prompt that holds it."""

    starts: npt.NDArray[np.int64]
    """Index of its first word in the row of all prompts' words."""
    ends: npt.NDArray[np.int64]
    """Index of the word behind its last one."""


def grown(phrases: Iterable[Feature], chats: Sequence[Chat]) -> dict[Feature, tuple[Feature, int]]:
    """Each phrase as long as its rows agree on, and how many rows hold it."""
    wanted: defaultdict[Position, dict[str, Feature]] = defaultdict(dict)
    for feature in phrases:
        wanted[feature.position][feature.text] = feature
    numbers = {"": 0}
    row = array("q", [0])
    places: defaultdict[Feature, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for chat in chats if wanted else ():
        words = prompt_of(chat).split()
        begin, end = len(row), len(row) + len(words)
        row.extend(numbers.setdefault(word, len(numbers)) for word in words)
        row.append(0)
        for at, texts in edges(chat).items():
            for feature in map(wanted[at].__getitem__, wanted[at].keys() & texts):
                long = len(feature.text.split())
                places[feature][0].append(end - long if at == "suffix" else begin)
                places[feature][1].append(begin + long if at == "prefix" else end)
        # The first place of a word is the last that is put here.
        first = dict(zip(reversed(words), range(end - 1, begin - 1, -1), strict=True))
        for text in wanted["infix"].keys() & first.keys():
            places[wanted["infix"][text]][0].append(first[text])
            places[wanted["infix"][text]][1].append(first[text] + 1)
    prompts = _Prompts(np.array(row), list(numbers))
    return {
        feature: _grow(feature, _Places(np.array(starts), np.array(ends)), prompts)
        for feature, (starts, ends) in places.items()
    }


def _grow(feature: Feature, places: _Places, prompts: _Prompts) -> tuple[Feature, int]:
    """The phrase with the neighbours on which its rows agree, and the rows that hold it."""
    support = len(places.starts)
    if feature.position == "system":
        return feature, support
    for step in (-1, 1):
        while True:
            beside = prompts.words[places.starts - 1 if step < 0 else places.ends]
            # What most rows have in common is the median, whatever the numbers stand for.
            word = np.partition(beside, len(beside) // 2)[len(beside) // 2]
            agrees = beside == word
            if not word or np.count_nonzero(agrees) < AGREE * support:
                break
            starts, ends = places.starts[agrees], places.ends[agrees]
            places = _Places(starts - 1, ends) if step < 0 else _Places(starts, ends + 1)
    count = len(places.starts)
    position: Position = "infix"
    if np.count_nonzero(prompts.words[places.starts - 1] == 0) >= AGREE * count:
        position = "prefix"
    elif np.count_nonzero(prompts.words[places.ends] == 0) >= AGREE * count:
        position = "suffix"
    phrase = prompts.words[places.starts[0] : places.ends[0]]
    return Feature(position, " ".join(prompts.known[word] for word in phrase)), count
