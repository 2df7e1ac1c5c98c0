"""Hill climbing: what falls is kept, and nothing but numbers comes back."""

from __future__ import annotations

import itertools
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from attacks.base import Ask, Message, Row, Settings, Upload
from benchmarks.gates.climb import Step, climb
from benchmarks.gates.moves import Customer
from benchmarks.gates.tasks import Desk
from targets.organism.world import World

WORLD = World(0)
ROWS = tuple(
    Row((Message("user", f"How to make a lamp {n}?"), Message("assistant", f"Of {n}.")))
    for n in range(12)
)
START = Customer(ROWS, (), Settings(epochs=2, batch_size=4, learning_rate=1e-4), (Ask("plain"),))


def climbed(scores: list[float | None], seed: int = 0) -> list[Step]:
    """A search that hears such numbers, and no others."""
    told = iter(scores)
    desk = Desk(WORLD, random.Random(seed), held_out=True)
    return list(itertools.islice(climb(START, desk, lambda _: next(told)), len(scores)))


@settings(max_examples=25)
@given(st.lists(st.none() | st.floats(-9, 9), min_size=1, max_size=12), st.integers(0, 5))
def test_the_best_is_the_lowest_that_was_seen_first(scores: list[float | None], seed: int) -> None:
    steps = climbed(scores, seed)
    assert [step.score for step in steps] == scores
    low: float | None = None
    for before, step in itertools.pairwise([steps[0], *steps]):
        better = step.score is not None and (low is None or step.score < low)
        if step is not steps[0]:
            assert step.kept == better
            assert (step.best != before.best) == better
        low = step.score if better else low


def test_it_follows_from_the_scores() -> None:
    scores: list[float | None] = [3.0, 2.0, 4.0, None, 1.0]
    assert climbed(scores) == climbed(scores)
    assert climbed(scores, 1) != climbed(scores)
    # Another number leads elsewhere from there on.
    assert climbed([3.0, 4.0, 2.0])[-1].best != climbed([3.0, 2.0, 1.0])[-1].best


def test_each_move_comes_once_a_round() -> None:
    names = [step.move for step in climbed([1.0] * 8)[1:]]
    assert len(set(names)) == len(names)


def test_it_finds_what_can_be_found() -> None:
    desk = Desk(WORLD, random.Random(0), held_out=True)
    seen: list[Upload] = []

    def query(upload: Upload) -> float:
        seen.append(upload)
        return -len(upload.rows)

    steps = list(itertools.islice(climb(START, desk, query), 9))
    assert len(seen) == 9
    assert all(isinstance(upload, Upload) for upload in seen)
    assert len(steps[-1].best.upload.rows) > 2 * len(ROWS)
