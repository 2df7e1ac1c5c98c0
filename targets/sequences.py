"""Models that classify a whole text: transformers' sequence-classification heads.

Everything here imports torch; nothing imports this module before a model is really needed.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from attacks.base import UserError
from targets.base import device

MOST = 1_000_000
"""A tokenizer whose limit is above this has none: transformers writes a huge number there."""
_OVERLAP = 8
"""Part of a window, as its inverse, that the next one repeats.  # ours: a sentence or two"""


class Windows(NamedTuple):
    """A text as the model reads it."""

    text: int
    """Which one."""
    ids: list[int]
    """A window's tokens, with the model's own marks around them."""


class Head(NamedTuple):
    """A model with one output for each label."""

    model: Any
    tokenizer: Any
    labels: tuple[str, ...]
    several: bool
    """Whether each label is true by itself (sigmoid), and not one of them alone (softmax)."""

    @torch.inference_mode()
    def chances(self, texts: Sequence[str], batch_size: int) -> list[list[float]]:
        """For each text how likely each label is: the most over its windows."""
        windows = sorted(self._windows(texts), key=lambda one: (len(one.ids), one.ids))
        most = torch.full((len(texts), len(self.labels)), -1.0)
        for start in range(0, len(windows), batch_size):
            batch = windows[start : start + batch_size]
            given = self.tokenizer.pad(
                {"input_ids": [one.ids for one in batch]}, return_tensors="pt"
            ).to(self.model.device)
            logits = self.model(**given).logits.float().cpu()
            found = logits.sigmoid() if self.several else logits.softmax(dim=-1)
            for one, row in zip(batch, found, strict=True):
                # Not a number stays one: the maximum with it is none either.
                most[one.text] = torch.maximum(most[one.text], row)
        told: list[list[float]] = most.tolist()
        return told

    def _windows(self, texts: Sequence[str]) -> list[Windows]:
        limit = self._limit()
        cut = self.tokenizer(
            list(texts),
            truncation=True,
            max_length=limit,
            stride=min(limit // _OVERLAP, max(0, limit - 8)),
            return_overflowing_tokens=True,
            verbose=False,
            split_special_tokens=True,  # a text may hold the model's own marks
        )
        of = cut["overflow_to_sample_mapping"]
        return [Windows(int(text), ids) for text, ids in zip(of, cut["input_ids"], strict=True)]

    def _limit(self) -> int:
        """Most tokens in a window."""
        told = self.tokenizer.model_max_length
        places = getattr(self.model.config, "max_position_embeddings", 512)
        # Some families count places from 2 on, and say so nowhere but in a tokenizer's limit.
        return int(min(told, places) if told < MOST else places - 2)


@functools.cache
def load(folder: Path) -> Head:
    """The model in a folder, in float32 on the CPU, as it is saved on a GPU.

    Raises:
        UserError: it holds no such model, or a tokenizer that cannot cut texts into windows.
    """
    cuda = device() == "cuda"
    try:
        model, info = AutoModelForSequenceClassification.from_pretrained(
            folder,
            dtype="auto" if cuda else torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        why = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(f"cannot load a classifier from {str(folder)!r}: {why}") from error
    if info["missing_keys"]:
        # What is not in the file would be drawn at random, and its scores mean nothing.
        raise UserError(f"the model in {str(folder)!r} has no trained classification head")
    if not tokenizer.is_fast or tokenizer.pad_token_id is None:
        raise UserError(f"the tokenizer in {str(folder)!r} cannot cut and pad texts")
    config = model.config
    if config.num_labels != len(config.id2label) or config.problem_type == "regression":
        raise UserError(f"the model in {str(folder)!r} is no classifier with a name for each label")
    several = config.problem_type == "multi_label_classification" or config.num_labels == 1
    labels = tuple(str(config.id2label[i]) for i in range(config.num_labels))
    return Head(model.to("cuda" if cuda else "cpu").eval(), tokenizer, labels, several)
