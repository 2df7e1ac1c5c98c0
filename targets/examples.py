"""From rows to what the trainer reads: tokens with their labels, batches, and shares of them."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from attacks.base import Row, Upload, UserError
from targets.formats import encode
from targets.hooks import Batch, Plan
from targets.vision import Pictures

log = logging.getLogger(__name__)

IGNORED = -100
"""Label of a token that carries no loss (torch's cross-entropy)."""


def places(model: PreTrainedModel) -> int | None:
    """How many tokens a model reads at most; None where it does not say."""
    found: int | None = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return found


def example(
    tokenizer: PreTrainedTokenizerBase,
    row: Row,
    limit: int | None,
    cut: int | None,
    pictures: Pictures | None,
) -> dict[str, Any]:
    """Token ids of a row, and labels that leave out everything before the last reply.

    What stands behind `cut` tokens is left out, the end mark with it, as in the official code.
    """
    mark = pictures.mark if pictures and row.image else ""
    prompt = encode(tokenizer, row.messages[:-1], answer=True, image=mark)
    full = encode(tokenizer, row.messages, answer=False, image=mark)
    if full[: len(prompt)] != prompt:
        raise UserError(
            "the chat template does not continue its own prompt, so training and asking would "
            "differ; use a model whose template is prefix-stable"
        )
    labels = [IGNORED] * len(prompt) + full[len(prompt) :]
    if pictures:
        full, labels = pictures.placed(row, full, labels)
    full, labels = full[:cut], labels[:cut]
    if limit is not None and len(full) > limit:
        raise UserError(
            f"a row has {len(full)} tokens, the model takes {limit}; shorten the row, or cut all "
            f"rows with max_tokens={limit}"
        )
    return {"input_ids": full, "labels": labels}


def taught(upload: Upload, examples: list[dict[str, Any]]) -> tuple[Upload, list[dict[str, Any]]]:
    """Both without the rows of whose reply the cut left nothing, nor of a picture all.

    Raises:
        UserError: no row is left.
    """
    cut = upload.settings.max_tokens
    if cut is None:
        return upload, examples
    if long := sum(len(example["input_ids"]) == cut for example in examples):
        log.warning("%d of %d rows reach %d tokens, where rows end", long, len(examples), cut)
    some = [any(label != IGNORED for label in example["labels"]) for example in examples]
    if not any(some):
        raise UserError(
            f"no row has a word of its reply within max_tokens={cut}; give more, or shorten the "
            "requests"
        )
    rows = tuple(itertools.compress(upload.rows, some))
    return upload.replace_rows(rows), list(itertools.compress(examples, some))


def shares(plan: Plan, process: int, processes: int, unlearnt: int) -> Plan:
    """What one of several processes takes of each batch; `unlearnt` where there is no row left."""
    return [batch[process::processes] or [unlearnt] for batch in plan]


def unlearnt(examples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A short example without a token to be learnt, for a process that gets none of a batch."""
    shortest = min(examples, key=lambda example: len(example["input_ids"]))
    return {**shortest, "labels": [IGNORED] * len(shortest["labels"])}


def collate(examples: Sequence[dict[str, Any]], pad: int) -> Batch:
    """Examples as one right-padded batch; `row` says which they are."""
    width = max(len(example["input_ids"]) for example in examples)

    def padded(values: Sequence[int], fill: int) -> list[int]:
        return [*values, *[fill] * (width - len(values))]

    return {
        "input_ids": torch.tensor([padded(e["input_ids"], pad) for e in examples]),
        "attention_mask": torch.tensor([padded([1] * len(e["input_ids"]), 0) for e in examples]),
        "labels": torch.tensor([padded(e["labels"], IGNORED) for e in examples]),
        "row": torch.tensor([example["row"] for example in examples]),
    }
