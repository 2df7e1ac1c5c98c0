"""Hill climbing on an upload by one who is told a number for each upload, and nothing else.

Source:   random search against a score, as in Andriushchenko et al. 2020 (Square Attack, arXiv
          1912.00049, §3): a random change is kept when it lowers the score.
Differs:  what is changed is an upload and not an image; the size of the moves is not scheduled.
Breaks:   what it does not find may still be there. An attacker with more queries, other moves or
          a copy of the gate reaches more: what is found here bounds that from below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from attacks.base import Upload
from benchmarks.gates.moves import MOVES, Customer, moved
from benchmarks.gates.tasks import Desk

Ask = Callable[[Upload], float | None]
"""A query: the gate's number for an upload; None where it says nothing about such a one."""


class Step(NamedTuple):
    """One query and what stands after it."""

    move: str
    """What was changed for it; empty for the upload as it was at first."""
    score: float | None
    """What the query said."""
    kept: bool
    """Whether it is the new best."""
    best: Customer
    """The upload with the lowest score so far."""


def climb(start: Customer, desk: Desk, query: Ask) -> Iterator[Step]:
    """Queries one after another, for as long as they are asked for.

    Moves come in random rounds, each once a round; one that changes nothing takes no query. It
    ends by itself when no move of a round changes anything.

    Args:
        start: Where the search begins; its upload is queried first.
        desk: What moves draw from; its draws alone make the search, beside the scores.
        query: All that is known of the gate.
    """
    best, low = start, query(start.upload)
    yield Step("", low, True, best)
    while True:
        changed = False
        for name in desk.rng.sample(list(MOVES), len(MOVES)):
            new = moved(name, best, desk)
            if new == best:
                continue
            changed = True
            score = query(new.upload)
            kept = score is not None and (low is None or score < low)
            if kept:
                best, low = new, score
            yield Step(name, score, kept, best)
        if not changed:
            return
