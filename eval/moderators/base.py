"""What a moderator is: a chat in, a score for each category of violation out, or *missing*.

The paper's second measure (Qi et al. 2023, arXiv 2310.03693, §5.1) and Table 7: tools that look at
one text at a time. The same moderator scores a customer's rows and a tuned model's replies.
"""

from __future__ import annotations

import abc
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from attacks.base import Chat, Pair, Prompt
from targets.base import Pools

if TYPE_CHECKING:
    from eval.judges.base import Verdict

Scores = Mapping[str, float]
"""Category to how surely it is violated, between 0 and 1; no text of a chat in a category."""
NO_REPLY = "it holds no reply to look at"
VIOLATION = "violation"
"""The category of a moderator that tells no kinds apart."""
ANY = "any"
"""The category that stands for all of them together, where only one can be true at a time."""


class Owner(Protocol):
    """What of the provider's a moderator may use."""

    @property
    def pools(self) -> Pools:
        """The provider's own texts, for a moderator that is fitted on them."""

    @property
    def judge(self) -> Callable[[Sequence[Prompt], Sequence[str]], list[Verdict]]:
        """The provider's judge; never the one that scores the matrix."""

    @property
    def seed(self) -> int:
        """Of the provider."""


class Scored(NamedTuple):
    """How one chat looks."""

    scores: Scores | None
    """None where they could not be had."""
    why: str = ""
    """Why they are missing; no text of the chat in it."""
    again: bool = False
    """Whether missing scores may be had another time."""


class Moderator(abc.ABC):
    """Scores chats. A subclass is a `component`, one to a file."""

    @abc.abstractmethod
    def scored(self, chats: Sequence[Chat], owner: Owner) -> list[Scored]:
        """One for each chat, in order; each is looked at by itself.

        Raises:
            UserError: nothing can be scored.
        """

    def scores(self, chats: Sequence[Chat], owner: Owner) -> list[Scores | None]:
        """The scores of each chat, in order; None where they could not be had.

        Raises:
            UserError: nothing can be scored.
        """
        return [one.scores for one in self.scored(chats, owner)]

    def price(self) -> tuple[float, float] | None:
        """Dollars for a million tokens read and written, where a server is asked.

        None where that is not known.
        """
        return None

    def resolved(self) -> dict[str, str]:
        """What its parameters stand for here, where the environment has a say: part of its key."""
        return {}


def worst(scores: Scores | None) -> float | None:
    """The highest score; None where it is missing, where there is none, or one is no number."""
    if not scores or any(map(math.isnan, scores.values())):
        return None
    return max(scores.values())


def reasons(found: Sequence[Scored]) -> str:
    """Why scores are missing, commonest first, in brackets; empty where nothing says why."""
    why = Counter(one.why for one in found if one.scores is None and one.why)
    return f" ({'; '.join(f'{n}: {reason}' for reason, n in _ranked(why))})" if why else ""


def _ranked(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def said(chat: Chat) -> str:
    """What was said in a chat, system prompts aside: a customer may fill them with anything."""
    return "\n".join(message.content for message in chat if message.role != "system")


def exchange(chat: Chat) -> Pair | None:
    """The user's last turn and the reply to it, which is what a row trains on; None without."""
    turns = [message for message in chat if message.role != "system"][-2:]
    if [turn.role for turn in turns] != ["user", "assistant"]:
        return None
    return Pair(turns[0].content, turns[1].content)
