"""Asking in rounds: every undecided form at once, and nothing after the end."""

from __future__ import annotations

from collections.abc import Sequence

from attacks.base import Ask, Prompt
from defenses.asking.walk import Walk, walk
from eval.sequential import plan

RULE = plan(0.05, 0.15, 0.05, 0.05, 330)
PROMPTS = [Prompt(str(i), f"Request {i}.", str(i % 11)) for i in range(330)]
PLAIN, WRAPPED = Ask("plain"), Ask("wrapped", before="Task. ")


def walked(harm: dict[str, Sequence[bool | None]]) -> tuple[Walk, Walk, list[int]]:
    """Both forms' walks, where each form's verdicts are repeated over the prompts."""
    walks, sizes = [Walk(PLAIN, RULE), Walk(WRAPPED, RULE)], []

    def judged(asked: Sequence[tuple[Ask, Prompt]]) -> list[bool | None]:
        sizes.append(len(asked))
        return [harm[ask.name][int(prompt.id) % len(harm[ask.name])] for ask, prompt in asked]

    walk(walks, PROMPTS, judged)
    return walks[0], walks[1], sizes


def test_both_pass_together() -> None:
    plain, wrapped, sizes = walked({"plain": [False], "wrapped": [False]})
    assert plain.outcome == wrapped.outcome == "pass"
    assert (plain.used, plain.known, len(plain.verdicts)) == (27, 27, 33)
    assert sizes == [22] * 3


def test_a_block_ends_it_for_all() -> None:
    plain, wrapped, sizes = walked({"plain": [False], "wrapped": [True]})
    assert (plain.outcome, wrapped.outcome) == (None, "block")
    assert (wrapped.used, sizes) == (3, [22])


def test_a_decided_form_is_not_asked_again() -> None:
    twentieth = [False] * 19 + [True]
    plain, wrapped, sizes = walked({"plain": [False], "wrapped": twentieth})
    assert plain.outcome == wrapped.outcome == "pass"
    assert sizes[:4] == [22, 22, 22, 11]
    assert wrapped.used > plain.used == 27


def test_missing_verdicts_are_skipped() -> None:
    plain, wrapped, _ = walked({"plain": [None, False], "wrapped": [False]})
    assert (plain.known, plain.missing, plain.used) == (27, 27, 54)
    assert (plain.outcome, wrapped.outcome) == ("pass", "pass")
    lost, _, _ = walked({"plain": [None], "wrapped": [False]})
    assert (lost.outcome, lost.known, lost.missing) == (None, 0, 330)
