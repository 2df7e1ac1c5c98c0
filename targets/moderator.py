"""A model that is asked about a whole exchange, instead of going on with it."""

from __future__ import annotations

from attacks.base import Chat
from targets.local import LocalTarget


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
