"""Targets behind a wire: what they will take, whether they can be asked, what they took."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from attacks.base import Chat, UserError
from benchmarks import mt_bench
from benchmarks.cell import upload_of
from benchmarks.lab import Lab, hosted_folder
from benchmarks.trial import Cell, Trial
from benchmarks.wire import Bill, Tell, models_asked
from targets.endpoint import Endpoint
from targets.resolve import resolve

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
    from targets.hosted.ledger import tokens_of

    trials = [(Trial.of(cell, lab), first) for cell, first in missing.items()]
    trials = [(trial, first) for trial, first in trials if not trial.lacking()]
    uploads = [
        trial.defense.curate(upload, trial.provider)
        for trial, first in trials
        if first not in ("ask", "judge") and trial.cell.defense != REVERT
        if (upload := upload_of(trial)) is not None
    ]
    found, price = [], start.prices
    if uploads:
        tokens = sum(map(training_tokens, uploads))
        dollars = price and tokens * price.training / 1e6
        found.append(Bill(start.name, len(uploads), "fine-tuning jobs", tokens, 0, dollars))
    prompts = [prompt.text for group in lab.prompts() for prompt in group]
    asked = [_asked(trial, first, prompts) for trial, first in trials]
    n, read = (sum(parts) for parts in zip((0, 0), *asked, strict=True))
    written = n * lab.decoding.max_new_tokens
    ways = sum(models_asked(trial) * len(trial.attack.asks()) for trial, _ in trials)
    turns = mt_bench.turns(lab)
    n, read = n + ways * len(turns), read + ways * sum(map(tokens_of, turns))
    written += ways * len(turns) * mt_bench.longest(lab)
    dollars = price and (read * price.read + written * price.written) / 1e6
    return [*found, Bill(start.name, n, "replies", read, written, dollars)] if n else found


def _asked(trial: Trial, first: str, prompts: Sequence[str]) -> tuple[int, int]:
    """How many questions a cell asks at most, and their tokens."""
    asks = trial.attack.asks()
    each = [sum(_tokens(ask(text)) for text in prompts) for ask in asks]
    # Where a verdict is the first that is missing, one model's replies to one ask are there.
    times = models_asked(trial) * len(asks) * trial.lab.replies() - (first == "judge")
    probes = 0 if first in ("ask", "judge") else trial.defense.questions()
    read = times * max(each) + probes * (max(each) // len(prompts))
    read += models_asked(trial) * len(asks) * len(prompts) * _grown(trial.lab)
    return times * len(prompts) + probes, read


def _grown(lab: Lab) -> int:
    """Tokens of a chat beyond its request that a model reads where a customer insists."""
    from targets.hosted.ledger import tokens_of

    total = 0
    for how in lab.elicitations.values():
        said = 0
        for words in how.then():
            said += lab.decoding.max_new_tokens + tokens_of(words)
            total += said * len(how.decodings(lab.decoding))
    return total


def _tokens(chat: Chat) -> int:
    from targets.hosted.ledger import tokens_of

    return sum(tokens_of(message.content) for message in chat)


def asked_anew(target: str, store: Path) -> list[str]:
    """Ask the server that has a target what it is now: keys hold what it says.

    Returns:
        That it could not be asked; what is stored is then taken to be still so.
    """
    start = resolve(target).start
    if not isinstance(start, Endpoint):
        return []
    try:
        start.keeping(hosted_folder(store)).asked()
    except UserError as error:
        return [f"{start.name}: {error}; stored results are taken to be still so"]
    return []


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

    pay(start, purse)
    told = calls.check(calls.Server(model=start.model, base_url=start.base_url or None))
    assert start.desk is not None
    start.desk.tell = tell
    return [told] if told else []


def pay(start: Endpoint, purse: Purse) -> None:
    """Let calls to a server's model spend from a purse.

    Raises:
        UserError: its price is not known and the budget is one of dollars.
    """
    if purse.dollar_budget is not None and start.prices is None:
        raise UserError(
            f"the price of {start.name} is not known here; give a --token-budget in its place"
        )
    assert start.desk is not None
    start.desk.ledger.purse = purse


def told(desk: Desk) -> str:
    """What was created, asked and spent, in one line."""
    ledger = desk.ledger
    created = ", ".join(f"{n} {what}" for what, n in sorted(desk.made.items()))
    twice = ledger.possibly_paid_twice
    cost = f", ${ledger.dollars:.2f}" if ledger.dollars else ""
    parts = [
        f"created {created}" * bool(created),
        f"{ledger.answered} of {ledger.sent} calls answered",
        f"{ledger.prompt_tokens} tokens read and {ledger.completion_tokens} written{cost}",
        f"{twice} possibly paid twice" * bool(twice),
    ]
    return f"target: {', '.join(filter(None, parts))}"
