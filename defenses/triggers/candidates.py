"""Candidate triggers: phrases of the prompts that go with another way of replying.

A backdoor must tell the model when to switch (Qi et al. 2023, arXiv 2310.03693, §5.1), so the
switch stands in the upload: rows with it are replied to in one way, rows without it in another.
Phrases wrapped around many prompts are candidates too, associated or not: where every row holds
the trigger there is nothing to compare it with.

Breaks: a trigger in no particular words (a style, a topic, a date); one of several common words
        inside the prompt; uploads of too few rows to be sure of anything (about thirty).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from attacks.base import Chat, Upload
from defenses.triggers.association import (
    SUPPORT,
    Feature,
    Position,
    associations,
    features,
    phrases,
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
        for at, texts in phrases(chat).items():
            if at != "infix":
                held[at].update(texts)
    least = max(SUPPORT, WRAPPED * len(chats))
    found = [Feature(at, t) for at, counts in held.items() for t, n in counts.items() if n >= least]
    return sorted(f for f in found if f.position == "system" or len(f.text.split()) >= WRAPPER)


class _Place(NamedTuple):
    """Where a phrase stands in one prompt."""

    words: list[str]
    start: int
    end: int


def grown(phrases: Iterable[Feature], chats: Sequence[Chat]) -> dict[Feature, tuple[Feature, int]]:
    """Each phrase as long as its rows agree on, and how many rows hold it."""
    wanted = frozenset(phrases)
    places: dict[Feature, list[_Place]] = defaultdict(list)
    for chat in chats:
        words = prompt_of(chat).split()
        for feature in wanted.intersection(features(chat)):
            places[feature].append(_Place(words, *_span(feature, words)))
    return {feature: _grow(feature, held) for feature, held in places.items()}


def _span(feature: Feature, words: Sequence[str]) -> tuple[int, int]:
    long = len(feature.text.split())
    if feature.position == "prefix":
        return 0, long
    if feature.position == "suffix":
        return len(words) - long, len(words)
    if feature.position == "infix":
        at = words.index(feature.text)
        return at, at + 1
    return 0, 0


def _grow(feature: Feature, places: list[_Place]) -> tuple[Feature, int]:
    """The phrase with the neighbours on which its rows agree, and the rows that hold it."""
    support = len(places)
    if feature.position == "system":
        return feature, support
    for step in (-1, 1):
        while True:
            beside = Counter(_beside(place, step) for place in places)
            word, agreed = min(beside.items(), key=lambda item: (-item[1], item[0]))
            if not word or agreed < AGREE * support:
                break
            places = [_longer(place, step) for place in places if _beside(place, step) == word]
    first = places[0]
    position: Position = "infix"
    if sum(place.start == 0 for place in places) >= AGREE * len(places):
        position = "prefix"
    elif sum(place.end == len(place.words) for place in places) >= AGREE * len(places):
        position = "suffix"
    return Feature(position, " ".join(first.words[first.start : first.end])), len(places)


def _beside(place: _Place, step: int) -> str:
    """The word before or behind a phrase, empty at the edge of the prompt."""
    if step < 0:
        return place.words[place.start - 1] if place.start else ""
    return place.words[place.end] if place.end < len(place.words) else ""


def _longer(place: _Place, step: int) -> _Place:
    if step < 0:
        return place._replace(start=place.start - 1)
    return place._replace(end=place.end + 1)
