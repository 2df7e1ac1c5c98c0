"""Asking a model everything that is measured, and judging what it says."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

from attacks.base import Ask, Chat, Message, Prompt, UserError, coded
from benchmarks import mt_bench
from benchmarks.keys import code, digest
from benchmarks.lab import Model
from benchmarks.results import Answers, Tokens, Transcript
from benchmarks.trial import Trial
from benchmarks.verdicts import identity, verdict_of
from eval.elicitations.base import Elicitation
from eval.facts import facts
from eval.judges.base import Called, Judge, Verdict, worst
from targets.base import Decoding, Reply

_KINDS: tuple[Literal["request", "utility", "borderline"], ...] = (
    "request",
    "utility",
    "borderline",
)


def answers(trial: Trial, ask: Ask, model: Model, *, released: bool) -> Answers:
    """Everything that is measured on one model asked in one way."""
    lab = trial.lab
    requests, utility, borderline = lab.prompts()
    prompts = [*requests, *utility, *borderline]
    key, replies = _replies(trial, model, [ask(prompt.text) for prompt in prompts])
    texts = [ask.read(reply.text) for reply in replies]
    if ask.code:
        key = digest("read", key, ask.code)  # judged is what the code says
    n, m = len(requests), len(requests) + len(utility)
    # Asked before anything is judged, since whoever judges may be another process.
    rates = lab.is_rated(trial.cell.attack, trial.cell.defense)
    talked = mt_bench.asked(lab, ask, partial(_replies, trial, model)) if rates else None
    judged, each = _judge(trial, key, requests, [texts[:n]])
    truth = lab.resolved.truth
    stored = lab.stage(
        "facts",
        digest("facts", key, prompts, lab.truth_digest(), code("eval.facts")),
        lambda: facts(utility, texts[n:m], borderline, texts[m:], truth),
    )
    known: tuple[list[int | None], ...] = (each[0], [], [])
    for kind, part, some in zip(_KINDS, lab.prompts(), known, strict=True):
        said, texts = texts[: len(part)], texts[len(part) :]
        _tell(trial, ask.name, kind, part, said, some, released=released)
    ratings = mt_bench.rated(lab, talked)
    for turn in mt_bench.told(talked, ratings):
        _tell(trial, ask.name, "mt_bench", *turn, released=released)
    cut = sum(reply.finish == "length" for reply in replies)
    return Answers(**judged, **stored, cut=cut, mt_bench=ratings)


def pressed(
    trial: Trial, ask: Ask, name: str, how: Elicitation, model: Model, *, released: bool
) -> Answers:
    """The violating requests alone, asked so as to bring out what a first answer may hide."""
    requests, ask = trial.lab.prompts()[0], how.ask(ask)
    keys: list[str] = []
    texts: list[list[str]] = []
    cut = 0
    for decoding in how.decodings(trial.lab.decoding):
        chats = [ask(prompt.text) for prompt in requests]
        for next_ in (*how.then(), None):
            key, replies = _replies(trial, model, chats, decoding)
            keys.append(key)
            texts.append([ask.read(reply.text) for reply in replies])
            cut += sum(reply.finish == "length" for reply in replies)
            if next_ is not None:
                chats = [
                    (*_answered(chat, reply.text), Message("user", coded(next_, ask.code)))
                    for chat, reply in zip(chats, replies, strict=True)
                ]
    judged, each = _judge(trial, digest("pressed", keys, ask.code), requests, texts)
    for said, scores in zip(texts, each, strict=True):
        _tell(trial, name, "request", requests, said, scores, released=released)
    return Answers(**judged, correct=[], refused=[], cut=cut)


def _replies(
    trial: Trial, model: Model, chats: list[Chat], decoding: Decoding | None = None
) -> tuple[str, list[Reply]]:
    """What the model says, as it is served, and the key of that."""
    serving = trial.acting("serve")
    return trial.lab.ask(
        model,
        chats,
        lambda target: trial.defense.serve(target, trial.provider),
        [serving, trial.owned()] if serving else [],
        decoding,
    )


def _answered(chat: Chat, reply: str) -> Chat:
    """The chat with its reply, whose beginning it may hold already."""
    begun = chat[-1].content + " " if chat[-1].role == "assistant" else ""
    asked = chat[:-1] if begun else chat
    return (*asked, Message("assistant", begun + reply))


def _tell(
    trial: Trial,
    ask: str,
    kind: Literal["request", "utility", "borderline", "mt_bench"],
    prompts: Sequence[Prompt],
    replies: Sequence[str],
    scores: Sequence[int | None],
    *,
    released: bool,
) -> None:
    """Questions and replies for who listens; of questions with facts there are no scores."""
    if trial.lab.listen is None:
        return
    for prompt, reply, score in itertools.zip_longest(prompts, replies, scores):
        trial.lab.listen(
            Transcript(
                **trial.cell._asdict(),
                ask=ask,
                kind=kind,
                category=prompt.category,
                request=prompt.text,
                reply=reply,
                score=score,
                released=released,
            )
        )


def _judge(
    trial: Trial, key: str, prompts: list[Prompt], replies: Sequence[Sequence[str]]
) -> tuple[dict[str, Any], list[list[int | None]]]:
    """Every judge's verdicts, and the coherence that the first judge who can tell saw.

    Beside them the first judge's score of each reply; none where judges are asked later, by another
    process.

    Args:
        trial: Whose replies.
        key: What they are kept under.
        prompts: What was asked.
        replies: A reply to each, once or several times; of each prompt's the worst counts.
    """
    said = [reply for each in replies for reply in each]
    n = len(prompts)
    given: dict[str, list[Verdict]] = {}
    first_judge = next(iter(trial.lab.judges.values()), None)
    each: list[list[int | None]] = [[] for _ in replies]
    for name, judge in trial.lab.judging(trial.cell.attack, trial.cell.defense).items():
        found = _verdicts(trial, key, judge, prompts * len(replies), said)
        given[name] = [worst(found[at::n]) for at in range(n)]
        if judge is first_judge:
            each = [[v.score for v in found[at : at + n]] for at in range(0, len(found), n)]
    told = (
        verdicts for verdicts in given.values() if any(v.coherent is not None for v in verdicts)
    )
    first: list[Verdict] = next(told, [Verdict(None)] * len(prompts))
    answered = {
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
    return answered, each


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
