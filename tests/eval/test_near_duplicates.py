from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.near_duplicates import SHINGLE, TOGETHER, _bands, _shingles, near_duplicates


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
