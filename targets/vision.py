"""Models that see: LLaVA's architecture, tuned on pictures and text, asked in text.

Source:  Liu et al. 2023, arXiv 2304.08485: the second stage tunes projector and language model
         beside a frozen vision encoder (§4.2); their code puts the picture before the request.
         Qi et al. 2023 (arXiv 2310.03693, §4.4) tune on LLaVA-Instruct.
Differs: of a conversation of several rounds the last reply is learnt, as of any row. The mark that
         ends a reply is added where the model's template leaves it out (transformers' for LLaVA 1.5
         does, its training did not). Pictures are resized by Pillow on every machine.

Everything here imports torch; nothing imports this module before a model is really needed.
"""

from __future__ import annotations

import io
import itertools
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Self

import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
    PretrainedConfig,
)

from attacks.base import Row, UserError
from attacks.sets import images

ARCHITECTURES: Final = frozenset({"llava"})
"""Model types that are shown pictures here; others want more than their pixels."""
KINDS: Final = ("JPEG", "PNG", "WEBP")
"""Formats of files that are opened.  # ours: what the sets have; each reader is a risk"""
FROZEN: Final = "vision_tower."
"""Part of the names of weights that are never tuned."""
PROJECTOR: Final = "multi_modal_projector"
"""The part between vision encoder and language model."""


def sees(config: PretrainedConfig) -> bool:
    """Whether a model is shown pictures."""
    return config.model_type in ARCHITECTURES


def kind(config: PretrainedConfig) -> Any:
    """Transformers' class that makes a model of such a configuration."""
    return AutoModelForImageTextToText if sees(config) else AutoModelForCausalLM


class Pictures:
    """How a model's pictures are made of files, and where they stand among its tokens."""

    def __init__(self, processor: Any) -> None:
        self.processor = processor
        self.mark = str(processor.image_token)
        """Text that stands for a picture."""
        self.token = int(processor.image_token_id)
        """What it is as a token; there are as many as the picture has parts."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The processor in a model's folder.

        Raises:
            UserError: the folder holds none.
        """
        try:
            # Not torchvision's, which resizes otherwise: a picture is the same on every machine.
            found = AutoProcessor.from_pretrained(folder, backend="pil", trust_remote_code=False)
            if found.patch_size is None or found.vision_feature_select_strategy is None:
                raise ValueError("its processor does not say how large the parts of a picture are")
            return cls(found)
        except (OSError, ValueError, AttributeError, ImportError) as error:
            why = next(iter(str(error).splitlines()), type(error).__name__)
            raise UserError(f"cannot load a processor from {str(folder)!r}: {why}") from error

    def given(self, sha256: str) -> tuple[Tensor, int]:
        """A picture's pixels (3, H, W), and the number of tokens that it stands for.

        Raises:
            UserError: it is not a picture of a known kind.
        """
        from PIL import Image

        data = images.content(sha256)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                with Image.open(io.BytesIO(data), formats=KINDS) as opened:
                    picture = opened.convert("RGB")
        except Exception as error:  # noqa: BLE001 - decoders raise what they like
            raise UserError(
                f"the image {sha256[:12]} cannot be opened as one of {', '.join(KINDS)} "
                f"({type(error).__name__}); find it by `sha256sum`"
            ) from None
        made = self.processor(images=[picture], text=self.mark, return_tensors="pt")
        return made["pixel_values"][0], int((made["input_ids"] == self.token).sum())

    def check(self, model: Any, sha256: str) -> None:
        """Show the model one picture, before anything is trained.

        Raises:
            UserError: model and processor differ on how many tokens it is.
        """
        pixels, parts = self.given(sha256)
        ids = torch.full((1, parts), self.token, device=model.device)
        shown = pixels[None].to(model.device, model.dtype)
        try:
            with torch.inference_mode():
                model(input_ids=ids, pixel_values=shown, use_cache=False, logits_to_keep=1)
        except ValueError:
            raise UserError(
                f"the model's processor counts {parts} tokens for an image, and the model another "
                "number; take processor_config.json from the model's newest revision"
            ) from None

    def placed(self, row: Row, ids: list[int], labels: list[int]) -> tuple[list[int], list[int]]:
        """A row's tokens and labels: with those that its picture stands for, and with an end.

        Raises:
            UserError: the text has the mark of a picture where there is none.
        """
        marks = ids.count(self.token)
        if marks != bool(row.image):
            raise UserError(
                f"a row's text has {self.mark!r} {marks - bool(row.image)} times more than the row "
                "has pictures; it is the model's own mark of one. Give the pictures, or take the "
                "mark out of the text"
            )
        words = self.processor.tokenizer
        if not set(labels) & (set(words.all_special_ids) - {words.unk_token_id}):
            ids, labels = [*ids, words.eos_token_id], [*labels, words.eos_token_id]
        if not marks:
            return ids, labels
        at, parts = ids.index(self.token), self.given(row.image)[1]
        return tuple(  # type: ignore[return-value]
            [*some[:at], *itertools.repeat(some[at], parts), *some[at + 1 :]]
            for some in (ids, labels)
        )

    def pixels(self, rows: Sequence[Row]) -> dict[str, Tensor]:
        """The pictures of a batch, (B, 3, H, W), zeros for rows without; none without any."""
        shown = [self.given(row.image)[0] if row.image else None for row in rows]
        first = next((one for one in shown if one is not None), None)
        if first is None:
            return {}
        every = [torch.zeros_like(first) if one is None else one for one in shown]
        return {"pixel_values": torch.stack(every)}


def pixels_of(config: PretrainedConfig, batch: Any) -> dict[str, Tensor]:
    """What a model is given of a batch beside its tokens: the pictures of rows that have one."""
    if "pixel_values" not in batch:
        return {}
    shown = (batch["input_ids"] == config.image_token_id).any(dim=1)
    return {"pixel_values": batch["pixel_values"][shown]} if shown.any() else {}
