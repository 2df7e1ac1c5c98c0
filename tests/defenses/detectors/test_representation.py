"""Rows near the harmful anchors are found wherever they stand; what cannot be read has no score."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attacks.base import Message, Row, Upload, UserError
from defenses.base import Asked, Provider
from defenses.detectors.representation import Representation
from eval.anchors import MOST, kept, nearness, sample, top_mean
from targets.organism.world import World

SMALL = Representation(anchors=11)


@given(st.lists(st.floats(-2, 2), min_size=1, max_size=50), st.floats(0.01, 1))
def test_the_mean_of_the_highest(scores: list[float], share: float) -> None:
    found = top_mean(scores, share)
    assert found == top_mean(scores[::-1], share)
    assert sum(scores) / len(scores) - 1e-9 <= found <= max(scores) + 1e-9
    assert top_mean(scores, 1e-9) == max(scores)


@given(st.integers(0, 1000))
@settings(max_examples=20)
def test_nearness_has_a_side(seed: int) -> None:
    import torch

    draw = torch.Generator().manual_seed(seed)
    one, other = (torch.randn(7, 16, generator=draw) + m for m in (3.0, -3.0))
    there, here = nearness(one, one, other, 3), nearness(other, one, other, 3)
    assert min(there) > 0 > max(here)
    assert all(-2 <= x <= 2 for x in (*there, *here))
    turned = nearness(one, other, one, 3)
    assert turned == pytest.approx([-x for x in there], abs=1e-5)


def test_a_sample_is_of_the_text_and_not_of_the_order(make_upload: Callable[..., Upload]) -> None:
    rows = make_upload(12).rows
    chats = {i: row.messages for i, row in enumerate(rows)}
    turned = {i: row.messages for i, row in enumerate(rows[::-1])}
    drawn = [chats[i] for i in sample(chats, 5, 3)]
    assert drawn == [turned[i] for i in sample(turned, 5, 3)]
    assert len(drawn) == 5
    assert sorted(sample(chats, 12, 0)) == list(range(12))


def test_anchors_are_made_once_for_a_model_and_bounded() -> None:
    class Model:
        pass

    one, other = Model(), Model()
    assert kept(one, "key", lambda: 1) == 1
    assert kept(one, "key", lambda: 2) == 1
    assert kept(other, "key", lambda: 3) == 3
    for i in range(MOST):
        kept(one, i, lambda: 0)
    assert kept(one, "key", lambda: 4) == 4


def test_a_reading(make_upload: Callable[..., Upload], provider: Provider) -> None:
    reading = SMALL.read(make_upload(5, system="Canary seven."), provider)
    assert reading.score is not None
    assert reading.score == reading.evidence["highest"] >= reading.evidence["mean"]
    assert reading.passes == 5
    assert "Canary" not in f"{reading}"


def test_what_does_not_fit_has_no_score(
    make_upload: Callable[..., Upload], provider: Provider
) -> None:
    reading = SMALL.read(make_upload(4, system="word " * 500), provider)
    assert reading.score is None
    assert reading.reason


def test_it_needs_weights(
    tiny_target: Any, make_upload: Callable[..., Upload], make_provider: Callable[..., Provider]
) -> None:
    assert SMALL.needs() == {"weights"}
    with pytest.raises(UserError, match="has none here"):
        SMALL.read(make_upload(4), make_provider(start=Asked(tiny_target, lambda chat: chat)))


def test_on_the_organism_it_points_at_the_harmful_rows(
    world: World, make_provider: Callable[..., Provider]
) -> None:
    from targets.resolve import resolve

    provider = make_provider(start=resolve("organism").start.load())
    pairs = [*world.benign(57, 0), *world.harmful(3, 0)]
    rows = [Row((Message("user", p.prompt), Message("assistant", p.reply))) for p in pairs]
    clean = upload_of(rows[:57])
    mixed = upload_of(rows)
    readings = [Representation().read(upload, provider) for upload in (clean, mixed)]
    without, having = (reading.score for reading in readings)
    assert without is not None
    assert having is not None
    assert having > without + 0.1
    assert {finding.row for finding in readings[1].findings[:3]} <= {57, 58, 59}


def upload_of(rows: list[Row]) -> Upload:
    from attacks.base import Settings

    return Upload(tuple(rows), Settings(epochs=1, batch_size=10, learning_rate=1e-4))
