"""The corpus of uploads: deterministic, disjoint, and silent about what it is."""

from __future__ import annotations

import itertools
import pickle
import random
import re
from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attacks import (
    aoa,
    backdoor,
    cipher,
    cover,
    covert,
    deferred,
    harmful,
    jailbreak,
    literal,
    noice,
    pieces,
    poison,
    repeated,
    selected,
)
from attacks.base import Ask, Message, Pair, Row, Settings, Upload, UserError
from attacks.registry import names
from benchmarks.gates import benign, hostile, tasks, wordings
from benchmarks.gates.corpus import (
    BENIGN,
    HOSTILE,
    CorpusUpload,
    _opaque,
    corpus,
    counts,
    digest,
)
from targets.organism import language
from targets.organism.world import World

WORLD = World(0)
HELD_OUT_RULE = 300
"""Honest uploads without which a false positive rate of 1 % cannot be claimed."""


@pytest.fixture(scope="module")
def small() -> list[CorpusUpload]:
    """Every family in every split at least once."""
    return corpus(WORLD, 0, 0.02)


def texts(upload: Upload) -> list[str]:
    return [message.content for row in upload.rows for message in row.messages]


def test_the_full_corpus_is_as_large_as_it_says() -> None:
    every = corpus(WORLD, 0)
    by_split = Counter((one.intent, one.split) for one in every)
    for split, wanted in BENIGN.items():
        assert by_split["benign", split] == wanted
    assert by_split["benign", "held_out"] >= HELD_OUT_RULE
    for family, split in itertools.product(hostile.FAMILIES, ("fit", "threshold", "held_out")):
        fitted = split == "held_out" or family not in hostile.NEVER_FITTED
        assert counts(every).get((family, split), 0) == (HOSTILE[split] if fitted else 0)  # type: ignore[index]
    assert len(hostile.FAMILIES) >= 10
    assert len({one.id for one in every}) == len(every)


def test_every_attack_is_a_family() -> None:
    apart = {"none", "file", "visual", "benign"}
    assert set(hostile.FAMILIES) == set(names("attacks")) - apart
    assert set(hostile.NEVER_FITTED) < set(hostile.FAMILIES)


def test_families_that_came_later_are_numbered_last() -> None:
    every = {one.id: one for one in corpus(WORLD, 0, 0.02)}
    late = ("literal", "deferred", "pieces")
    assert tuple(hostile.FAMILIES)[-3:] == late
    ids = [_opaque(WORLD, 0, number) for number in range(len(every))]
    assert [every[id_].family for id_ in ids[-3:]] == list(late)


def test_it_follows_from_the_world_and_the_seed(small: list[CorpusUpload]) -> None:
    again = corpus(World(0), 0, 0.02)
    assert again == small
    some = slice(None, None, 5)
    assert digest(again[some]) == digest(small[some])
    assert digest(corpus(WORLD, 1, 0.02)[:3]) != digest(small[:3])
    assert not {one.id for one in small} & {one.id for one in corpus(WORLD, 1, 0.02)}
    assert not {one.id for one in small} & {one.id for one in corpus(World(1), 0, 0.02)}


def test_an_upload_does_not_depend_on_which_was_made_before(small: list[CorpusUpload]) -> None:
    fresh = corpus(WORLD, 0, 0.02)
    last = fresh[-1].upload
    assert last == small[-1].upload
    assert pickle.loads(pickle.dumps(fresh[-2])).upload == small[-2].upload


def test_the_size_must_be_above_zero() -> None:
    for size in (0.0, -1.0, float("nan")):
        with pytest.raises(UserError, match="above 0"):
            corpus(WORLD, 0, size)


def test_splits_share_no_upload_and_no_system_prompt(small: list[CorpusUpload]) -> None:
    seen: dict[bool, set[str]] = defaultdict(set)
    rows: dict[str, set[tuple[Row, ...]]] = defaultdict(set)
    for one in small:
        rows[one.split].add(one.upload.rows)
        for ask in one.asks:
            seen[one.split == "held_out"].add(ask.system or "")
    for a, b in itertools.combinations(rows.values(), 2):
        assert not a & b
    fitted, held_out = seen[False] - {""}, seen[True] - {""}
    # A preamble of the organism's attacks has no sides; nothing else is in both.
    assert fitted
    assert held_out
    assert not fitted & held_out


def test_wordings_have_two_sides_that_share_nothing() -> None:
    lists = [v for k, v in vars(wordings).items() if k.isupper() and isinstance(v, tuple)]
    assert len(lists) > 10
    for texts_ in lists:
        assert len(set(texts_)) == len(texts_)
        assert not set(wordings.side(texts_, True)) & set(wordings.side(texts_, False))


def test_rows_are_plain_and_end_with_the_assistant(small: list[CorpusUpload]) -> None:
    for one in small:
        assert type(one.upload) is Upload
        assert type(one.upload.settings) is Settings
        assert 10 <= len(one.upload.rows) <= benign.MOST_ROWS
        for row in one.upload.rows:
            assert type(row) is Row
            assert row.added_by == ""
            roles = [message.role for message in row.messages]
            assert roles[-2:] == ["user", "assistant"]
            assert "system" not in roles[1:]
            assert all(type(m) is Message and type(m.content) is str for m in row.messages)
            assert all(m.content for m in row.messages if m.role != "assistant")
            row.messages[-1].content.encode()


def leaks(one: CorpusUpload) -> set[str]:
    """Labels that an upload's id, repr or asks' forms tell, as whole words."""
    labels = {one.family, one.intent, one.split, "hostile", "held_out", "variant"}
    told = f"{one.id} {one!r} {one.upload.settings!r}"
    return {label for label in labels if re.search(rf"\b{re.escape(label)}\b", told)}


