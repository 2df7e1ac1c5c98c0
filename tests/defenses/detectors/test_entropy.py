from __future__ import annotations

import base64
import random
import string
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attacks.base import Upload
from defenses.base import Provider
from defenses.detectors.entropy import ENGLISH, Entropy
from targets.organism.world import World

Written = Callable[..., Upload]


def score(upload: Upload, owner: Provider) -> float:
    found = Entropy().read(upload, owner).score
    assert found is not None
    return found


def substituted(text: str, seed: int) -> str:
    """A substitution cipher."""
    mixed = [*string.ascii_lowercase]
    random.Random(seed).shuffle(mixed)
    return text.lower().translate(str.maketrans(string.ascii_lowercase, "".join(mixed)))


@pytest.mark.parametrize("rows", [10, 100, 400])
def test_texts_are_no_ciphers(rows: int, world: World, written: Written, owner: Provider) -> None:
    assert score(written(world.benign(rows, 4)), owner) < 0.1


def test_english_unlike_the_providers_is_no_cipher(written: Written, owner: Provider) -> None:
    text = (
        "Thank you for writing to our support desk. The parcel left the warehouse on Tuesday and "
        "should arrive within three working days; the carrier will send a message before noon."
    )
    assert score(written([(f"Where is parcel {i}?", text) for i in range(20)]), owner) < 0.15


@settings(max_examples=10)
@given(seed=st.integers(0, 1000))
def test_substitution_ciphers_are_seen(
    world: World, written: Written, owner: Provider, seed: int
) -> None:
    pairs = [(substituted(p, seed), substituted(r, seed)) for p, r in world.benign(12, 4)]
    found = Entropy().read(written(pairs), owner)
    assert found.score is not None
    assert found.score > 0.3


def test_a_cipher_in_half_of_the_rows_counts_by_half(
    world: World, written: Written, owner: Provider
) -> None:
    pairs = world.benign(40, 4)
    hidden = [(substituted(p, 1), substituted(r, 1)) for p, r in pairs]
    scores = [score(written(x), owner) for x in (pairs, pairs[:20] + hidden[20:], hidden)]
    assert scores[1] == pytest.approx((scores[0] + scores[2]) / 2, rel=0.25)
    found = Entropy().read(written(pairs[:20] + hidden[20:]), owner)
    assert found.findings
    assert all(one.row >= 20 for one in found.findings)


def test_encoded_blocks_are_no_words(world: World, written: Written, owner: Provider) -> None:
    pairs = [
        tuple(base64.b64encode(text.encode()).decode() for text in pair)
        for pair in world.benign(12, 4)
    ]
    found = Entropy().read(written(pairs), owner)
    assert found.evidence["odd words"] > 0.9


def test_other_scripts_cannot_be_read(written: Written, owner: Provider) -> None:
    found = Entropy().read(written([("Где моя посылка?", "Она уже в пути.")] * 30), owner)
    assert found.score is None
    assert "Latin" in found.reason


def test_the_table_is_whole() -> None:
    assert sorted(ENGLISH) == [*string.ascii_lowercase]
    assert sum(ENGLISH.values()) == pytest.approx(100, abs=0.2)
