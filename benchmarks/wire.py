"""Judges behind a wire, beside the workers: one process asks, whatever many of them tune."""

from __future__ import annotations

import dataclasses
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from attacks.base import UserError
from benchmarks import mt_bench
from benchmarks.cell import run_cell
from benchmarks.engines.local import Done, attempt
from benchmarks.lab import Lab, hosted_folder
from benchmarks.results import CellResult
from benchmarks.trial import Cell, Trial
from benchmarks.verdicts import Batch, Calls, Verdicts
from eval.judges.base import Called

if TYPE_CHECKING:
    from targets.hosted.desk import Event
    from targets.hosted.ledger import Purse

Tell = Callable[["Event"], None]
"""Told what happens on a server."""


class Bill(NamedTuple):
    """What calls will take at most."""

    who: str
    n: int
    what: str
    """Of what: verdicts, ratings, replies, fine-tuning jobs."""
    read: int
    """Tokens, about."""
    written: int
    """Tokens, about."""
    dollars: float | None
    """None where the price is not known."""


def called(lab: Lab) -> dict[str, Called]:
    """The lab's judges behind a wire, by name."""
    return {name: judge for name, judge in lab.judges.items() if isinstance(judge, Called)}


def bills(lab: Lab, cells: Sequence[Cell], *, batch: bool = False) -> list[Bill]:
    """What judging these cells takes at most: no verdict is kept yet, every gate stops a model."""
    requests = [prompt.text for prompt in lab.prompts()[0]]
    asked: Counter[str] = Counter()
    ways = 0
    for cell in cells:
        trial = Trial.of(cell, lab)
        own = len(trial.attack.asks()) * models_asked(trial)
        ways += own * lab.is_rated(cell.attack, cell.defense)
        each = dict.fromkeys(lab.judging(cell.attack, cell.defense), own * lab.replies())
        asked.update(each)
    found = []
    for name, judge in _sent(lab).items():
        if not asked[name]:
            continue
        one = [judge.tokens(lab.rules(), text, lab.decoding.max_new_tokens) for text in requests]
        found.append(_bill(name, judge, asked[name] * len(requests), one, asked[name]))
    named, turns = lab.rater(), mt_bench.turns(lab)
    if turns and named and not named[1].here:
        name, rater = named
        longest = mt_bench.longest(lab)
        one = [rater.tokens(lab.rules(), text, longest) for text in turns]
        found.append(_bill(name, rater, ways * len(turns), one, ways)._replace(what="ratings"))
    return [_in_batch(bill) for bill in found] if batch else found


def _in_batch(bill: Bill) -> Bill:
    from targets.hosted.ledger import BATCH_DISCOUNT

    return bill._replace(dollars=bill.dollars and BATCH_DISCOUNT * bill.dollars)


def models_asked(trial: Trial) -> int:
    """How many models a cell asks at most: the released one, and one that a gate stopped."""
    gates = trial.defense.acts("screen") or trial.defense.acts("audit")
    return 1 + (trial.lab.counterfactual and gates)


def bills_of_pairs(lab: Lab, pairs: Sequence[tuple[str, str]]) -> list[Bill]:
    """What judging these requests and replies takes."""
    found = []
    for name, judge in _sent(lab).items():
        one = [judge.tokens(lab.rules(), request, len(reply) // 3) for request, reply in pairs]
        found.append(_bill(name, judge, len(pairs), one))
    return found


def _sent(lab: Lab) -> dict[str, Called]:
    """Those that anything is sent to."""
    return {name: judge for name, judge in called(lab).items() if not judge.here}


def _bill(
    name: str, judge: Called, n: int, each: Sequence[tuple[int, int]], times: int = 1
) -> Bill:
    read, written = (times * sum(tokens) for tokens in zip(*each, strict=True))
    price = judge.price()
    dollars = None if price is None else (read * price[0] + written * price[1]) / 1e6
    return Bill(name, n, "verdicts", read, written, dollars)


def begin(
    lab: Lab, purse: Purse, *, batch: bool = False, tell: Tell = lambda event: None
) -> list[str]:
    """Look whether every judge can be asked, and open the account of their calls.

    Returns:
        What the user should be told of the judges.

    Raises:
        UserError: a judge cannot be asked, does not fit the requests, or its price is not known
            and the budget is one of dollars.
    """
    from targets.hosted.desk import Desk
    from targets.hosted.ledger import Ledger

    told: list[str] = []
    for name, judge in called(lab).items():
        judge.identity(lab.rules())
        if batch and not judge.here and not judge.batches:
            raise UserError(f"{name} is not asked in batches; leave out --batch")
        if purse.dollar_budget is not None and name in _sent(lab) and judge.price() is None:
            raise UserError(
                f"the price of {name} is not known here; give it input_price= and output_price= "
                "in dollars for a million tokens, or a --token-budget"
            )
        told += filter(None, [judge.check()])
    lab.calls = Calls(Verdicts(lab.store.root), Ledger(purse))
    desk = Desk(hosted_folder(lab.store.root), lab.calls.ledger, tell)
    for name, judge in called(lab).items():
        if not batch and (n := judge.waiting(desk)):
            raise UserError(
                f"{name}: {n} questions wait in a batch of an earlier run; add --batch to take its "
                "answers (of one that you cancel on the server, those that are there)"
            )
    if batch:
        lab.calls.batch = Batch(desk)
    return told


def judged(found: Iterable[Done[Cell, CellResult]], lab: Lab) -> Iterator[Done[Cell, CellResult]]:
    """Each finished cell with the verdicts of the judges behind a wire.

    They are asked in a thread of their own, so that workers go on meanwhile. When the block is
    left early, nothing new is sent; what is under way comes back and is kept.
    """
    assert lab.calls is not None
    waiting: deque[Future[Done[Cell, CellResult]]] = deque()
    with ThreadPoolExecutor(1) as thread:
        try:
            for done in found:
                waiting.append(thread.submit(_judge, done, lab))
                while waiting and waiting[0].done():
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BaseException:
            lab.calls.ledger.purse.halted = True
            thread.shutdown(wait=False, cancel_futures=True)
            raise


def judged_together(
    found: Iterable[Done[Cell, CellResult]], lab: Lab
) -> Iterator[Done[Cell, CellResult]]:
    """Each cell with the verdicts of the judges behind a wire, all of which are asked at once."""
    assert lab.calls is not None
    waiting = []
    for done in found:
        _judge(done, lab)  # its questions are gathered
        waiting.append(done)
    lab.calls.send()
    for done in waiting:
        yield _judge(done, lab)


def _judge(done: Done[Cell, CellResult], lab: Lab) -> Done[Cell, CellResult]:
    """The same cell put together again, by a lab that may ask."""
    if done.failure:
        return done
    again = attempt(run_cell, done.item, lab)
    made = {**done.made, "judge": done.made.get("judge", 0) + again.made.get("judge", 0)}
    seconds = {
        **done.seconds,
        "judge": done.seconds.get("judge", 0.0) + again.seconds.get("judge", 0.0),
    }
    return dataclasses.replace(again, made=made, seconds=seconds)
