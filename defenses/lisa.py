"""Lisa, lazy safety alignment: training switches between safety rows and the customer's.

Threat:   uploads that mix harmful rows among harmless ones, through a provider's API.
Source:   Huang et al. 2024, arXiv 2405.18641, Algorithm 1: K1 steps on safety rows, K2 on the
          customer's; in either state a proximal term pulls the weights to where they stood when
          the state was entered. Defaults are the official code's.
Differs:  every row of the customer's is trained as often as they asked, and safety steps come on
          top (the official code takes them out of the same number of steps).
Breaks:   many harmful rows, and long stretches between the safety steps.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import pydantic

from attacks.base import Row, Settings, Upload, component
from attacks.bounds import SomeRows, Steps
from defenses.base import Defense, Moment, Provider, added_rows, largest_dose
from targets.hooks import Batch, Plan, TrainHooks, Training, shuffled_epochs

if TYPE_CHECKING:
    from torch import Tensor

CYCLES = 20
"""Switches to the safety rows in a run: the official 20,000 steps in cycles of 100 + 900."""


@component
class Lisa(Defense):
    """Alternates safety steps with the customer's, each pulled back to the last switch."""

    n: SomeRows | None = None
    """Safety rows to draw from; none: the default dose of `mix`.  # ours: so that doses compare
    (official code: 10,000 beside 5,000 rows)."""
    rho: Annotated[float, pydantic.Field(ge=0, allow_inf_nan=False)] = 1.0
    """Weight of half the squared distance to the last switch (official code: 1); 0 only
    alternates, the paper's BSO."""
    safety_steps: Steps | None = None
    """K1, steps on safety rows in a cycle; none: a ninth of `customer_steps`, at least 1
    (official code: 100 beside 900)."""
    customer_steps: Steps | None = None
    """K2, steps on the customer's rows in a cycle; none: a twentieth of the customer's steps, as
    in the official code (900 of 18,000), at least 9.  # ours: 9, since uploads here have 50."""
    free: Annotated[float, pydantic.Field(ge=0, le=1)] = 0.1
    """Share of the steps before the customer's state is pulled at all (official code: 0.1)."""
    prompt: Literal["customer", "provider"] = "customer"
    """System prompt of the safety rows: the customer's most common one, or the target's default.
    # ours: the customer's, where refusals are lost; the paper has one prompt for all."""

    def curate(self, upload: Upload, provider: Provider) -> Upload:
        """The upload with safety rows behind the customer's."""
        customers = sum(not row.added_by for row in upload.rows)
        n = largest_dose(customers) if self.n is None else self.n
        pairs = provider.pools.safety(n, provider.seed)
        return upload.replace_rows([*upload.rows, *added_rows(pairs, upload, self.prompt, "lisa")])

    def during(self, upload: Upload, provider: Provider) -> TrainHooks | None:
        """The alternation; None where there are no safety rows to alternate with."""
        return _Alternation(self) if any(map(_is_safety, upload.rows)) else None

    def cycle(self, steps: int) -> tuple[int, int]:
        """K1 and K2 for so many steps on the customer's rows."""
        customer = self.customer_steps or max(9, round(steps / CYCLES))
        return self.safety_steps or max(1, round(customer / 9)), customer

    def acts(self, moment: Moment) -> bool:
        """Nothing without safety rows."""
        return super().acts(moment) and self.n != 0

    def owns(self) -> frozenset[Literal["plan", "step"]]:
        """The plan: it decides which rows a step is taken on."""
        return frozenset({"plan"} if self.acts("during") else ())


class _Alternation(TrainHooks):
    """Two states, and the weights at the last switch between them."""

    def __init__(self, lisa: Lisa) -> None:
        self.lisa = lisa
        self.safety: list[bool] = []
        self.anchor: dict[str, Tensor] = {}

    def plan(self, rows: Sequence[Row], settings: Settings, seed: int) -> Plan:
        """Cycles of K1 safety batches and K2 of the customer's, until those are used up."""
        ours = [i for i, row in enumerate(rows) if _is_safety(row)]
        theirs = [i for i, row in enumerate(rows) if not _is_safety(row)]
        customer = shuffled_epochs(theirs, settings, seed)
        k1, k2 = self.lisa.cycle(len(customer))
        wanted = k1 * math.ceil(len(customer) / k2)
        passes = math.ceil(wanted / math.ceil(len(ours) / settings.batch_size))
        safety = iter(shuffled_epochs(ours, dataclasses.replace(settings, epochs=passes), seed))
        plan: Plan = []
        for start in range(0, len(customer), k2):
            stretch = customer[start : start + k2]
            plan += [*itertools.islice(safety, k1), *stretch]
            self.safety += [True] * k1 + [False] * len(stretch)
        return plan

    def begin(self, training: Training) -> None:
        """Both states start from the start weights."""
        self.anchor = training.snapshot()

    def loss(self, training: Training, batch: Batch, loss: Tensor) -> Tensor:
        """The loss with the pull to where the weights stood at the last switch."""
        free = not self.safety[training.step] and training.step <= self.lisa.free * training.steps
        if self.lisa.rho == 0 or free:
            return loss
        here = training.parameters
        drift = [(here[name] - there).square().sum() for name, there in self.anchor.items()]
        return loss + self.lisa.rho / 2 * sum(drift)

    def after_step(self, training: Training) -> None:
        """A snapshot wherever the next step is the other state's."""
        step = training.step
        if step < training.steps and self.safety[step] != self.safety[step - 1]:
            self.anchor = training.snapshot()


def _is_safety(row: Row) -> bool:
    return row.added_by == "lisa"
