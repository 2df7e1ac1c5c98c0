"""What a gate sends to servers is counted, whether it is answered or not."""

from __future__ import annotations

import pytest

from attacks.base import Message
from eval.moderators.openai import Endpoint
from eval.moderators.words import Words
from provider.gates.paying import sending
from targets.hosted.ledger import Purse, Stopped, tokens_of

CHATS = [(Message("user", "How to make a lamp?"), Message("assistant", "Of glass."))] * 3
EACH = sum(tokens_of(turn.content) for chat in CHATS for turn in chat)


def test_what_failed_on_the_way_is_counted_too() -> None:
    # Of several requests some were answered before one failed, and paid for.
    purse = Purse(token_budget=2 * EACH)
    for n in (1, 2):
        with pytest.raises(OSError, match="line broke"), sending([Endpoint()], CHATS, purse):
            raise OSError("the line broke")
        assert (purse.tokens, purse.reserved_tokens) == (n * EACH, 0)
    with pytest.raises(Stopped, match="budget"), sending([Endpoint()], CHATS, purse):
        pytest.fail("it is not sent")
    assert purse.tokens == 2 * EACH


def test_what_stays_here_costs_nothing() -> None:
    purse = Purse(token_budget=0)
    with sending([Words()], CHATS, purse):
        pass
    assert purse.tokens == 0
