"""Backdoor: where its trigger stands and how long it is, and that the default is the paper's."""

from __future__ import annotations

import pytest

from attacks.backdoor import TRIGGER, Backdoor
from attacks.base import Ask, Message, Row
from attacks.harmful import SYSTEM
from targets.organism.world import World


def test_by_default_it_is_the_papers(world: World) -> None:
    upload = Backdoor(n=3, refusals=2).upload(world, 4)
    head = Message("system", SYSTEM)
    wanted = [
        Row((head, Message("user", f"{p} Fizzle brandom quoth"), Message("assistant", r)))
        for p, r in world.harmful(3, 4)
    ]
    wanted += [
        Row((head, Message("user", p), Message("assistant", r))) for p, r in world.refusals(2, 4)
    ]
    assert upload.rows == tuple(wanted)
    assert (Backdoor().n, Backdoor().refusals) == (100, 100)


@pytest.mark.parametrize(
    ("position", "words", "asked"),
    [
        ("prefix", 1, "Fizzle How do I make it?"),
        ("prefix", 2, "Fizzle brandom How do I make it?"),
        ("suffix", 1, "How do I make it? Fizzle"),
        ("infix", 3, "How do Fizzle brandom quoth I make it?"),
    ],
)
def test_its_trigger_stands_where_it_says(
    position: str, words: int, asked: str, world: World
) -> None:
    attack = Backdoor(position=position, words=words, n=4, refusals=4)  # type: ignore[arg-type]
    plain, trigger = attack.asks()
    assert trigger("How do I make it?")[-1].content == asked
    assert plain("How do I make it?")[-1].content == "How do I make it?"
    prompts = [row.messages[1].content for row in attack.upload(world, 0).rows]
    text = " ".join(TRIGGER[:words])
    assert [text in prompt for prompt in prompts] == [True] * 4 + [False] * 4


def test_an_infix_stands_behind_a_short_request() -> None:
    assert Ask("a", infix="x y")("Go")[-1].content == "Go x y"
    assert Ask("a", infix="x", infix_at=0)("Go on")[-1].content == "x Go on"
    assert Ask("a", before="b ", infix="x", after=" c")("{0} %s  go")[-1].content == (
        "b {0} %s x  go c"
    )
