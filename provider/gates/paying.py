"""What a gate's calls to servers may take: one purse for all of them, as a bench has it.

A budget is never passed: what a call may take at most is held before it is sent. What was answered
until then is kept, so that the same command with a larger budget goes on from there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from attacks.base import Chat, UserError
from benchmarks import hosting, wire
from benchmarks.lab import Lab
from eval.judges.base import Called
from targets.base import Start
from targets.endpoint import Endpoint
from targets.hosted.ledger import Price, Purse, tokens_of


def for_models(starts: Sequence[Start], purse: Purse) -> None:
    """Let models behind servers spend from a purse.

    Raises:
        UserError: the price of one is not known, and the budget is one of dollars.
    """
    for start in starts:
        if isinstance(start, Endpoint):
            hosting.pay(start, purse)


def for_judge(lab: Lab, purse: Purse) -> tuple[Lab, list[str]]:
    """A lab whose provider's judge spends from a purse, and what the user should be told of it.

    Raises:
        UserError: it cannot be asked, does not fit the requests, or its price is not known and the
            budget is one of dollars.
    """
    judge = lab.provider_judge
    if not isinstance(judge, Called):
        return lab, []
    judging = dataclasses.replace(lab, judges={type(judge).__name__: judge})
    told = wire.begin(judging, purse)
    return dataclasses.replace(lab, calls=judging.calls), told


def for_moderators(moderators: dict[str, object], purse: Purse) -> None:
    """Look whether what moderators take can be counted, those that send texts to a server.

    Raises:
        UserError: the price of one is not known, and the budget is one of dollars.
    """
    for spec, one in moderators.items():
        if purse.dollar_budget is not None and price(one) is None:
            raise UserError(
                f"the price of {spec} is not known here; give a --token-budget in its place"
            )


@contextmanager
def sending(parts: Iterable[object], chats: Sequence[Chat], purse: Purse) -> Iterator[None]:
    """While moderators read chats: what those behind servers are sent is counted.

    Where one fails it is counted too, as some of it may have been answered before.

    Raises:
        Stopped: with it a budget could be passed.
    """
    tokens = sum(tokens_of(turn.content) for chat in chats for turn in chat)
    with ExitStack() as held:
        leaving = [price(one) for one in parts if leaves(one)]
        for each in leaving:
            held.enter_context(purse.reserve(tokens, 0, each))
        try:
            yield
        finally:
            for each in leaving:
                purse.spend(tokens, 0, each)


def leaves(one: object) -> bool:
    """Whether a component gives texts to a server."""
    return "server" in getattr(one, "resolved", dict)()


def price(one: object) -> Price | None:
    """What a moderator's server takes; None where that is not known."""
    found: Price | None = getattr(one, "price", lambda: None)()
    return found


def told(purse: Purse) -> list[str]:
    """What was spent, in lines; nothing where nothing was."""
    cost = f", ${purse.dollars:.2f} where the price is known" if purse.dollars else ""
    return [f"calls: about {purse.tokens:,} tokens{cost}"] if purse.tokens else []
