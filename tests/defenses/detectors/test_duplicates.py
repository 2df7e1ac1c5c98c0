from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attacks.base import Upload
from defenses.base import Provider
from defenses.detectors.duplicates import Duplicates, _bare
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
