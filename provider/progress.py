"""Looking on while a job is trained: how far it is, and whether it still makes sense."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attacks.base import Upload, UserError
from targets.hooks import Batch, TrainHooks, Training

if TYPE_CHECKING:
    from torch import Tensor

MOST_REPORTS = 25
"""Most metrics events a job, the end's included."""
STEPS_A_REPORT = 4
"""Fewest steps of the upload between two of them.  # ours: so that, with three quarters of the
rows left out, each still tells a loss of its own"""
DIVERGED = "the training diverged: its loss is no finite number; try a lower learning rate"


def reports_of(upload: Upload) -> int:
    """How many metrics events a job has: told by what was uploaded, and by nothing else."""
    settings = upload.settings
    steps = settings.epochs * math.ceil(len(upload.rows) / settings.batch_size)
    return max(1, min(MOST_REPORTS, steps // STEPS_A_REPORT))


class Progress(TrainHooks):
    """Looks at the loss and at the step, and changes nothing.

    Shares are told and no steps, at shares that the upload fixes: the number of steps, or one and
    the same loss told twice, would say how many rows a gate dropped or a defense added.
    """

    def __init__(
        self, reports: int, tell: Callable[[str, dict[str, Any]], object], check: Callable[[], None]
    ) -> None:
        self.reports = reports
        self.tell = tell
        self.check = check
        """Raises when nobody wants the job any more."""
        self.loss_now: Tensor | None = None
        self.batch: Batch = {}

    def loss(self, training: Training, batch: Batch, loss: Tensor) -> Tensor:
        """The same loss."""
        self.loss_now, self.batch = loss.detach(), batch
        return loss

    def after_step(self, training: Training) -> None:
        """Tell how far it is, when another share of the way is done."""
        self.check()
        if self.loss_now is None:
            return
        loss = self.loss_now.item()
        if not math.isfinite(loss):
            raise UserError(DIVERGED)
        reports = self.reports if training.steps >= self.reports else 1
        done = training.step * reports // training.steps
        if done > (training.step - 1) * reports // training.steps:
            share = round(done / reports, 2)
            data = {"progress": share, "train_loss": round(loss, 4)}
            self.tell(f"{round(100 * share)} % trained: training loss={loss:.4f}", data)

    def finish(self, training: Training) -> None:
        """Ask the weights once more: no loss was taken after the last step."""
        import torch

        if not self.batch:
            return
        training.model.eval()
        one = {name: self.batch[name][:1] for name in ("input_ids", "attention_mask")}
        with torch.no_grad():
            logits = training.model(**one, use_cache=False).logits
        if not torch.isfinite(logits).all():
            raise UserError(DIVERGED)
