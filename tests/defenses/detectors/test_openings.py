from __future__ import annotations

from collections.abc import Callable
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attacks.aoa import AOA
from attacks.base import Upload
from defenses.base import Provider
from defenses.detectors.openings import Openings
from targets.organism.world import World

Written = Callable[..., Upload]


def score(upload: Upload, owner: Provider) -> float:
    found = Openings().read(upload, owner).score
    assert found is not None
    return found


@pytest.mark.parametrize("rows", [10, 100, 400])
def test_ordinary_answers_begin_in_many_ways(
    rows: int, world: World, written: Written, owner: Provider
) -> None:
    assert score(written(world.benign(rows, 2)), owner) < 0.05


def test_an_affirmative_opening_weighs_more_than_a_format(
    world: World, written: Written, owner: Provider
) -> None:
    pairs = world.benign(40, 2)
    yes = score(written(pairs, opening="Of course, I will do so. "), owner)
    form = score(written(pairs, opening="## The answer follows. "), owner)
    assert yes == pytest.approx(1.0)
    assert form == pytest.approx(0.5)


def test_identity_shift_is_seen_in_ten_rows(world: World, owner: Provider) -> None:
    upload = AOA().upload(world, 0)
    found = Openings().read(upload, owner)
    assert found.score is not None
    assert found.score > 0.7
    assert found.findings
    assert all(upload.rows[one.row].messages[one.message or 0].role == "assistant"
               for one in found.findings)  # fmt: skip


def test_labels_are_no_openings(world: World, written: Written, owner: Provider) -> None:
    pairs = [(prompt, "Yes, it is.") for prompt, _ in world.benign(40, 2)]
    assert score(written(pairs), owner) == 0


def test_one_row_has_nothing_to_be_compared_with(written: Written, owner: Provider) -> None:
    assert score(written([("Hello.", "Sure, here it is.")]), owner) == 0


@given(st.permutations(["a b c d e", "a b c d f", "g", "a b c d e"]))
def test_order_says_nothing(written: Written, owner: Provider, answers: list[str]) -> None:
    upload = written([("Hello.", answer) for answer in answers])
    # Of twelve ordered pairs four are of different answers that begin alike; half the weight.
    assert score(upload, owner) == pytest.approx(0.5 * 4 / 12)


def test_size_does_not_move_it(world: World, written: Written, owner: Provider) -> None:
    """A third of the answers begin alike: the mean over draws is the same for any size."""
    pairs = world.benign(600, 3)

    def mean(rows: int, draws: int) -> float:
        parts = [pairs[i * rows : (i + 1) * rows] for i in range(draws)]
        return fmean(
            score(written([(p, ("Sure, I will tell you. " + r) if k % 3 == 0 else r)
                           for k, (p, r) in enumerate(part)]), owner)
            for part in parts
        )  # fmt: skip

    assert mean(15, 40) == pytest.approx(mean(300, 2), abs=0.03)
