"""Lisa: the alternation is the plan's, the pull is to the weights at the last switch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attacks.base import Message, Row, Settings, Upload
from defenses.base import Provider
from defenses.lisa import Lisa
from targets.hooks import Batch, Composed, TrainHooks, Training, shuffled_epochs

CHAT = (Message("user", "a"), Message("assistant", "b"))
MakeUpload = Callable[..., Upload]


@given(
    customers=st.integers(1, 40),
    safety=st.integers(1, 15),
    epochs=st.integers(1, 4),
    size=st.integers(1, 9),
    k1=st.integers(1, 4),
    k2=st.integers(1, 7),
)
@settings(max_examples=60)
def test_the_plan_alternates_and_spares_the_customer_nothing(
    customers: int, safety: int, epochs: int, size: int, k1: int, k2: int
) -> None:
    rows = [Row(CHAT)] * customers + [Row(CHAT, added_by="lisa")] * safety
    asked = Settings(epochs=epochs, batch_size=size, learning_rate=1.0)
    lisa = Lisa(safety_steps=k1, customer_steps=k2)
    hooks = lisa.during(Upload(tuple(rows), asked), None)  # type: ignore[arg-type]
    assert hooks is not None
    plan = hooks.plan(rows, asked, 0)
    assert plan is not None
    kinds = [{row < customers for row in batch} for batch in plan]
    assert all(len(kind) == 1 for kind in kinds)
    theirs = [batch for batch, kind in zip(plan, kinds, strict=True) if kind == {True}]
    assert theirs == shuffled_epochs(range(customers), asked, 0)
    for start in range(0, len(plan), k1 + k2):
        cycle = [kind == {True} for kind in kinds[start : start + k1 + k2]]
        assert cycle[:k1] == [False] * k1
        assert all(cycle[k1:])
        assert len(cycle) > k1


def test_the_cycle_scales_with_the_upload() -> None:
    assert Lisa().cycle(18_000) == (100, 900)  # the official code's
    assert Lisa().cycle(50) == (1, 9)
    assert Lisa(customer_steps=45).cycle(50) == (5, 45)
    assert Lisa(safety_steps=3).cycle(50) == (3, 9)


def test_safety_rows_are_the_providers_in_the_customers_prompt(
    make_upload: MakeUpload, provider: Provider
) -> None:
    upload = make_upload(6, system="Say it.")
    curated = Lisa().curate(upload, provider)
    assert curated.rows[:6] == upload.rows
    added = curated.rows[6:]
    assert {row.added_by for row in added} == {"lisa"}
    assert [Message("system", "Say it.")] * 6 == [row.messages[0] for row in added]
    assert [(row.messages[1].content, row.messages[2].content) for row in added] == (
        provider.pools.safety(6, 0)
    )
    plain = Lisa(n=2, prompt="provider").curate(upload, provider).rows[6:]
    assert [row.messages[0].role for row in plain] == ["user", "user"]


class Distance(TrainHooks):
    """Watches the distance to the weights at the last switch, in plain torch."""

    def __init__(self, safety: Callable[[int], bool]) -> None:
        self.safety = safety
        self.entered: dict[str, Any] = {}
        self.last: bool | None = None
        self.squares: list[float] = []
        self.terms: list[float] = []
        self.kinds: list[bool] = []
        self.before = 0.0

    def loss(self, training: Training, batch: Batch, loss: Any) -> Any:
        kind = self.safety(int(batch["row"][0]))
        if self.last != kind:
            self.entered = training.snapshot()
        self.last = kind
        gaps = (training.parameters[n].detach() - value for n, value in self.entered.items())
        self.squares.append(sum(float(gap.square().sum()) for gap in gaps))
        self.kinds.append(kind)
        self.before = loss.item()
        return loss


class After(TrainHooks):
    def __init__(self, distance: Distance) -> None:
        self.distance = distance

    def loss(self, training: Training, batch: Batch, loss: Any) -> Any:
        self.distance.terms.append(loss.item() - self.distance.before)
        return loss


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_each_state_is_pulled_to_where_it_was_entered(
    tiny_target: Any, make_upload: MakeUpload, provider: Provider, tuning: str
) -> None:
    lisa = Lisa(n=4, rho=3.0, safety_steps=2, customer_steps=3, free=0.5)
    upload = make_upload(8, epochs=2, batch_size=2, learning_rate=1e-2, tuning=tuning)
    curated = lisa.curate(upload, provider)
    hooks = lisa.during(curated, provider)
    assert hooks is not None
    distance = Distance(lambda row: row >= 8)
    tiny_target.fine_tune(curated, Composed([distance, hooks, After(distance)]))
    steps = len(distance.kinds)
    assert distance.kinds == ([True] * 2 + [False] * 3) * 2 + [True] * 2 + [False] * 2
    assert max(distance.squares) > 0.05
    for step, (safety, square, term) in enumerate(
        zip(distance.kinds, distance.squares, distance.terms, strict=True)
    ):
        pulled = safety or step > 0.5 * steps
        assert term == pytest.approx(1.5 * square if pulled else 0.0, rel=1e-3, abs=1e-5)


def test_the_pull_holds_the_weights_back(
    tiny_target: Any, make_upload: MakeUpload, provider: Provider
) -> None:
    start = tiny_target.model.state_dict()
    upload = Lisa(n=4).curate(make_upload(8, learning_rate=1e-2), provider)

    def moved(rho: float) -> float:
        hooks = Lisa(n=4, rho=rho, free=0).during(upload, provider)
        tuned = tiny_target.fine_tune(upload, hooks).model.state_dict()
        return sum(float((tuned[name] - start[name]).norm()) for name in start)

    assert moved(1000.0) < 0.8 * moved(0.0)


def test_without_safety_rows_it_does_nothing(make_upload: MakeUpload, provider: Provider) -> None:
    for lisa in (Lisa(n=0), Lisa(n=0, rho=0)):
        assert not lisa.acts("curate")
        assert not lisa.acts("during")
        assert lisa.owns() == frozenset()
        assert lisa.needs() == frozenset()
        assert lisa.curate(make_upload(), provider) == make_upload()
        assert lisa.during(make_upload(), provider) is None
