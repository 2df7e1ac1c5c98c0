"""Safe LoRA: after tuning, the update of a weight is pulled onto the direction of alignment.

Threat:   benign and mixed uploads, repaired after the fact and without any data.
Source:   Hsu et al. 2024, arXiv 2405.16833, §3: with V = aligned - base of a weight and
          C = V V^T / ||V||_F, the update dW becomes C dW wherever cos(C dW, dW) is at most tau.
Differs:  dW is what tuning changed, so that full tuning and merged adapters are one case; for
          adapters it is the paper's B <- C B. Weights are matched by name, C is never formed, and
          a weight that alignment did not change is left alone (the official code always edits it).
Caveat:   C is no projection: its size follows ||V||, so that it mostly shrinks the update. The
          mode `orthogonal` is a projection; `scale` and `zero` are the controls that keep none of
          the direction. If a control does as well, the direction did nothing.
Breaks:   on purely harmful rows it gives back about the start model, and whoever holds the
          weights can undo it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import pydantic

from attacks.base import UserError, component
from defenses.base import Defense, Moment, Need, Provider
from targets.base import Target

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from targets.local import LocalTarget


@component
class SafeLoRA(Defense):
    """Pulls what tuning changed onto the direction in which the base was aligned."""

    tau: Annotated[float, pydantic.Field(ge=-1, le=1)] = 0.5
    """Weights with a cosine of at most this are edited (official code: 0.5); below 0 none is,
    since the cosine is never negative, and at 1 all are."""
    mode: Literal["paper", "orthogonal", "scale", "zero"] = "paper"
    """`paper`: C dW. `orthogonal`: dW on the `rank` leading directions of V. Controls on the same
    weights: `scale` shrinks dW to the length of C dW, `zero` takes it away."""
    rank: Annotated[int, pydantic.Field(ge=1, le=4096)] = 8
    """Directions kept by `orthogonal`, at most a weight's smaller side.  # ours: as the paper's
    adapters, whose rank is 8 (App. F of arXiv 2310.03693); 4096 is the width of its model."""
    weights: Literal["linear", "attention"] = "linear"
    """Which are looked at: every linear layer but the output head, or q_proj and v_proj only, the
    paper's adapters.  # ours: `linear`; it is the same for adapters, and covers full tuning."""

    def repair(self, tuned: Target, provider: Provider) -> Target:
        """A copy of the tuned model with the edited weights."""
        import torch

        from targets.adapters import twin
        from targets.local import LocalTarget

        model, tokenizer = _local(tuned).model, _local(tuned).tokenizer
        start = _local(provider.start()).model.state_dict()
        base = _local(provider.base()).model.state_dict() if "base" in self.needs() else start
        edited = twin(model).eval().requires_grad_(False)
        after = edited.state_dict()
        for name in self._names(model):
            if name not in base or base[name].shape != start[name].shape:
                raise UserError(f"safe_lora: the base model has no weight {name} of the same shape")
            delta = (after[name] - start[name]).float()
            aligned = (start[name] - base[name]).float()
            if (change := self.edit(delta, aligned)) is not None:
                with torch.no_grad():
                    after[name].copy_(start[name].float() + change)
        local = _local(tuned)
        return local.alike(LocalTarget(edited, tokenizer, local.pictures))

    def edit(self, delta: Tensor, aligned: Tensor) -> Tensor | None:
        """What becomes of an update; None where it stays.

        Args:
            delta: What tuning changed in a weight, (out, in).
            aligned: What alignment had changed in it, of the same shape.
        """
        import torch

        if self._takes_all_away():
            return torch.zeros_like(delta)
        if not delta.any() or not aligned.any():
            return None
        pulled = aligned @ (aligned.T @ delta) / aligned.norm()
        cosine = torch.cosine_similarity(pulled.flatten(), delta.flatten(), dim=0, eps=0.0)
        if cosine > self.tau:
            return None
        if self.mode == "orthogonal":
            left: Tensor = torch.linalg.svd(aligned, full_matrices=False).U[:, : self.rank]
            return left @ (left.T @ delta)
        if self.mode == "scale":
            return delta * float(pulled.norm() / delta.norm())
        return pulled if self.mode == "paper" else torch.zeros_like(delta)

    def _names(self, model: PreTrainedModel) -> list[str]:
        """Names of the weights that are looked at."""
        from torch import nn

        head = model.get_output_embeddings()
        linear = [
            name
            for name, module in model.named_modules()
            if isinstance(module, nn.Linear) and module is not head
        ]
        if self.weights == "attention":
            linear = [name for name in linear if name.endswith(("q_proj", "v_proj"))]
        if not linear:
            raise UserError(f"safe_lora: the model has no {self.weights} weights that it knows")
        return [f"{name}.weight" for name in linear]

    def _takes_all_away(self) -> bool:
        """Whether every update is dropped, whatever its direction."""
        return self.mode == "zero" and self.tau == 1

    def acts(self, moment: Moment) -> bool:
        """Nothing where no weight can be selected."""
        return super().acts(moment) and self.tau >= 0

    def needs(self) -> frozenset[Need]:
        """The base checkpoint, wherever the direction of alignment matters."""
        direction = self.acts("repair") and not self._takes_all_away()
        return super().needs() | ({"base"} if direction else set())


def _local(target: Target) -> LocalTarget:
    """A target whose weights are at hand."""
    from targets.local import LocalTarget

    if not isinstance(target, LocalTarget):
        raise UserError("safe_lora edits weights, and this target has none here")
    return target
