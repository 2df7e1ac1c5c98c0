"""What calls take: what they may spend, what they spent, and what text weighs in tokens."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from attacks.base import UserError

Price = tuple[float, float]
"""Dollars for a million tokens read, and for a million written."""


BATCH_DISCOUNT = 0.5
"""On what is asked in batches (OpenAI's price list)."""


class Stopped(UserError):
    """The calls cannot go on; what was answered is kept."""

    exit_code = 4


@dataclass
class Purse:
    """What may be spent, by all who call in one run: a budget that is never passed."""

    token_budget: int | None = None
    """Tokens, both ways; None for no such limit."""
    dollar_budget: float | None = None
    """Likewise in dollars."""
    tokens: int = 0
    """Spent, both ways."""
    dollars: float = 0.0
    """What was answered cost, where the price is known."""
    reserved_tokens: int = 0
    """What calls in flight may take at most, both ways."""
    reserved_dollars: float = 0.0
    """Likewise, where the price is known."""
    halted: bool = False
    """Set from outside: nothing new is sent, and what is under way comes back."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def reserve(self, read: int, written: int, price: Price | None) -> Iterator[None]:
        """Hold the most that a call may take, while it is under way.

        Raises:
            Stopped: with it a budget could be passed.
        """
        tokens, dollars = read + written, cost((read, written), price) or 0.0
        with self._lock:
            if _passes(self.tokens + self.reserved_tokens + tokens, self.token_budget):
                raise Stopped(f"another call could pass the budget of {self.token_budget} tokens")
            if _passes(self.dollars + self.reserved_dollars + dollars, self.dollar_budget):
                raise Stopped(f"another call could pass the budget of ${self.dollar_budget:g}")
            self.reserved_tokens += tokens
            self.reserved_dollars += dollars
        try:
            yield
        finally:
            with self._lock:
                self.reserved_tokens -= tokens
                self.reserved_dollars -= dollars

    def spend(self, read: int, written: int, price: Price | None) -> float:
        """Count what was really taken; gives back the dollars, where the price is known."""
        dollars = cost((read, written), price) or 0.0
        with self._lock:
            self.tokens += read + written
            self.dollars += dollars
        return dollars


def _passes(amount: float, budget: float | None) -> bool:
    return budget is not None and amount > budget


@dataclass
class Ledger:
    """What one kind of caller sent and what came back; the purse may be others' too."""

    purse: Purse = field(default_factory=Purse)
    sent: int = 0
    answered: int = 0
    possibly_paid_twice: int = 0
    """Calls sent again after a try whose outcome is unknown: the line broke while we waited."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    dollars: float = 0.0
    """What was answered cost, where the price is known."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, *, again: bool) -> None:
        """Count a try; `again` when the one before may have been answered and paid for."""
        with self._lock:
            self.sent += 1
            self.possibly_paid_twice += again

    def count(self, used: tuple[int, int], price: Price | None) -> None:
        """Add an answer, by the tokens that it read and wrote."""
        read, written = used
        dollars = self.purse.spend(read, written, price)
        with self._lock:
            self.answered += 1
            self.prompt_tokens += read
            self.completion_tokens += written
            self.dollars += dollars


def cost(tokens: tuple[int, int], price: Price | None) -> float | None:
    """Dollars for tokens read and written; None where the price is not known."""
    return None if price is None else sum(n * p / 1e6 for n, p in zip(tokens, price, strict=True))


def tokens_of(text: str) -> int:
    """At most so many tokens, without the model's tokenizer: three bytes each.

    # ours: English has four letters a token; a budget needs a bound that is seldom too low.
    """
    return len(text.encode()) // 3 + 8
