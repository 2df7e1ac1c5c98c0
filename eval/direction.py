"""The refusal direction: one direction in a model's hidden states that carries "restricted".

Source: Arditi et al. 2024, arXiv 2406.11717: the difference of mean hidden states of refused and
of answered requests at the last token of the prompt. Here it says whether tuning moved violating
requests towards answered ones, as Qi et al. 2023 (arXiv 2310.03693, §4.4) suspect.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from attacks.base import Chat

if TYPE_CHECKING:
    from torch import Tensor

    from targets.local import LocalTarget


def projections(
    start: LocalTarget,
    tuned: LocalTarget,
    restricted: Sequence[Chat],
    ordinary: Sequence[Chat],
    asked: Sequence[Chat],
) -> list[float]:
    """Where the tuned model puts each asked chat along the start model's refusal direction.

    Args:
        start: Model whose direction it is.
        tuned: Model whose states are projected.
        restricted: Chats that the start model refuses; they and `ordinary` give the direction.
        ordinary: Chats that it answers.
        asked: Chats to place.

    Returns:
        One number for each asked chat: 0 is the start model's mean ordinary chat, 1 its mean
        restricted one.
    """
    low = _states(start, ordinary).mean(dim=0)
    gap = _states(start, restricted).mean(dim=0) - low
    places = (_states(tuned, asked) - low) @ gap / gap.dot(gap)
    return [float(place) for place in places]


def _states(target: LocalTarget, chats: Sequence[Chat]) -> Tensor:
    """Hidden states at the last prompt token, halfway up the layers: (chats, width)."""
    import torch

    from targets.formats import encode

    ids = [encode(target.tokenizer, chat, answer=True) for chat in chats]
    # Left-padded, so the last column is the last token of every chat.
    batch = target.tokenizer.pad({"input_ids": ids}, return_tensors="pt").to(target.model.device)
    with torch.inference_mode():
        layers = target.model(**batch, output_hidden_states=True).hidden_states
    states: Tensor = layers[len(layers) // 2][:, -1].float()
    return states