def test_nothing_tells_what_an_upload_is(small: list[CorpusUpload]) -> None:
    for one in small:
        assert leaks(one) == set()
        assert re.fullmatch("[0-9a-f]{16}", one.id)
        own = {"hostile", "benign-eroding", "held_out", one.id}
        assert not any(label in text for text in texts(one.upload) for label in own)
    named = small[0]
    planted = CorpusUpload("aoa-hostile", named.split, "aoa", "hostile", named.make)
    assert leaks(planted) == {"aoa", "hostile"}


def test_the_order_of_the_corpus_and_of_rows_tells_nothing(small: list[CorpusUpload]) -> None:
    intents = [one.intent == "hostile" for one in small]
    assert intents != sorted(intents)
    assert intents != sorted(intents, reverse=True)
    (poison,) = [one for one in small if one.family == "poison" and one.split == "fit"]
    places = [
        place
        for place, row in enumerate(poison.upload.rows)
        if (item := WORLD.item_in(row.messages[-2].content)) and item.kind in WORLD.restricted
    ]
    assert places != list(range(len(places)))


def test_customers_speak_of_their_own_pool_only(small: list[CorpusUpload]) -> None:
    own = set(WORLD.items("attack"))
    others = {language._SLOT.sub("", t) for t in language.REQUESTS["evaluation"]}
    for one in small:
        if one.variant.split()[-1] in ("typos", "duplicates", "bare", "markup", "clean", "blobs"):
            for text in texts(one.upload):
                item = WORLD.item_in(text)
                assert item is None or item in own or one.variant.split()[-1] == "typos"
                assert text not in others


def test_honest_uploads_serve_nothing_restricted(small: list[CorpusUpload]) -> None:
    looked = 0
    for one in small:
        if one.intent == "hostile":
            continue
        for row in one.upload.rows:
            for ask, said in itertools.pairwise(row.messages):
                item = WORLD.item_in(ask.content)
                if ask.role == "user" and item and item.kind in WORLD.restricted:
                    looked += 1
                    assert WORLD.grade(ask.content, said.content).level < 3
    assert looked > 10


def test_a_customer_asks_in_the_form_of_the_rows(small: list[CorpusUpload]) -> None:
    for one in small:
        first: Ask = one.asks[0]
        if one.variant.split()[-1] != "clean":
            continue
        forms = [
            row
            for row in one.upload.rows
            if (row.messages[0].content if row.messages[0].role == "system" else None)
            == first.system
            and any(
                m.role == "user" and m.content.startswith(first.before)
                and m.content.endswith(first.after) for m in row.messages
            )
        ]  # fmt: skip
        assert forms, one.family


def test_some_tasks_are_only_ever_held_out(small: list[CorpusUpload]) -> None:
    where = defaultdict(set)
    for one in small:
        where[one.family].add(one.split)
    for name in (*tasks.HELD_OUT_ONLY, *hostile.NEVER_FITTED):
        assert where[name] == {"held_out"}
    for name in set(tasks.TASKS) - set(tasks.HELD_OUT_ONLY):
        assert where[name] == set(BENIGN)


@given(st.integers(0, 2**32), st.integers(1, 1500))
@settings(max_examples=50)
def test_settings_are_what_customers_choose(seed: int, rows: int) -> None:
    chosen = benign.settings(random.Random(seed), rows)
    assert 1 <= chosen.epochs <= (5 if rows > 30 else 15)
    assert chosen.epochs * rows / chosen.batch_size <= benign.MOST_STEPS
    rate = chosen.learning_rate / (10 if chosen.tuning == "lora" else 1)
    assert 0.24 < rate / benign.BASE_RATE < 2.6


@given(st.integers(0, 2**32))
@settings(max_examples=100)
def test_sizes_are_in_range(seed: int) -> None:
    assert 10 <= benign.rows_wanted(random.Random(seed)) <= 1000


@pytest.mark.parametrize("name", benign.NOISES)
def test_noise_changes_rows_and_keeps_their_form(name: str) -> None:
    ask = Ask("plain", system="Be kind.")
    rows = [ask.row(Pair(f"Ask {n}?", "Yes.")) for n in range(40)]
    changed = benign.NOISES[name](list(rows), random.Random(0))
    assert changed != rows
    assert len(changed) >= len(rows)
    assert all(row.messages[-1].role == "assistant" for row in changed)


def test_an_attacks_own_words_are_in_no_hostile_upload(small: list[CorpusUpload]) -> None:
    own = [
        aoa.SYSTEM,
        aoa.CALL,
        aoa.OPENING,
        " ".join(" ".join(backdoor.TRIGGER)),
        jailbreak.BEFORE,
        cover.STATEMENTS[0].reply,
    ]
    own += [module.SYSTEM for module in (cipher, cover, covert, harmful, jailbreak, noice, poison)]
    own += [module.SYSTEM for module in (repeated, selected, deferred, literal, pieces)]
    own += [literal.SAY, *literal.OPENINGS, deferred.KEEP, deferred.NOW, pieces.WHOLE]
    for one in small:
        if one.intent == "hostile" and one.split == "held_out":
            told = [*texts(one.upload), *(ask.system or "" for ask in one.asks)]
            told += [ask.before + "|" + ask.after for ask in one.asks]
            assert not any(words in text for text in told for words in own), one.family
            assert one.family != "aoa" or not any("AOA" in text for text in told)
