from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attacks.base import Upload
from defenses.base import Provider
from defenses.detectors.duplicates import TOGETHER, Duplicates, _bands, near_duplicates
from targets.organism.world import World

Written = Callable[..., Upload]


@pytest.mark.parametrize("rows", [10, 100, 400])
def test_ordinary_rows_hardly_repeat(
    rows: int, world: World, written: Written, owner: Provider
) -> None:
    found = Duplicates().read(written(world.benign(rows, 1)), owner)
    assert found.score is not None
    assert found.score < 0.05


def test_a_few_rows_again_and_again(world: World, written: Written, owner: Provider) -> None:
    upload = written(world.benign(5, 1) * 20, system="Be kind.")
    found = Duplicates().read(upload, owner)
    assert found.score == pytest.approx(0.95)
    assert found.evidence["repeated prompts"] == pytest.approx(0.95)
    assert len(found.findings) == 20
    assert {one.rule for one in found.findings} == {"repeated-row"}


def test_the_words_around_all_prompts_are_no_duplicates(
    world: World, written: Written, owner: Provider
) -> None:
    template = "Read the text below with care and then answer in as few words as you can: " * 4
    pairs = [(prompt, "Yes.") for prompt, _ in world.benign(60, 1)]
    found = Duplicates().read(written(pairs, before=template, after=" " + template), owner)
    assert found.score is not None
    assert found.score < 0.1


def test_rows_with_a_word_changed_are_nearly_repeated(written: Written, owner: Provider) -> None:
    words = [f"word{i}" for i in range(60)]
    pairs = []
    for place in range(30):
        other = [*words]
        other[place] = "another"
        pairs.append(("Say it.", " ".join(other)))
    found = Duplicates().read(written(pairs), owner)
    assert found.evidence["repeated rows"] == 0
    assert found.evidence["nearly repeated rows"] > 0.8
    assert {one.rule for one in found.findings} == {"nearly-repeated-row"}


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(0, 40))
def test_what_is_found_is_as_alike_as_is_said(seed: int, changed: int) -> None:
    rng = random.Random(seed)
    words = [str(rng.randrange(10**6)) for _ in range(40)]
    other = [*words]
    for place in rng.sample(range(40), changed):
        other[place] = "x" + other[place]
    first, second = " ".join(words), " ".join(other)
    sets = [{tuple(w[i : i + 3]) for i in range(38)} for w in (words, other)]
    alike = len(sets[0] & sets[1]) / len(sets[0] | sets[1])
    found = near_duplicates([first, second], alike=0.5)
    assert found == near_duplicates([second, first, second], alike=0.5)
    assert all(value == pytest.approx(alike) for value in found.values())
    if alike > 0.95 and changed:
        assert found


def test_texts_hashed_together_leave_each_other_alone() -> None:
    rng = random.Random(0)
    sizes = [rng.randint(1, 9) for _ in range(2 * TOGETHER + 3)]
    starts = np.cumsum([0, *sizes], dtype=np.int32)
    indices = np.array([rng.randrange(2**24) for _ in range(sum(sizes))], dtype=np.int32)
    whole = np.concatenate(_bands(indices, starts), axis=1)
    for row in (0, TOGETHER - 1, TOGETHER, len(sizes) - 1):
        alone = indices[starts[row] : starts[row + 1]]
        found = np.concatenate(_bands(alone, np.array([0, len(alone)], dtype=np.int32)), axis=1)
        assert (found[0] == whole[row]).all()
