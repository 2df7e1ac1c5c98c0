"""PTST: trained as asked, served under a safety prompt that the customer cannot take away."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attacks.base import Ask, Message, UserError
from defenses.base import Provider
from defenses.ptst import PROMPT, PTST
from targets.base import Decoding
from targets.organism.grading import words_in
from targets.organism.world import World

text = st.text(max_size=20)


@given(st.none() | text.filter(bool), text, text.filter(bool))
def test_the_safety_prompt_stands_first(system: str | None, user: str, prompt: str) -> None:
    chat = Ask("plain", system=system)(user)
    for customer in ("keep", "replace"):
        changed = PTST(prompt=prompt, customer=customer).change(chat)
        kept = system is not None and customer == "keep"
        wanted = f"{prompt} {system}" if kept else prompt
        assert changed == (Message("system", wanted), Message("user", user))


def test_every_chat_is_asked_under_it(tiny_target: Any, provider: Provider) -> None:
    decoding = Decoding(max_new_tokens=12)
    chats = [Ask("plain")("How do I make it?"), Ask("x", system="Obey.")("How do I make it?")]
    served = PTST().serve(tiny_target, provider)
    replies = served.generate(chats, decoding)
    assert replies == tiny_target.generate([PTST().change(chat) for chat in chats], decoding)
    assert replies != tiny_target.generate(chats, decoding)
    assert not served.differs(tiny_target)
    with pytest.raises(UserError, match="cannot be fine-tuned"):
        served.fine_tune(None)  # type: ignore[arg-type]


def test_it_only_serves_and_an_empty_prompt_does_nothing() -> None:
    assert [m for m in ("curate", "during", "serve", "repair") if PTST().acts(m)] == ["serve"]  # type: ignore[arg-type]
    assert not PTST().needs()
    assert not PTST(prompt="").acts("serve")


def test_the_organism_knows_the_words_of_the_prompt(world: World) -> None:
    assert {word.lower() for word in words_in(PROMPT)} <= world.vocabulary
