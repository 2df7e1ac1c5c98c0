"""Cap: the provider trains more gently than the customer asked. The cheapest control.

Threat:   benign drift, which a large learning rate and a small batch make worse.
Source:   Qi et al. 2023, arXiv 2310.03693, §4.4 and Figure 5 (Llama-2 on Alpaca: 5e-5 to 2e-5
          takes the rate from 34 to 16 % at batch 128); arXiv 2508.12531 (fewer, smaller steps).
Differs:  a factor on what the customer asked, so that one setting serves uploads of every size.
Breaks:   explicit harmful rows only need more of them; a customer's task is learnt less too.
A defense that does not beat this one is not worth its cost.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated

import pydantic

from attacks.base import Upload, component
from attacks.bounds import BatchSize, Epochs
from defenses.base import Defense, Moment, Provider


@component
class Cap(Defense):
    """Lower learning rate, and optionally fewer epochs and larger batches (a control)."""

    factor: Annotated[float, pydantic.Field(gt=0, le=1)] = 0.4
    """On the customer's learning rate, above 0 and at most 1; 0.4 is 2e-5 for 5e-5, the two
    learning rates of Figure 5."""
    epochs: Epochs | None = None
    """Most passes over the rows; none: as many as the customer asks.  # ours: the paper found no
    fall in harm with fewer epochs (Figure 5b), so this is off unless asked for."""
    batch_size: BatchSize | None = None
    """Fewest rows in a step; none: as the customer asks.  # ours: at an equal number of epochs a
    larger batch is also fewer steps (Figure 5a varies it from 16 to 128)."""

    def curate(self, upload: Upload, provider: Provider) -> Upload:
        """The same rows under gentler settings."""
        asked = upload.settings
        settings = dataclasses.replace(
            asked,
            learning_rate=asked.learning_rate * self.factor,
            epochs=min(asked.epochs, self.epochs or asked.epochs),
            batch_size=max(asked.batch_size, self.batch_size or asked.batch_size),
        )
        return dataclasses.replace(upload, settings=settings)

    def acts(self, moment: Moment) -> bool:
        """Nothing where every setting stays as it was asked for."""
        idle = self.factor == 1 and self.epochs is None and self.batch_size is None
        return super().acts(moment) and not idle
