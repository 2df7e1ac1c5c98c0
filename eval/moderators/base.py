"""What a moderator is: a chat in, a score for each category of violation out, or *missing*.

The paper's second measure (Qi et al. 2023, arXiv 2310.03693, §5.1) and Table 7: tools that look at
one text at a time. The same moderator scores a customer's rows and a tuned model's replies.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence

from attacks.base import Chat
from targets.base import Pools

Scores = Mapping[str, float]
"""Category to how surely it is violated, between 0 and 1."""


class Moderator(abc.ABC):
    """Scores chats. A subclass is a `component`, one to a file."""

    @abc.abstractmethod
    def scores(self, chats: Sequence[Chat], pools: Pools, seed: int) -> list[Scores | None]:
        """One for each chat, in order; None where it could not be had.

        Args:
            chats: What is scored, each by itself.
            pools: The provider's own texts, for a moderator that is fitted on them.
            seed: Of the provider.

        Raises:
            UserError: nothing can be scored.
        """

    def resolved(self) -> dict[str, str]:
        """What its parameters stand for here, where the environment has a say: part of its key."""
        return {}


def worst(scores: Scores | None) -> float | None:
    """The highest score, None where it is missing."""
    return None if scores is None else max(scores.values(), default=0.0)


def said(chat: Chat) -> str:
    """What was said in a chat, system prompts aside: a customer may fill them with anything."""
    return "\n".join(message.content for message in chat if message.role != "system")
