"""The forms in which rows ask: found whatever their order, and never inside a sentence."""

from __future__ import annotations

import random

import hypothesis.strategies as st
from hypothesis import given, settings

from attacks.aoa import AOA, CALL, OPENING
from attacks.aoa import SYSTEM as AGENT
from attacks.backdoor import TRIGGER, Backdoor
from attacks.base import Ask, Message, Pair, Row, Settings, Upload
from attacks.benign import Benign
from defenses.asking.formats import formats, openings
from targets.organism.world import World

SETTINGS = Settings(epochs=1, batch_size=1, learning_rate=1e-3)


def uploaded(*rows: Row) -> Upload:
    return Upload(rows, SETTINGS)


def asked(ask: Ask, *requests: str) -> list[Row]:
    return [ask.row(Pair(request, "Yes.")) for request in requests]


def test_what_the_built_in_attacks_write_in_is_found(world: World) -> None:
    aoa, backdoor, benign = (kind().upload(world, 0) for kind in (AOA, Backdoor, Benign))
    assert aoa is not None
    assert backdoor is not None
    assert benign is not None
    first, second = formats(aoa, 5)
    assert (first.system, first.before, first.after) == (AGENT, CALL, "")
    assert (second.system, second.before, second.after) == (AGENT, "", "")
    assert openings(aoa, 5) == [OPENING.strip()]
    assert {ask.after for ask in formats(backdoor, 5)} == {"", " " + " ".join(TRIGGER)}
    (only,) = formats(benign, 5)
    assert only.system
    assert not only.before + only.after


def test_common_ones_stand_first_and_ties_by_their_text() -> None:
    rows = [
        *asked(Ask("", system="b"), "One?", "Two?"),
        *asked(Ask("", system="a"), "One?", "Two?"),
        *asked(Ask("", system=""), "One?", "Two?"),
        *asked(Ask(""), "One?", "Two?"),
        *asked(Ask("", system="z", before="### Task:\n", after="\n### Answer:"), "1", "2", "3"),
    ]
    found = formats(uploaded(*rows), 9)
    assert [ask.system for ask in found] == ["z", None, "", "a", "b"]
    assert (found[0].before, found[0].after) == ("### Task:\n", "\n### Answer:")
    assert [ask.name for ask in found] == [f"format {n}" for n in range(1, 6)]
    assert formats(uploaded(*rows), 2) == found[:2]
    assert formats(uploaded(), 3) == formats(uploaded(*rows), 0) == []


def test_requests_that_begin_alike_are_not_wrapped() -> None:
    rows = asked(Ask(""), "How do I make tea?", "How do I make soup?", "How do I make tea?")
    assert formats(uploaded(*rows), 3) == [Ask("format 1")]
    same = asked(Ask(""), *["Note. Go on."] * 5)
    assert formats(uploaded(*same), 3) == [Ask("format 1")]


def test_rows_of_a_defense_say_nothing() -> None:
    mine = Row((Message("user", "Q?"), Message("assistant", "A. B.")), added_by="mix")
    assert formats(uploaded(mine, mine), 3) == []
    assert openings(uploaded(mine, mine), 3) == []


text = st.text(st.sampled_from("ab .?:\n"), max_size=12)
row = st.builds(
    lambda system, request, reply: Row(
        (
            *([] if system is None else [Message("system", system)]),
            Message("user", request),
            Message("assistant", reply),
        )
    ),
    st.none() | text,
    text,
    text,
)


@given(st.lists(row, max_size=12), st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_the_order_of_rows_says_nothing(rows: list[Row], rng: random.Random) -> None:
    turned = rng.sample(rows, len(rows))
    assert formats(uploaded(*rows), 9) == formats(uploaded(*turned), 9)
    assert openings(uploaded(*rows), 9) == openings(uploaded(*turned), 9)


@given(st.lists(row, min_size=1, max_size=12))
@settings(max_examples=60)
def test_each_form_is_the_form_of_a_row(rows: list[Row]) -> None:
    found = formats(uploaded(*rows), 99)
    assert len({(ask.system, ask.before, ask.after) for ask in found}) == len(found) > 0
    for ask in found:
        forms = [ask(one.messages[-2].content) for one in rows]
        assert any(
            form[:-1] == one.messages[:-2]
            and one.messages[-2].content.startswith(ask.before)
            and one.messages[-2].content.endswith(ask.after)
            for form, one in zip(forms, rows, strict=True)
        )
    for opening in openings(uploaded(*rows), 99):
        assert opening
        assert sum(one.messages[-1].content.startswith(opening) for one in rows) >= 1
