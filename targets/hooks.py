"""The trainer's vocabulary: what a defense may do while a model is being tuned.

A defense gives one `TrainHooks`; hooks compose. Batches are a plan, losses fold from left to
right, and at most one owner replaces the gradient step, so that two defenses either compose or
are refused before anything runs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from attacks.base import Row, Settings, UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

Batch = Mapping[str, "Tensor"]
"""`input_ids`, `attention_mask`, `labels`: (B, T); `row`: (B,), indices into the rows."""
Plan = list[list[int]]
"""For each optimiser step, the rows it is taken on."""


def shuffled_epochs(rows: Sequence[int], settings: Settings, seed: int) -> Plan:
    """Every row once an epoch, in an order of its own, in batches of the settings' size."""
    order = random.Random(seed)
    plan: Plan = []
    for _ in range(settings.epochs):
        epoch = order.sample(rows, len(rows))
        size = settings.batch_size
        plan += [epoch[i : i + size] for i in range(0, len(epoch), size)]
    return plan


@dataclass
class Training:
    """The run that hooks act on: the model, the rows, and where in the plan it is."""

    model: nn.Module
    rows: Sequence[Row]
    steps: int
    """Steps of the whole plan."""
    loss: Callable[[Batch], Tensor]
    """Loss of a batch, every hook's term folded in."""
    step: int = 0
    """Steps taken so far."""
    parameters: dict[str, nn.Parameter] = field(init=False)
    """What is trained, by name: every weight, or the adapters."""

    def __post_init__(self) -> None:
        named = self.model.named_parameters()
        self.parameters = {name: value for name, value in named if value.requires_grad}

    def part(self, batch: Batch, wanted: Callable[[int], bool]) -> Batch | None:
        """The rows of a batch whose index is wanted; None when there are none."""
        keep = [i for i, row in enumerate(batch["row"].tolist()) if wanted(row)]
        return {name: value[keep] for name, value in batch.items()} if keep else None

    def gradients(self, batch: Batch) -> dict[str, Tensor]:
        """Gradients of the batch's loss, by parameter; `.grad` is left alone."""
        import torch

        values = torch.autograd.grad(
            self.loss(batch), list(self.parameters.values()), allow_unused=True
        )
        pairs = zip(self.parameters.items(), values, strict=True)
        return {name: torch.zeros_like(p) if g is None else g for (name, p), g in pairs}

    def snapshot(self) -> dict[str, Tensor]:
        """A copy of the trained parameters as they are now."""
        return {name: value.detach().clone() for name, value in self.parameters.items()}

    @contextmanager
    def shifted(self, by: Mapping[str, Tensor]) -> Iterator[None]:
        """The parameters moved for the length of a block, then restored exactly."""
        import torch

        before = self.snapshot()
        with torch.no_grad():
            for name, value in by.items():
                self.parameters[name].add_(value)
        try:
            yield
        finally:
            with torch.no_grad():
                for name, value in before.items():
                    self.parameters[name].copy_(value)


class TrainHooks:
    """Seven moments of a training run; each does nothing here. Override those you need."""

    def plan(self, rows: Sequence[Row], settings: Settings, seed: int) -> Plan | None:
        """The batches, in order; None for shuffled epochs."""
        return None

    def begin(self, training: Training) -> None:
        """Look at the weights before the first step."""

    def loss(self, training: Training, batch: Batch, loss: Tensor) -> Tensor:
        """The loss with this defense's term."""
        return loss

    def step(self, training: Training, batch: Batch) -> Tensor:
        """Own the gradient: fill every parameter's `.grad` and return the loss to report."""
        raise UserError(f"{type(self).__name__} does not own a step")

    def grads(self, training: Training) -> None:
        """Look at or change the gradients before the optimiser uses them."""

    def after_step(self, training: Training) -> None:
        """Look at or change the weights after a step."""

    def finish(self, training: Training) -> None:
        """Look at or change the weights after the last step."""

    def overrides(self, moment: str) -> bool:
        """Whether this object acts at a moment."""
        return getattr(type(self), moment) is not getattr(TrainHooks, moment)


MOMENTS = ("plan", "begin", "loss", "step", "grads", "after_step", "finish")
"""The moments of `TrainHooks`, in order."""


class Composed(TrainHooks):
    """Several hooks as one, from left to right; remembers which moments were reached."""

    def __init__(self, hooks: Sequence[TrainHooks]) -> None:
        for moment in ("plan", "step"):
            owners = [type(h).__name__ for h in hooks if h.overrides(moment)]
            if len(owners) > 1:
                raise UserError(f"cannot compose {' and '.join(owners)}: each owns the {moment}")
        self.hooks = tuple(hooks)
        self.reached: set[str] = set()

    def overrides(self, moment: str) -> bool:
        """Whether any of the hooks acts at a moment."""
        return any(hook.overrides(moment) for hook in self.hooks)

    def _at(self, moment: str) -> list[TrainHooks]:
        self.reached.add(moment)
        return [hook for hook in self.hooks if hook.overrides(moment)]

    def plan(self, rows: Sequence[Row], settings: Settings, seed: int) -> Plan | None:
        """The plan of the one hook that has one."""
        plans = [hook.plan(rows, settings, seed) for hook in self._at("plan")]
        return plans[0] if plans else None

    def begin(self, training: Training) -> None:
        """Each hook in turn."""
        for hook in self._at("begin"):
            hook.begin(training)

    def loss(self, training: Training, batch: Batch, loss: Tensor) -> Tensor:
        """Each hook's loss of the one before."""
        for hook in self._at("loss"):
            loss = hook.loss(training, batch, loss)
        return loss

    def step(self, training: Training, batch: Batch) -> Tensor:
        """The step of its one owner."""
        (owner,) = self._at("step")
        return owner.step(training, batch)

    def grads(self, training: Training) -> None:
        """Each hook in turn."""
        for hook in self._at("grads"):
            hook.grads(training)

    def after_step(self, training: Training) -> None:
        """Each hook in turn."""
        for hook in self._at("after_step"):
            hook.after_step(training)

    def finish(self, training: Training) -> None:
        """Each hook in turn."""
        for hook in self._at("finish"):
            hook.finish(training)

    def unreached(self) -> list[str]:
        """Moments that a hook acts at and that never came."""
        return [m for m in MOMENTS if self.overrides(m) and m not in self.reached]
