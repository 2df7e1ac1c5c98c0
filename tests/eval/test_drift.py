"""Drift is what linear algebra says it is, and what cannot be had is left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attacks.base import Upload, UserError
from eval.drift import Drift, drift, state_drift, told, weight_drift


def matrix(seed: int, *shape: int) -> Any:
    import torch

    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@given(st.integers(0, 99), st.tuples(st.integers(1, 7), st.integers(1, 7)), st.floats(1e-3, 1e3))
@settings(max_examples=40)
def test_an_update_has_a_size_and_a_rank(seed: int, shape: tuple[int, int], scale: float) -> None:
    import torch

    start, update = matrix(seed, *shape), scale * matrix(seed + 1, *shape)
    found = drift(start, start + update)
    assert found.relative == pytest.approx(float(update.norm() / start.norm()), rel=1e-2)
    values = torch.linalg.svdvals((start + update) - start)
    wanted = float((values**2).sum() / values.max() ** 2)
    assert found.stable_rank == pytest.approx(wanted, rel=1e-3)
    assert 1 - 1e-3 <= wanted <= min(shape) + 1e-3
    assert found.kept is None


def test_rank_one_and_identity() -> None:
    import torch

    start, one = matrix(0, 6, 5), torch.outer(matrix(1, 6), matrix(2, 5))
    assert drift(start, start + one).stable_rank == pytest.approx(1, rel=1e-3)
    square = matrix(0, 6, 6)
    assert drift(square, square + torch.eye(6)).stable_rank == pytest.approx(6, rel=1e-3)


def test_no_update_has_no_rank() -> None:
    start, base = matrix(0, 4, 3), matrix(1, 4, 3)
    assert drift(start, start.clone()) == Drift(0.0, None, None)
    assert drift(start, start.clone(), start.clone()).kept is None
    assert drift(start, start.clone(), base, rank=3).kept == pytest.approx(1, rel=1e-4)


def test_what_of_alignment_is_kept() -> None:
    import torch

    base = matrix(0, 8, 6)
    inside = torch.outer(torch.eye(8)[0], matrix(1, 6))
    outside = torch.outer(torch.eye(8)[1], matrix(2, 6))
    start = base + inside
    along = drift(start, start + 0.5 * inside, base, rank=1).kept
    across = drift(start, start + outside, base, rank=1).kept
    undone = drift(start, base + 1e-3 * outside, base, rank=1).kept
    assert along == pytest.approx(1, rel=1e-3)
    size = float(inside.norm() / (inside + outside).norm())
    assert across == pytest.approx(size, rel=1e-3)
    assert undone is not None
    assert undone < 0.01


def test_models_are_compared_matrix_by_matrix(
    tiny_target: Any, tiny_base: Any, make_upload: Callable[..., Upload]
) -> None:
    tuned = tiny_target.fine_tune(make_upload(learning_rate=1e-2, tuning="lora"))
    found = weight_drift(tiny_target, tuned, tiny_base)
    moved = {name for name, one in found.items() if one.relative}
    assert moved == {name for name in found if "q_proj" in name or "v_proj" in name}
    assert all(found[name].stable_rank is not None for name in moved)
    assert all(0 <= (one.kept or 0) <= 1 + 1e-5 for one in found.values())
    numbers = told(found)
    assert set(numbers) == {"drift", "largest drift", "stable rank of the drift", "alignment kept"}
    assert numbers["largest drift"] == max(one.relative for one in found.values())
    assert told(weight_drift(tiny_target, tiny_target)) == {"drift": 0.0, "largest drift": 0.0}
    assert told({}) == {}


def test_states_move_with_the_weights(
    tiny_target: Any, tiny_base: Any, make_upload: Callable[..., Upload]
) -> None:
    chats = [row.messages for row in make_upload(5).rows]
    same = state_drift(tiny_target, tiny_target, chats)
    assert same.distance == 0
    assert same.cosine == pytest.approx(1, abs=1e-5)
    other = state_drift(tiny_target, tiny_base, chats, depth=1.0, at="reply")
    assert other.distance > 0.01
    assert other.cosine < 1


def test_models_of_other_shapes_are_refused(tiny_target: Any) -> None:
    from targets.local import LocalTarget
    from tests.conftest import tiny_model

    other = LocalTarget(tiny_model(0, len(tiny_target.tokenizer) + 8), tiny_target.tokenizer)
    with pytest.raises(UserError, match="differ in name or shape"):
        weight_drift(tiny_target, other)
