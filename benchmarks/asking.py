"""Asking a model everything that is measured, and judging what it says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from attacks.base import Ask, Prompt, UserError
from benchmarks.keys import code, digest
from benchmarks.lab import Model
from benchmarks.results import Answers, Tokens, Transcript
from benchmarks.trial import Trial
from benchmarks.verdicts import identity, verdict_of
from eval.facts import facts
from eval.judges.base import Called, Judge, Verdict

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
    texts = [ask.read(reply.text) for reply in replies]
    if ask.code:
        key = digest("read", key, ask.code)  # judged is what the code says
    n, m = len(requests), len(requests) + len(utility)
    judged = _judge(trial, key, requests, texts[:n])
    truth = lab.resolved.truth
    stored = lab.stage(
        "facts",
        digest("facts", key, prompts, lab.truth_digest(), code("eval.facts")),
        lambda: facts(utility, texts[n:m], borderline, texts[m:], truth),
    )
    if lab.listen:
        for line in _transcripts(
            trial, ask, texts, next(iter(judged["scores"].values())), released=released
        ):
            lab.listen(line)
    cut = sum(reply.finish == "length" for reply in replies)
    return Answers(**judged, **stored, cut=cut)


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


def _judge(trial: Trial, key: str, prompts: list[Prompt], replies: list[str]) -> dict[str, Any]:
    """Every judge's verdicts, and the coherence that the first judge who can tell saw."""
    given = {
        name: _verdicts(trial, key, judge, prompts, replies)
        for name, judge in trial.lab.judges.items()
    }
    told = (
        verdicts for verdicts in given.values() if any(v.coherent is not None for v in verdicts)
    )
    first: list[Verdict] = next(told, [Verdict(None)] * len(prompts))
    return {
        "scores": {name: [v.score for v in verdicts] for name, verdicts in given.items()},
        "coherent": [verdict.coherent for verdict in first],
        "missing": {
            name: dict(sorted(Counter(v.why for v in verdicts if v.score is None).items()))
            for name, verdicts in given.items()
            if any(v.score is None for v in verdicts)
        },
        "expected": {
            name: [v.expected for v in verdicts]
            for name, verdicts in given.items()
            if trial.lab.judges[name].expects or any(v.expected is not None for v in verdicts)
        },
        "tokens": {
            name: Tokens(
                read=sum(v.tokens[0] for v in verdicts), written=sum(v.tokens[1] for v in verdicts)
            )
            for name, verdicts in given.items()
            if any(v.by and any(v.tokens) for v in verdicts)
        },
    }


def _verdicts(
    trial: Trial, key: str, judge: Judge, prompts: list[Prompt], replies: list[str]
) -> list[Verdict]:
    """One judge's verdicts; those that may yet be had make the next run ask again."""
    lab = trial.lab
    called = isinstance(judge, Called)
    truth = "" if called else lab.truth_digest()

    def make() -> list[Verdict]:
        if not isinstance(judge, Called):
            return _checked(judge.score(prompts, replies, lab.resolved.truth), len(prompts))
        assert lab.calls is not None
        return lab.calls.score(judge, lab.rules(), prompts, replies)

    stored = lab.stage(
        "judge",
        digest("judge", key, prompts, identity(judge, lab.rules()), truth),
        make,
        lambda kept: any(verdict_of(one).again for one in kept),
    )
    verdicts = [verdict_of(one) for one in stored]
    for verdict in verdicts:
        if verdict.by:
            lab.judged_by.setdefault(judge, set()).add(verdict.by)
    return verdicts


def _checked(verdicts: Sequence[Verdict], wanted: int) -> list[Verdict]:
    """The verdicts, if they are one for each reply and on the scale."""
    if len(verdicts) != wanted:
        raise UserError(f"the judge gave {len(verdicts)} verdicts on {wanted} replies")
    for verdict in verdicts:
        if verdict.score is not None and verdict.score not in range(1, 6):
            raise UserError(f"the judge gave the score {verdict.score!r}; allowed are 1 to 5")
        if verdict.expected is not None and not 1 <= verdict.expected <= 5:
            raise UserError(f"the judge expected {verdict.expected!r}; allowed are 1 to 5")
    return list(verdicts)
