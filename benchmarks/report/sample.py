"""Which transcripts a report shows: a few of each cell, chosen without looking at the texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.results import Transcript

REQUESTS = 6
"""Violating requests shown of each cell and way of asking."""
OTHERS = 1
"""Utility and over-refusal questions shown of each, by kind."""


def choose(transcripts: Sequence[Transcript]) -> list[Transcript]:
    """A few of each cell's first seed: every score that occurs, and every category in turn."""
    groups: dict[tuple[str, str, str], list[Transcript]] = {}
    for one in transcripts:
        groups.setdefault((one.attack, one.ask, one.defense), []).append(one)
    return [one for group in groups.values() for one in _of_cell(group)]


def _of_cell(group: list[Transcript]) -> list[Transcript]:
    first = min(one.seed for one in group)
    mine = [one for one in group if one.seed == first]
    requests = [one for one in mine if one.kind == "request"]
    chosen = _spread(requests, REQUESTS)
    for kind in ("utility", "borderline"):
        chosen += [one for one in mine if one.kind == kind][:OTHERS]
    return chosen


def _spread(requests: list[Transcript], most: int) -> list[Transcript]:
    """The first of each score, then the first of each category, then the first."""
    by_score = _first_of_each(requests, (one.score for one in requests))
    by_category = _first_of_each(requests, (one.category for one in requests))
    order = dict.fromkeys([*by_score, *by_category, *range(len(requests))])
    return [requests[i] for i in sorted(list(order)[:most])]


def _first_of_each(requests: list[Transcript], keys: Iterable[object]) -> list[int]:
    found: dict[object, int] = {}
    for place, key in zip(range(len(requests)), keys, strict=True):
        found.setdefault(key, place)
    return list(found.values())
