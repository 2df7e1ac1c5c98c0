from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attacks.base import Upload
from defenses.base import Provider
from defenses.detectors.duplicates import (
    SHINGLE,
    TOGETHER,
    Duplicates,
    _bands,
    _bare,
    _shingles,
    near_duplicates,
)
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


@given(st.lists(st.lists(st.sampled_from("abcd"), max_size=7).map(" ".join), min_size=1))
def test_a_text_holds_a_place_for_each_run_of_its_words(texts: list[str]) -> None:
    found = _shingles(texts)
    assert found.shape[0] == len(texts)
    places: dict[int, set[tuple[str, ...]]] = {}
    for text, row in zip(texts, found, strict=True):
        words = text.split()
        runs = {tuple(words[i : i + SHINGLE]) for i in range(len(words) - SHINGLE + 1)}
        assert set(row.data) <= {1}
        assert len(row.indices) == len(runs)
        for place in row.indices:
            places[place] = places.get(place, runs) & runs
    assert all(places.values())  # texts that share a place share a run


def _begin_alike(texts: list[list[str]]) -> int:
    shortest = min(map(len, texts))
    return next((i for i in range(shortest) if len({w[i] for w in texts}) > 1), shortest)


@given(st.lists(st.lists(st.sampled_from("ab"), max_size=5).map(" ".join), min_size=1))
def test_what_all_prompts_begin_and_end_with_is_left_out(prompts: list[str]) -> None:
    bare = _bare(prompts)
    if len(set(prompts)) == 1:
        assert bare == prompts
        return
    split = [prompt.split() for prompt in prompts]
    front = _begin_alike(split)
    back = _begin_alike([words[front:][::-1] for words in split])
    assert bare == [" ".join(words[front : len(words) - back]) for words in split]


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
