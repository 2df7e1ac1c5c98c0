"""The trainer's vocabulary: composition, ownership, plans, and the pieces a step is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attacks.base import Row, Settings, Upload, UserError
from attacks.spec import parse
from defenses import compose
from targets.hooks import MOMENTS, Batch, Composed, Plan, TrainHooks, Training, shuffled_epochs


class Plus(TrainHooks):
    def __init__(self, by: float) -> None:
        self.by = by

    def loss(self, training: Training, batch: Batch, loss: Any) -> Any:
        return loss + self.by


class Times(Plus):
    def loss(self, training: Training, batch: Batch, loss: Any) -> Any:
        return loss * self.by


class Planner(TrainHooks):
    def plan(self, rows: Sequence[Row], settings: Settings, seed: int) -> Plan:
        return [[0]]


class Stepper(TrainHooks):
    def step(self, training: Training, batch: Batch) -> Any:
        return training.loss(batch)


@given(st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), max_size=6))
def test_losses_fold_from_left_to_right(terms: list[tuple[bool, int]]) -> None:
    hooks = [(Plus if plus else Times)(by) for plus, by in terms]
    wanted = 7
    for plus, by in terms:
        wanted = wanted + by if plus else wanted * by
    composed = Composed([Composed(hooks[:2]), *hooks[2:]])
    assert composed.loss(None, {}, 7) == wanted  # type: ignore[arg-type]


@pytest.mark.parametrize(("owner", "moment"), [(Planner, "plan"), (Stepper, "step")])
def test_a_second_owner_is_refused(owner: type[TrainHooks], moment: str) -> None:
    Composed([owner(), Plus(1)])
    with pytest.raises(UserError, match=f"each owns the {moment}"):
        Composed([Composed([owner()]), owner()])


def test_two_plans_are_refused_when_the_words_are_read() -> None:
    with pytest.raises(UserError, match="lisa and mix each decide the trainer's plan"):
        compose.load(parse("lisa+mix:order=interleaved")[0])
    compose.load(parse("lisa+mix")[0])
    compose.load(parse("lisa:n=0+mix:order=interleaved")[0])


def test_two_step_owners_are_refused_when_the_words_are_read(tmp_path: Path) -> None:
    source = (
        "from attacks.base import component\n"
        "from defenses.base import Defense\n"
        "@component\n"
        "class Own(Defense):\n"
        "    def owns(self):\n"
        "        return frozenset({'step'})\n"
    )
    files = [tmp_path / "one.py", tmp_path / "two.py"]
    for file in files:
        file.write_text(source)
    with pytest.raises(UserError, match="each decide the trainer's step"):
        compose.load(parse(f"{files[0]}+{files[1]}")[0])


def test_moments_that_never_came_are_named() -> None:
    composed = Composed([Plus(1), Planner()])
    assert composed.unreached() == ["plan", "loss"]
    composed.plan([], Settings(epochs=1, batch_size=1, learning_rate=1.0), 0)
    assert composed.unreached() == ["loss"]
    composed.loss(None, {}, 0)  # type: ignore[arg-type]
    assert composed.unreached() == []


def test_plain_hooks_act_at_no_moment() -> None:
    assert not any(TrainHooks().overrides(moment) for moment in MOMENTS)
    with pytest.raises(UserError, match="does not own a step"):
        TrainHooks().step(None, {})  # type: ignore[arg-type]


@given(
    st.lists(st.integers(0, 99), unique=True, min_size=1),
    st.integers(1, 4),
    st.integers(1, 12),
    st.integers(0, 5),
)
def test_epochs_hold_every_row_once(rows: list[int], epochs: int, size: int, seed: int) -> None:
    settings = Settings(epochs=epochs, batch_size=size, learning_rate=1.0)
    plan = shuffled_epochs(rows, settings, seed)
    flat = [row for batch in plan for row in batch]
    assert max(map(len, plan)) <= size
    for start in range(0, len(flat), len(rows)):
        assert sorted(flat[start : start + len(rows)]) == sorted(rows)
    assert len(flat) == epochs * len(rows)
    assert plan == shuffled_epochs(rows, settings, seed)


@pytest.fixture
def training(tiny_target: Any, make_upload: Callable[..., Upload]) -> Training:
    import torch

    from targets.adapters import twin

    model = twin(tiny_target.model).requires_grad_(True)

    def loss(batch: Batch) -> Any:
        return torch.nn.functional.cross_entropy(
            model(input_ids=batch["input_ids"]).logits.flatten(0, 1), batch["labels"].flatten()
        )

    return Training(model=model, rows=make_upload(3).rows, steps=1, loss=loss)


@pytest.fixture
def batch() -> Batch:
    import torch

    ids = torch.arange(12).reshape(3, 4) + 5
    return {"input_ids": ids, "labels": ids.roll(-1, 1), "row": torch.tensor([2, 0, 1])}


def test_a_part_of_a_batch(training: Training, batch: Batch) -> None:
    part = training.part(batch, lambda row: row != 0)
    assert part is not None
    assert part["row"].tolist() == [2, 1]
    assert part["input_ids"].tolist() == [[5, 6, 7, 8], [13, 14, 15, 16]]
    assert training.part(batch, lambda row: row > 2) is None


def test_gradients_leave_grad_alone(training: Training, batch: Batch) -> None:
    found = training.gradients(batch)
    assert all(parameter.grad is None for parameter in training.parameters.values())
    training.loss(batch).backward()
    for name, parameter in training.parameters.items():
        assert parameter.grad is not None
        assert found[name].equal(parameter.grad)


def test_a_shift_is_undone_to_the_bit(training: Training, batch: Batch) -> None:
    before = training.snapshot()
    loss = training.loss(batch).item()

    def fail_while_shifted() -> None:
        with training.shifted({name: value * 0.3 for name, value in before.items()}):
            assert training.loss(batch).item() != loss
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_while_shifted()
    assert all(before[name].equal(value) for name, value in training.parameters.items())
