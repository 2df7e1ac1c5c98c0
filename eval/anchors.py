"""Nearness of rows to texts of known kind (anchors), as seen by a model.

Source: He et al. 2024, arXiv 2404.01099, §3 (towards harmful anchors and away from safe ones);
LARF (arXiv 2507.18631): the difference of mean cosines to the nearest anchors of each kind.
Differs: states are told from the mean of all anchors, since those of one model point nearly the
same way and cosines of such say little (# ours: `centre`).
"""

from __future__ import annotations

import math
import random
import weakref
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, Final

from attacks.base import Chat, Message, Pair

if TYPE_CHECKING:
    from torch import Tensor

MOST: Final = 8
"""Sets of anchors kept for one model.  # ours: some megabytes each on the organism"""

_kept: weakref.WeakKeyDictionary[Any, dict[Hashable, Any]] = weakref.WeakKeyDictionary()


def kept(model: Any, key: Hashable, make: Callable[[], Any]) -> Any:
    """What was made of a model before, or is made now.

    It is dropped with the model, and when there are more than `MOST`. A model's weights are never
    changed, so that the object stands for them.
    """
    of_model = _kept.setdefault(model, {})
    if key in of_model:
        return of_model[key]
    while len(of_model) >= MOST:
        of_model.pop(next(iter(of_model)))
    of_model[key] = make()
    return of_model[key]


def rows_of(pairs: Sequence[Pair]) -> list[Chat]:
    """A provider's pairs as chats in the default prompt."""
    return [(Message("user", prompt), Message("assistant", reply)) for prompt, reply in pairs]


def sample(chats: dict[int, Chat], most: int, seed: int) -> list[int]:
    """At most `most` of the rows, by their text and a seed; their order says nothing."""
    order = sorted(chats, key=lambda i: chats[i])
    return order if len(order) <= most else random.Random(seed).sample(order, most)


def nearness(rows: Tensor, toward: Tensor, away: Tensor, nearest: int) -> list[float]:
    """How much nearer each row is to one kind of anchors than to another.

    Args:
        rows: States, (rows, width).
        toward: Anchors of the kind that is looked for, (anchors, width).
        away: Anchors of the other kinds.
        nearest: How many of the nearest of each count.

    Returns:
        For each row, the difference of mean cosines, from -2 to 2.
    """
    import torch
    from torch.nn.functional import normalize

    centre = torch.cat([toward, away]).mean(0)
    units = normalize(rows - centre, dim=1)

    def near(anchors: Tensor) -> Tensor:
        cosines = units @ normalize(anchors - centre, dim=1).T
        return cosines.topk(min(nearest, len(anchors)), dim=1).values.mean(1)

    return [float(one) for one in near(toward) - near(away)]


def top_mean(scores: Sequence[float], share: float) -> float:
    """The mean of the highest share of scores, of at least one."""
    best = sorted(scores, reverse=True)[: max(1, math.ceil(share * len(scores)))]
    return math.fsum(best) / len(best)
