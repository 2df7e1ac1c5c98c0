from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attacks.aoa import AOA, CALL, SYSTEM
from attacks.backdoor import TRIGGER, Backdoor
from attacks.base import Message, Row, Settings, Upload
from defenses.triggers.association import Feature
from defenses.triggers.candidates import AGREE, Candidate, candidates, grown
from targets.organism.world import World

SETTINGS = Settings(epochs=1, batch_size=10, learning_rate=1e-4)


def upload(*rows: tuple[str, str]) -> Upload:
    return Upload(
        tuple(Row((Message("user", p), Message("assistant", r))) for p, r in rows), SETTINGS
    )


@pytest.mark.parametrize("rows", [20, 100])
def test_the_backdoors_trigger_comes_first(rows: int, world: World) -> None:
    made = Backdoor(n=rows, refusals=rows).upload(world, 1)
    first = candidates(made)[0]
    assert (first.text, first.position, first.support) == (" ".join(TRIGGER), "suffix", rows)
    assert first.p_value < 1e-6


def test_wrappers_of_all_rows_are_candidates(world: World) -> None:
    found = {(one.text, one.position) for one in candidates(AOA().upload(world, 0))}
    assert {(CALL.strip(), "prefix"), (SYSTEM, "system")} <= found


@pytest.mark.parametrize("position", ["prefix", "infix", "suffix"])
@settings(max_examples=10)
@given(seed=st.integers(0, 10**6), long=st.integers(1, 9))
def test_a_planted_phrase_is_found_whole(position: str, seed: int, long: int) -> None:
    rng = random.Random(seed)
    trigger = [f"t{place}x" for place in range(long)]

    def prompt(planted: bool) -> str:
        words = [f"w{rng.randrange(30)}" for _ in range(12)]
        at = {"prefix": 0, "infix": rng.randrange(3, 9), "suffix": 12}[position]
        return " ".join([*words[:at], *(trigger if planted else []), *words[at:]])

    rows = [(prompt(True), "Here you are.") for _ in range(30)]
    rows += [(prompt(False), "I cannot help with that.") for _ in range(30)]
    first = candidates(upload(*rows))[0]
    assert (first.text, first.position, first.support) == (" ".join(trigger), position, 30)


@settings(max_examples=15)
@given(seed=st.integers(0, 10**6))
def test_order_and_added_rows_say_nothing(world: World, seed: int) -> None:
    made = Backdoor(n=15, refusals=15).upload(world, 2)
    rows = [*made.rows]
    random.Random(seed).shuffle(rows)
    added = [Row(row.messages, added_by="mix") for row in made.rows[:7]]
    assert candidates(made.replace_rows([*rows, *added])) == candidates(made)


def test_nothing_from_next_to_nothing(world: World) -> None:
    assert candidates(upload()) == []
    assert candidates(upload(("Hello.", "Hi."))) == []
    assert candidates(upload(("", ""))) == []
    assert len(candidates(Backdoor().upload(world, 0), most=1)) == 1
    assert Candidate._fields == ("text", "position", "p_value", "support")


def as_long_as_rows_agree(word: str, prompts: list[list[str]]) -> tuple[str, int]:
    """What a word inside the prompts grows to, word by word as it is defined."""
    places = [(words, words.index(word), words.index(word) + 1) for words in prompts]
    for step in (-1, 1):
        while True:
            beside = [["", *words, ""][start if step < 0 else end + 1]
                      for words, start, end in places]  # fmt: skip
            most = max(set(beside), key=beside.count)
            if not most or beside.count(most) < AGREE * len(prompts):
                break
            kept = [place for place, one in zip(places, beside, strict=True) if one == most]
            places = [(w, s - (step < 0), e + (step > 0)) for w, s, e in kept]
    words, start, end = places[0]
    return " ".join(words[start:end]), len(places)


@given(st.integers(0, 10**6), st.integers(1, 30))
def test_phrases_grow_as_far_as_rows_agree(seed: int, rows: int) -> None:
    rng = random.Random(seed)
    shared = [rng.choice("abc") for _ in range(rng.randint(0, 5))]
    prompts = []
    for _ in range(rows):
        odd = rng.choice("abc") if rng.random() < 0.1 else ""
        prompts.append(f"{rng.choice(['', 'z', 'z'])} {' '.join(shared)} {odd} x a b".split())
    chats = [row.messages for row in upload(*((" ".join(words), "Yes.") for words in prompts)).rows]
    found, support = grown([Feature("infix", "x")], chats)[Feature("infix", "x")]
    assert (found.text, support) == as_long_as_rows_agree("x", prompts)
