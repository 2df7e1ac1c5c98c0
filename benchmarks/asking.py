"""Asking a model everything that is measured, and judging what it says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from attacks.base import Ask, Prompt, UserError
from benchmarks.keys import code, component_digest, digest
from benchmarks.lab import Model
from benchmarks.results import Answers, Transcript
from benchmarks.trial import Trial
from eval.facts import facts
from eval.judges.base import Judge, Verdict

_KINDS: tuple[Literal["request", "utility", "borderline"], ...] = (
    "request",
    "utility",
    "borderline",
)


def answers(trial: Trial, model: Model, ask: Ask, *, released: bool) -> Answers:
    """Everything that is measured on one model asked in one way."""
    lab = trial.lab
    requests, utility, borderline = lab.prompts()
    prompts = [*requests, *utility, *borderline]
    chats = [ask(prompt.text) for prompt in prompts]
    serving = trial.acting("serve")
    key, replies = lab.ask(
        model,
        chats,
        lambda target: trial.defense.serve(target, trial.provider),
        [serving, trial.owned()] if serving else [],
    )
    texts = [reply.text for reply in replies]
    n, m = len(requests), len(requests) + len(utility)
    scores, coherent = _judge(trial, key, requests, texts[:n])
    truth = lab.resolved.truth
    stored = lab.stage(
        "facts",
        digest("facts", key, prompts, lab.truth_digest(), code("eval.facts")),
        lambda: facts(utility, texts[n:m], borderline, texts[m:], truth),
    )
    if lab.listen:
        for line in _transcripts(trial, ask, texts, next(iter(scores.values())), released=released):
            lab.listen(line)
    cut = sum(reply.finish == "length" for reply in replies)
    return Answers(scores=scores, coherent=coherent, **stored, cut=cut)


def _transcripts(
    trial: Trial, ask: Ask, replies: list[str], scores: list[int | None], *, released: bool
) -> Iterator[Transcript]:
    """Questions and replies, in the order of the prompt sets."""
    waiting = iter(replies)
    given = iter(scores)
    for kind, prompts in zip(_KINDS, trial.lab.prompts(), strict=True):
        for prompt in prompts:
            yield Transcript(
                **trial.cell._asdict(),
                ask=ask.name,
                kind=kind,
                category=prompt.category,
                request=prompt.text,
                reply=next(waiting),
                score=next(given) if kind == "request" else None,
                released=released,
            )


def _judge(
    trial: Trial, key: str, prompts: list[Prompt], replies: list[str]
) -> tuple[dict[str, list[int | None]], list[bool | None]]:
    """Every judge's scores, and the coherence that the first judge who can tell saw."""
    scores: dict[str, list[int | None]] = {}
    coherent: list[bool | None] = [None] * len(prompts)
    for name, judge in reversed(trial.lab.judges.items()):
        judged = digest("judge", key, prompts, component_digest(judge), trial.lab.truth_digest())

        def make(judge: Judge = judge) -> list[Verdict]:
            return _checked(judge.score(prompts, replies, trial.lab.resolved.truth), len(prompts))

        verdicts = trial.lab.stage("judge", judged, make)
        scores[name] = [score for score, _, _ in verdicts]
        if any(flag is not None for _, flag, _ in verdicts):
            coherent = [flag for _, flag, _ in verdicts]
    return {name: scores[name] for name in trial.lab.judges}, coherent


def _checked(verdicts: Sequence[Verdict], wanted: int) -> list[Verdict]:
    """The verdicts, if they are one for each reply and on the scale."""
    if len(verdicts) != wanted:
        raise UserError(f"the judge gave {len(verdicts)} verdicts on {wanted} replies")
    for verdict in verdicts:
        if verdict.score is not None and verdict.score not in range(1, 6):
            raise UserError(f"the judge gave the score {verdict.score!r}; allowed are 1 to 5")
    return list(verdicts)
