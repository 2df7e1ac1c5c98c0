"""Moderators as tools that read one text: no request beside it, and no provider behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NoReturn, cast

from attacks.base import Message, UserError
from attacks.registry import single
from eval.moderators.base import Moderator, Owner, Scored
from eval.moderators.guard import Guard
from eval.moderators.judge import Judged
from eval.moderators.words import Words

if TYPE_CHECKING:
    from targets.hosted.ledger import Ledger

NOT_ALONE: Final[Mapping[type[Moderator], str]] = {
    Words: "it is fitted on the provider's own rows",
    Judged: "it asks the provider's own judge; give that judge itself",
    Guard: "a guard reads the request too; give the judge guard itself",
}
"""Moderators that cannot, and what to do."""


class _Nobody:
    def __getattr__(self, name: str) -> NoReturn:
        raise UserError(f"the moderator uses the provider's {name}, and here is no provider")


NOBODY: Final = cast(Owner, _Nobody())
"""In the provider's place."""


def tool(spec: str) -> Moderator:
    """The moderator that a spec names.

    Raises:
        UserError: an unknown name or parameter, or one that needs more than a text.
    """
    found = single("eval.moderators", Moderator, spec)
    for kind, why in NOT_ALONE.items():
        if isinstance(found, kind):
            raise UserError(f"{spec!r} cannot flag a text alone: {why}")
    return found


def leaves(found: Moderator) -> bool:
    """Whether texts are sent to a server."""
    return "server" in found.resolved()


def check(found: Moderator) -> None:
    """Look whether it can be loaded, or has a key for its server; nothing is sent.

    Raises:
        UserError: neither.
    """
    found.scored([], NOBODY)


def scored(found: Moderator, texts: Sequence[str], ledger: Ledger) -> list[Scored]:
    """What it says of each text; what is sent to a server is counted.

    Raises:
        Stopped: no key, no server, or a budget could be passed.
    """
    from targets.hosted.ledger import tokens_of

    chats = [(Message("assistant", text),) for text in texts]
    if not leaves(found):
        return found.scored(chats, NOBODY)
    price, sizes = found.price(), list(map(tokens_of, texts))
    with ledger.purse.reserve(sum(sizes), 0, price):
        told = found.scored(chats, NOBODY)
    for size, one in zip(sizes, told, strict=True):
        ledger.send(again=False)
        if one.scores is not None:
            ledger.count((size, 0), price)
    return told
