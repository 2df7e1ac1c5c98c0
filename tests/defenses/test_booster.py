"""Booster (Huang et al. 2024, arXiv 2409.01586) fits the interface: three passes in one step.

It hardens the start model against later harmful tuning: f is the loss on safety rows, h on
harmful ones, and the step is grad f + lambda (grad h(w) - grad h(w - alpha grad h / ||grad h||)).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import pydantic
import pytest

from attacks.base import Row, Settings, Upload, component
from defenses.base import Defense, Provider, added_rows
from targets.base import Target
from targets.hooks import Batch, Composed, Plan, TrainHooks, Training


@component
class Booster(Defense):
    """Aligns while weakening what a harmful step could gain."""

    n: Annotated[int, pydantic.Field(ge=1)] = 12
    """Rows of either kind."""
    strength: float = 5.0
    """Lambda (official code: 5)."""
    alpha: float = 0.1
    """Length of the simulated harmful step (official code: 0.1)."""

    def immunize(self, start: Target, provider: Provider) -> Target:
        settings = Settings(epochs=1, batch_size=4, learning_rate=1e-3)
        nothing = Upload((), settings)
        rows = [
            *added_rows(provider.pools.safety(self.n, provider.seed), nothing, "provider", "safe"),
            *added_rows(
                provider.pools.provider_harmful(self.n, provider.seed), nothing, "provider", "harm"
            ),
        ]
        return start.fine_tune(nothing.replace_rows(rows), self.hooks(), provider.seed)

    def hooks(self) -> BoosterHooks:
        return BoosterHooks(self.strength, self.alpha)

    def owns(self) -> frozenset[Literal["plan", "step"]]:
        return frozenset({"plan", "step"})


class BoosterHooks(TrainHooks):
    def __init__(self, strength: float, alpha: float) -> None:
        self.strength = strength
        self.alpha = alpha

    def plan(self, rows: Sequence[Row], settings: Settings, seed: int) -> Plan:
        """Batches of as many safe rows as harmful ones."""
        order = random.Random(seed)
        safe, harm = (
            order.sample(some, len(some))
            for some in ([i for i, r in enumerate(rows) if r.added_by == by] for by in BY)
        )
        size = settings.batch_size
        return [safe[i : i + size] + harm[i : i + size] for i in range(0, len(safe), size)]

    def step(self, training: Training, batch: Batch) -> Any:
        """Harmful at w, harmful at w - alpha g, safe at w."""
        import torch

        harm = training.part(batch, lambda row: training.rows[row].added_by == "harm")
        safe = training.part(batch, lambda row: training.rows[row].added_by == "safe")
        assert harm is not None
        assert safe is not None
        here = training.gradients(harm)
        length = torch.stack([value.norm() for value in here.values()]).norm()
        with training.shifted({name: -self.alpha * v / length for name, v in here.items()}):
            there = training.gradients(harm)
        loss = training.loss(safe)
        loss.backward()
        for name, value in training.parameters.items():
            assert value.grad is not None
            value.grad += self.strength * (here[name] - there[name])
        return loss


BY = ("safe", "harm")


class Witness(TrainHooks):
    """Keeps the weights before a step, and the gradient that the step was given."""

    def __init__(self) -> None:
        self.steps: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self.batches: list[Batch] = []

    def loss(self, training: Training, batch: Batch, loss: Any) -> Any:
        self.batches.append(batch)
        return loss

    def grads(self, training: Training) -> None:
        given = {
            name: p.grad.clone() for name, p in training.parameters.items() if p.grad is not None
        }
        self.steps.append((training.snapshot(), given))


def reply_loss(model: Any, batch: Batch) -> Any:
    """Plain torch: mean cross entropy of the labelled tokens."""
    from torch.nn import functional

    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[
        :, :-1
    ]
    return functional.cross_entropy(logits.flatten(0, 1), batch["labels"][:, 1:].flatten())


def gradient_by_hand(model: Any, batch: Batch) -> dict[str, Any]:
    model.zero_grad()
    reply_loss(model, batch).backward()
    return {name: value.grad.clone() for name, value in model.named_parameters()}


def test_the_step_is_the_papers(tiny_target: Any, make_provider: Any) -> None:
    import torch

    from targets.adapters import twin

    booster, witness = Booster(alpha=0.5), Witness()

    class Watched(Booster):
        def hooks(self) -> Any:
            return Composed([super().hooks(), witness])

    Watched(alpha=0.5).immunize(tiny_target, make_provider())
    assert len(witness.steps) == 3
    assert len(witness.batches) == 9  # three passes a step: harmful, harmful shifted, safe
    for at, (weights, given) in enumerate(witness.steps):
        harm, again, safe = witness.batches[3 * at : 3 * at + 3]
        assert harm["row"].equal(again["row"])
        assert not set(harm["row"].tolist()) & set(safe["row"].tolist())
        model = twin(tiny_target.model)
        model.load_state_dict(weights, strict=False)
        h = gradient_by_hand(model, harm)
        f = gradient_by_hand(model, safe)
        length = sum(float(value.square().sum()) for value in h.values()) ** 0.5
        with torch.no_grad():
            for name, value in model.named_parameters():
                value -= booster.alpha * h[name] / length
        shifted = gradient_by_hand(model, harm)
        assert any(not h[name].allclose(shifted[name], rtol=1e-2) for name in h)
        for name in h:
            wanted = f[name] + booster.strength * (h[name] - shifted[name])
            assert torch.allclose(given[name], wanted, rtol=1e-3, atol=1e-6), name


def test_it_hardens_before_any_upload(tiny_target: Any, make_provider: Any) -> None:
    booster = Booster()
    assert booster.acts("immunize")
    assert booster.needs() == {"weights"}
    hardened = booster.immunize(tiny_target, make_provider())
    assert hardened.differs(tiny_target)
    assert not hardened.differs(booster.immunize(tiny_target, make_provider()))
    assert hardened.differs(Booster(strength=0.0).immunize(tiny_target, make_provider()))


def test_the_weights_are_restored_after_the_shifted_pass(
    tiny_target: Any, make_provider: Any
) -> None:
    witness = Witness()

    class Watched(Booster):
        def hooks(self) -> Any:
            return Composed([super().hooks(), witness])

    Watched().immunize(tiny_target, make_provider())
    start = tiny_target.model.state_dict()
    weights, _ = witness.steps[0]
    assert weights
    assert all(value.equal(start[name]) for name, value in weights.items())


def test_it_goes_with_no_other_step_owner() -> None:
    from attacks.base import UserError

    with pytest.raises(UserError, match="each owns the plan"):
        Composed([Booster().hooks(), Booster().hooks()])
