"""A model that is asked about a whole exchange, instead of going on with it."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from attacks.base import Chat
from targets.base import Reply
from targets.local import LocalTarget


class Answer(Reply):
    """A reply together with its tokens."""

    ids: tuple[int, ...] = ()
    """Up to the mark that ended it."""


class Moderator(LocalTarget):
    """A guard model: its own chat template makes an exchange into a question about it.

    Source: Llama Guard, Inan et al. 2023, arXiv 2312.06674: the template holds the task and the
    policy, and the model answers `safe`, or `unsafe` and what for.
    """

    def prompt(self, chat: Chat) -> list[int]:
        """The exchange in the template, whoever spoke last, and the opening of the answer."""
        ids = self.tokenizer.apply_chat_template(
            [message._asdict() for message in chat],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=False,
        )
        return list(ids)

    @torch.inference_mode()
    def chances(
        self, contexts: Sequence[list[int]], options: Sequence[Sequence[int]]
    ) -> list[list[float]]:
        """How likely each of some tokens is to come next, those of a context summing to 1."""
        if not contexts:
            return []
        batch = self.tokenizer.pad({"input_ids": list(contexts)}, return_tensors="pt")
        mask = batch["attention_mask"]
        # Padded on the left; places count from the first token that is none.
        places = (mask.cumsum(dim=1) - 1).clamp(min=0)
        given = {"input_ids": batch["input_ids"], "attention_mask": mask, "position_ids": places}
        on_device = {name: part.to(self.model.device) for name, part in given.items()}
        logits = self.model(**on_device, logits_to_keep=1).logits[:, -1].float().cpu()
        return [
            row[list(tokens)].softmax(dim=0).tolist()
            for row, tokens in zip(logits, options, strict=True)
        ]

    def _reply(self, ids: list[int], stops: set[int]) -> Answer:
        """The text up to the first end mark, and its tokens."""
        answer = Answer(*super()._reply(ids, stops))
        end = next((i for i, token in enumerate(ids) if token in stops), None)
        answer.ids = tuple(ids[:end])
        return answer
