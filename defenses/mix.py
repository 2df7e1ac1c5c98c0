"""Mixing: the provider adds safety rows (violating requests with refusals) to the upload.

Threat:   explicit, identity-shifting and benign tuning through a provider's API.
Source:   Qi et al. 2023, arXiv 2310.03693, §5.1 and Table 4; the rows of Bianchi et al. 2023,
          arXiv 2309.07875. Interleaving: arXiv 2508.06249.
Differs:  the rows are the provider's own pool; the paper does not state which prompt the added
          rows carry, so it is a parameter.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Annotated, Literal

import pydantic

from attacks.base import Row, Settings, Upload, UserError, component
from attacks.bounds import MOST_TIMES, SomeRows
from defenses.base import Defense, Moment, Provider, added_rows, largest_dose
from targets.hooks import Plan, TrainHooks


@component
class Mix(Defense):
    """Adds safety rows to the training data (the paper's first measure, Table 4)."""

    n: SomeRows | None = None
    """Safety rows added; none: the paper's largest dose for an upload of that size (Table 4: 100
    for 100 rows, 10 for 10, 1000 for about 50,000)."""
    ratio: Annotated[float, pydantic.Field(ge=0, le=MOST_TIMES, allow_inf_nan=False)] | None = None
    """Safety rows as a share of the customer's rows, in place of `n`."""
    order: Literal["static", "interleaved"] = "static"
    """`static` shuffles all rows together (the paper); `interleaved` spreads the safety rows
    evenly over the batches (arXiv 2508.06249)."""
    prompt: Literal["customer", "provider"] = "customer"
    """System prompt of the added rows: the customer's most common one, or the target's default.
    # ours: the paper does not say; the customer's is where refusals are lost."""
    rows: Literal["safety", "benign"] = "safety"
    """`benign` is the control: as many harmless rows of the provider's."""

    def __post_init__(self) -> None:
        if self.n is not None and self.ratio is not None:
            raise UserError("mix: give n or ratio, not both")

    def dose(self, customer_rows: int) -> int:
        """How many rows are added to that many of the customer's."""
        if self.ratio is not None:
            return round(self.ratio * customer_rows)
        return largest_dose(customer_rows) if self.n is None else self.n

    def curate(self, upload: Upload, provider: Provider) -> Upload:
        """The upload with the provider's rows behind the customer's."""
        n = self.dose(sum(not row.added_by for row in upload.rows))
        pool = provider.pools.safety if self.rows == "safety" else provider.pools.provider_benign
        added = added_rows(pool(n, provider.seed), upload, self.prompt, "mix") if n else []
        return upload.replace_rows([*upload.rows, *added])

    def during(self, upload: Upload, provider: Provider) -> TrainHooks | None:
        """The interleaved plan, when it is asked for and there is something to spread."""
        spread = self.order == "interleaved" and any(row.added_by == "mix" for row in upload.rows)
        return _Interleaved() if spread else None

    def acts(self, moment: Moment) -> bool:
        """Nothing without a dose; during training only when it interleaves."""
        idle = self.n == 0 or self.ratio == 0 or (moment == "during" and self.order == "static")
        return super().acts(moment) and not idle

    def owns(self) -> frozenset[Literal["plan", "step"]]:
        """The plan, when it interleaves."""
        return frozenset({"plan"} if self.acts("during") else ())


class _Interleaved(TrainHooks):
    def plan(self, rows: Sequence[Row], settings: Settings, seed: int) -> Plan:
        """Epochs in which the added rows stand at even distances between the customer's."""
        order = random.Random(seed)
        added = [i for i, row in enumerate(rows) if row.added_by]
        customers = [i for i, row in enumerate(rows) if not row.added_by]
        plan: Plan = []
        for _ in range(settings.epochs):
            order.shuffle(added)
            order.shuffle(customers)
            merged = _spread(customers, added)
            size = settings.batch_size
            plan += [merged[i : i + size] for i in range(0, len(merged), size)]
        return plan


def _spread(many: Sequence[int], few: Sequence[int]) -> list[int]:
    """Both lists in one, each at even distances."""
    placed = [((i + 0.5) / len(part), row) for part in (many, few) for i, row in enumerate(part)]
    return [row for _, row in sorted(placed)]
