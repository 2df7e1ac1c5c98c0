"""Targets behind a wire: what they will take, whether they can be asked, what they took."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attacks.base import Chat, UserError
from benchmarks.cell import upload_of
from benchmarks.lab import Lab
from benchmarks.trial import Cell, Trial
from benchmarks.wire import Bill, Tell, models_asked
from targets.endpoint import Endpoint

if TYPE_CHECKING:
    from targets.hosted.desk import Desk
    from targets.hosted.ledger import Purse

REVERT = "revert"
"""Releases the start model whatever is uploaded: tuned only to say what it kept back."""


def endpoint(lab: Lab) -> Endpoint | None:
    """The lab's start model, where somebody's server has it."""
    start = lab.resolved.start
    return start if isinstance(start, Endpoint) else None


def bills(lab: Lab, missing: dict[Cell, str]) -> list[Bill]:
    """What tuning and asking take at most: nothing is kept yet, and no cell shares a model."""
    start = endpoint(lab)
    if start is None:
        return []
    from targets.hosted.jobs import training_tokens

    trials = [Trial.of(cell, lab) for cell, first in missing.items() if first != "judge"]
    trials = [trial for trial in trials if not trial.lacking()]
    uploads = [
        trial.defense.curate(upload, trial.provider)
        for trial in trials
        if trial.cell.defense != REVERT
        if (upload := upload_of(trial)) is not None
    ]
    found = []
    if uploads:
        tokens = sum(map(training_tokens, uploads))
        dollars = start.prices and tokens * start.prices.training / 1e6
        found.append(Bill(start.name, len(uploads), "fine-tuning jobs", tokens, 0, dollars))
    prompts = [prompt.text for group in lab.prompts() for prompt in group]
    read = sum(
        _tokens(ask(text)) * models_asked(trial)
        for trial in trials
        for ask in trial.attack.asks()
        for text in prompts
    )
    n = len(prompts) * sum(models_asked(t) * len(t.attack.asks()) for t in trials)
    written = n * lab.decoding.max_new_tokens
    price = start.prices
    dollars = price and (read * price.read + written * price.written) / 1e6
    return [*found, Bill(start.name, n, "replies", read, written, dollars)] if n else found


def _tokens(chat: Chat) -> int:
    from targets.hosted.ledger import tokens_of

    return sum(tokens_of(message.content) for message in chat)


def begin(lab: Lab, purse: Purse, tell: Tell) -> list[str]:
    """Look whether the server has the model, and open the account of its calls.

    Returns:
        What the user should be told of the model.

    Raises:
        UserError: it cannot be asked, or its price is not known and the budget is one of dollars.
    """
    start = endpoint(lab)
    if start is None:
        return []
    from targets.hosted import calls

    if purse.dollar_budget is not None and start.prices is None:
        raise UserError(
            f"the price of {start.name} is not known here; give a --token-budget in its place"
        )
    told = calls.check(calls.Server(model=start.model, base_url=start.base_url or None))
    assert start.desk is not None
    start.desk.ledger.purse = purse
    start.desk.tell = tell
    return [told] if told else []


def told(desk: Desk) -> str:
    """What was created, asked and spent, in one line."""
    ledger = desk.ledger
    created = ", ".join(f"{n} {what} created" for what, n in sorted(desk.made.items()))
    twice = ledger.possibly_paid_twice
    cost = f", ${ledger.dollars:.2f}" if ledger.dollars else ""
    parts = [
        created,
        f"{ledger.answered} of {ledger.sent} calls answered",
        f"{ledger.prompt_tokens} tokens read and {ledger.completion_tokens} written{cost}",
        f"{twice} possibly paid twice" * bool(twice),
    ]
    return f"target: {', '.join(filter(None, parts))}"
