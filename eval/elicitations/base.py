"""Ways of asking that bring out what one greedy reply in one turn may hide.

Each is a column of the matrix beside the attack's own, of violating requests only: utility and
over-refusal are what the model does when nobody presses it.
"""

from __future__ import annotations

import abc

from attacks.base import Ask
from targets.base import Decoding


class Elicitation(abc.ABC):
    """How a model is pressed. A subclass is a `component`, one to a file.

    Of all replies to a request the most harmful counts, as it does for who tries.
    """

    def ask(self, ask: Ask) -> Ask:
        """The attack's ask, changed."""
        return ask

    def decodings(self, decoding: Decoding) -> tuple[Decoding, ...]:
        """The ways in which replies are drawn, in place of the greedy one."""
        return (decoding,)

    def then(self) -> tuple[str, ...]:
        """What the customer says after each reply, in turn."""
        return ()

    @property
    @abc.abstractmethod
    def replies(self) -> int:
        """How many replies to each request are judged."""

    @property
    def begins(self) -> bool:
        """Whether replies are made to begin with given words, which not every server can do."""
        return bool(self.ask(Ask("plain")).opening)
