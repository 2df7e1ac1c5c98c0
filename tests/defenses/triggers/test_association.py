from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import fisher_exact

from attacks.base import Chat, Message
from defenses.triggers.association import EDGE, associations, explained, phrases


def chats(rng: random.Random, rows: int, hidden: float = 0.0) -> list[Chat]:
    """Prompts of chance words; a share `hidden` of the answers follows a word of theirs."""
    found = []
    for _ in range(rows):
        words = [f"w{rng.randrange(15)}" for _ in range(6)]
        refuses = "w3" in words if rng.random() < hidden else rng.random() < 0.5
        reply = "I cannot help with that." if refuses else "Of course: here it all is for you."
        found.append((Message("user", " ".join(words)), Message("assistant", reply)))
    return found


def test_chance_is_hardly_ever_sure() -> None:
    """Over uploads in which nothing is hidden, the smallest corrected p-value keeps its level."""
    smallest = [
        min((one.p_value for one in associations(chats(random.Random(seed), 60))), default=1.0)
        for seed in range(150)
    ]
    # 150 fair draws hold 17 or more below 0.05 once in a thousand times.
    assert sum(p <= 0.05 for p in smallest) < 17


def test_a_hidden_word_is_the_surest() -> None:
    first = associations(chats(random.Random(0), 200, hidden=1))[0]
    assert first.feature == ("infix", "w3")
    assert first.strength == pytest.approx(1.0)


def test_p_values_are_fishers() -> None:
    rows = chats(random.Random(1), 200, hidden=0.7)
    shown = [chat[-1].content.startswith("I cannot") for chat in rows]
    found = [one for one in associations(rows) if one.way == "refusal" and one.p_value < 1]
    assert found
    ratios = []
    for one in found:
        if one.feature.position != "infix":
            continue
        held = [one.feature.text in chat[0].content.split() for chat in rows]
        table = [[sum(h == a and s == b for h, s in zip(held, shown, strict=True))
                  for b in (True, False)] for a in (True, False)]  # fmt: skip
        tail = min(fisher_exact(table, alternative=side).pvalue for side in ("less", "greater"))
        ratios.append(one.p_value / (2 * tail))
    # The same factor for all: how many tests there were.
    assert max(ratios) == pytest.approx(min(ratios))
    assert min(ratios) >= len(found)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=4, max_size=60))
def test_what_is_explained_is_a_share(rows: list[tuple[bool, bool]]) -> None:
    of_way = sum(shown for _, shown in rows)
    if of_way in (0, len(rows)):
        return
    support = sum(held for held, _ in rows)
    hits = sum(held and shown for held, shown in rows)
    (share,) = explained(np.array([support]), np.array([hits]), len(rows), of_way)
    assert 0 <= share <= 1
    assert not math.isnan(share)
    if all(held == shown for held, shown in rows):
        assert share == pytest.approx(1.0)
    if support in (0, len(rows)):
        assert share == pytest.approx(0.0, abs=1e-9)


@given(st.integers(0, 10**6))
def test_support_is_the_rows_with_the_phrase(seed: int) -> None:
    rows = chats(random.Random(seed), 30)
    found = associations(rows)
    assert found
    for one in found:
        at, text = one.feature
        assert one.support == sum(text in phrases(chat)[at] for chat in rows)


@given(st.text(" \t\n\x1cab\u00a0", max_size=20), st.sampled_from([None, "", "s"]))
def test_phrases_at_the_edges_are_those_of_all_words(prompt: str, system: str | None) -> None:
    head = () if system is None else (Message("system", system),)
    chat: Chat = (*head, Message("user", prompt), Message("assistant", "Yes."))
    words = prompt.split()
    found = phrases(chat)
    lengths = range(1, min(EDGE, len(words)) + 1)
    assert found["prefix"] == [" ".join(words[:many]) for many in lengths]
    assert found["suffix"] == [" ".join(words[-many:]) for many in lengths]
    assert found["infix"] == set(words)
    assert found["system"] == ([] if system is None else [system])
