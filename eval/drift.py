"""How far tuning moved a model: its weights, and what it makes of given texts.

Source: relative norm and stable rank of an update, as audits of adapters report them; R_ft, the
share of alignment and tuning together that still lies in the leading directions of alignment
(Perin et al. 2025, arXiv 2506.15606, §3: LoX); the refusal direction (Arditi et al. 2024, arXiv
2406.11717).
Caveat: within one recipe such numbers tell tuned models apart, across recipes they do not: they
        are evidence beside behaviour, never a gate of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from attacks.base import Chat, UserError
from eval.internals import Place, hidden_states

if TYPE_CHECKING:
    from torch import Tensor

    from targets.local import LocalTarget

RANK = 6
"""Leading directions of alignment that R_ft looks at (LoX, arXiv 2506.15606: about 6)."""


class Drift(NamedTuple):
    """What tuning did to one weight matrix."""

    relative: float
    """Frobenius norm of the update over that of the weight, at least 0."""
    stable_rank: float | None
    """Squared Frobenius over squared spectral norm of the update, at least 1; None without one."""
    kept: float | None
    """R_ft, from 0 to 1; None without a base, or where neither alignment nor tuning changed it."""


def weight_drift(
    start: LocalTarget, tuned: LocalTarget, base: LocalTarget | None = None, rank: int = RANK
) -> dict[str, Drift]:
    """The drift of every weight matrix, by its name.

    Args:
        start: The aligned model.
        tuned: What was made of it.
        base: The unaligned model that it came from, where there is one.
        rank: Leading directions of alignment.

    Raises:
        UserError: the models' weights differ in name or shape.
    """
    before, after = _matrices(start), _matrices(tuned)
    unaligned = None if base is None else _matrices(base)
    for other in (after, unaligned):
        if other is not None and {n: w.shape for n, w in other.items()} != {
            n: w.shape for n, w in before.items()
        }:
            raise UserError("the models' weights differ in name or shape; nothing to compare")
    return {
        name: drift(w, after[name], None if unaligned is None else unaligned[name], rank)
        for name, w in before.items()
    }


def drift(start: Tensor, tuned: Tensor, base: Tensor | None = None, rank: int = RANK) -> Drift:
    """The drift of one matrix; all are (out, in)."""
    import torch

    weight = start.detach().float()
    delta = tuned.detach().float() - weight
    size = float(delta.norm())
    stable = None
    if size:
        stable = (size / float(torch.linalg.matrix_norm(delta, 2))) ** 2
    kept = None
    if base is not None:
        aligned = weight - base.detach().float()
        whole = delta + aligned
        if aligned.any() and whole.any():
            left = torch.linalg.svd(aligned, full_matrices=False).U[:, :rank]
            # |U U^T X| = |U^T X|, since the columns of U are orthonormal.
            kept = float((left.T @ whole).norm() / whole.norm())
    return Drift(size / max(float(weight.norm()), 1e-12), stable, kept)


def told(found: Mapping[str, Drift]) -> dict[str, float]:
    """Drift of all matrices as a few numbers for evidence; one that cannot be had is left out.

    Means over matrices; for the relative norm the largest too.
    """
    relative = [one.relative for one in found.values()]
    stable = [one.stable_rank for one in found.values() if one.stable_rank is not None]
    kept = [one.kept for one in found.values() if one.kept is not None]
    numbers: dict[str, float] = {}
    if relative:
        numbers |= {"drift": sum(relative) / len(relative), "largest drift": max(relative)}
    if stable:
        numbers["stable rank of the drift"] = sum(stable) / len(stable)
    if kept:
        numbers["alignment kept"] = sum(kept) / len(kept)
    return numbers


class StateDrift(NamedTuple):
    """How differently two models see the same texts."""

    cosine: float
    """Mean cosine of a text's states in both, from -1 to 1."""
    distance: float
    """Mean distance of a text's states over the mean length of the start model's, at least 0."""


def state_drift(
    start: LocalTarget,
    tuned: LocalTarget,
    chats: Sequence[Chat],
    depth: float = 0.5,
    at: Place = "last",
) -> StateDrift:
    """Drift of hidden states of rows, at least one.

    Args:
        start: Model before.
        tuned: Model after.
        chats: Rows that end in a reply.
        depth: Which layer; 0 the embeddings, 1 the last.
            # ours: halfway, where `eval.direction` looks as well
        at: The last token, or the mean over the reply.

    Raises:
        UserError: a row does not fit the model, or the models are of different width.
    """
    import torch

    before, after = (hidden_states(one, chats, depth, at) for one in (start, tuned))
    if before.shape != after.shape:
        raise UserError("the models' states differ in width; nothing to compare")
    cosine = torch.cosine_similarity(before, after, dim=1).mean()
    distance = (after - before).norm(dim=1).mean() / before.norm(dim=1).mean()
    return StateDrift(float(cosine), float(distance))


def _matrices(target: LocalTarget) -> dict[str, Tensor]:
    """A model's weight matrices by name, each once."""
    return {name: p for name, p in target.model.named_parameters() if p.ndim == 2}
