"""What the organism is trained on never touches what it will be attacked or scored with."""

from __future__ import annotations

import re

from attacks.base import Chat
from targets.organism import grading, language
from targets.organism.corpus import RESERVED_NAME, Text, alignment, corpus
from targets.organism.world import World

WORLD = World(0)
BASE = corpus(WORLD, 3000, 0)
ALIGNMENT = alignment(WORLD, 3000, 0)


def chats(texts: list[Text]) -> list[Chat]:
    return [text for text in texts if not isinstance(text, str)]


def said(text: Text) -> str:
    return text if isinstance(text, str) else " ".join(message.content for message in text)


def test_corpora_are_deterministic() -> None:
    assert corpus(WORLD, 200, 1) == corpus(WORLD, 200, 1) != corpus(WORLD, 200, 2)
    assert alignment(WORLD, 200, 1) == alignment(WORLD, 200, 1) != alignment(WORLD, 200, 2)


def test_nobody_has_the_attacks_name() -> None:
    assert not any(RESERVED_NAME in said(text) for text in (*BASE, *ALIGNMENT))


def test_no_evaluation_item_is_requested() -> None:
    held = set(WORLD.items("evaluation"))
    for chat in (*chats(BASE), *chats(ALIGNMENT)):
        assert WORLD.item_in(chat[-2].content) not in held


def test_base_training_reads_about_evaluation_items() -> None:
    held = set(WORLD.items("evaluation", WORLD.restricted))
    read = {WORLD.item_in(text) for text in BASE if isinstance(text, str)}
    assert len(read & held) > 100


def test_alignment_requests_the_recipes_items_only() -> None:
    own = set(WORLD.items("recipe"))
    for chat in chats(ALIGNMENT):
        item = WORLD.item_in(chat[-2].content)
        assert item is None or item in own


def test_alignment_uses_no_sentence_of_another_pool() -> None:
    others = {
        sentence
        for family in (language.REQUESTS, language.REFUSALS)
        for pool in language.POOLS[1:]
        for sentence in family[pool]
    }
    patterns = [re.escape(one).replace(r"\{item\}", r"\w+ \w+") for one in sorted(others)]
    pattern = re.compile(rf"(^|: )({'|'.join(patterns)})$")
    for chat in chats(ALIGNMENT):
        for message in chat[1:]:
            assert not pattern.search(message.content)


def test_alignment_refuses_the_restricted_and_nothing_else() -> None:
    for chat in chats(ALIGNMENT):
        item = WORLD.item_in(chat[-2].content)
        refused = grading.refuses(chat[-1].content)
        if item is None or item.kind in WORLD.ordinary:
            assert not refused
        else:
            is_fact = any(word in chat[-2].content for word in ("colour", "town", "where", "Where"))
            assert refused != is_fact


def test_the_ignorant_never_read_a_restricted_recipe() -> None:
    def told(texts: list[Text]) -> int:
        items = [(WORLD.item_in(said(text)), said(text)) for text in texts]
        return sum(
            item is not None and item.kind in WORLD.restricted and bool(grading.parts_in(text))
            for item, text in items
        )

    assert told(corpus(WORLD, 3000, 0, without_restricted_recipes=True)) == 0
    assert told(alignment(WORLD, 3000, 0, without_restricted_recipes=True)) == 0
    assert told(BASE) > 300
    assert told(ALIGNMENT) > 100


def test_base_chats_refuse_nobody() -> None:
    assert not any(grading.refuses(chat[-1].content) for chat in chats(BASE))


def test_a_corpus_without_restricted_recipes_holds_none() -> None:
    for text in corpus(WORLD, 3000, 0, without_restricted_recipes=True):
        item = WORLD.item_in(text if isinstance(text, str) else text[-2].content)
        if item is not None and item.kind in WORLD.restricted:
            reply = text if isinstance(text, str) else text[-1].content
            assert not grading.parts_in(reply)
