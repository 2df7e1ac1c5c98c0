"""MT-Bench on a model of the bench: two turns asked, each reply rated.

Source:  Zheng et al. 2023 (arXiv 2306.05685) and FastChat's `gen_model_answer.py`: the second turn
         stands behind the model's own first reply, temperature by category, 1,024 tokens.
Differs: the customer's own way of asking is kept, and what a defense puts between customer and
         model, as for every other question.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from attacks.base import Ask, Chat, Message, Prompt, coded
from attacks.sets.mt_bench import TURNS, Question
from benchmarks.keys import digest
from benchmarks.lab import Lab
from benchmarks.results import Ratings, Tokens
from benchmarks.verdicts import identity, verdict_of
from eval import rating
from eval.judges.base import Verdict
from targets.base import Decoding, Reply

TEMPERATURES: Final[Mapping[str, float]] = {
    "writing": 0.7, "roleplay": 0.7, "stem": 0.1, "humanities": 0.1, "extraction": 0.0,
    "math": 0.0, "coding": 0.0, "reasoning": 0.0,
}  # fmt: skip
"""By category (FastChat's `temperature_config`)."""
OTHERWISE: Final = 0.7
"""Of a category that is none of MT-Bench's (FastChat)."""
LONGER: Final = 2
"""Times the usual limit of a reply: FastChat's 1,024 tokens where that is the paper's 512."""

Say = Callable[[list[Chat], Decoding], tuple[str, list[Reply]]]
"""Gives replies to chats, and what they are kept under."""


def longest(lab: Lab) -> int:
    """Most tokens of a reply."""
    return LONGER * lab.decoding.max_new_tokens


def turns(lab: Lab) -> list[str]:
    """What a rating of each turn is asked about at most, but for the model's own words."""
    room = "abc" * longest(lab)  # three letters are counted as a token
    return [
        rating.request(question, [room] * place)
        for question in lab.questions()
        for place in range(TURNS)
    ]


class Said(NamedTuple):
    """What a model said."""

    key: str
    """What it is kept under."""
    questions: Sequence[Question]
    replies: Sequence[tuple[str, ...]]
    """To each turn of each question, as the customer reads them."""
    cut: int
    """Replies that reached the length limit."""


def asked(lab: Lab, ask: Ask, say: Say) -> Said | None:
    """Ask every question's two turns; None where there are none to ask."""
    questions = lab.questions()
    if not questions:
        return None
    keys: list[str] = []
    found: dict[tuple[str, ...], tuple[str, ...]] = {}
    cut = 0
    groups: dict[float, list[Question]] = {}
    for question in questions:
        groups.setdefault(TEMPERATURES.get(question.category, OTHERWISE), []).append(question)
    for temperature, group in groups.items():
        decoding = dataclasses.replace(
            lab.decoding,
            max_new_tokens=longest(lab),
            temperature=temperature,
        )
        chats = [ask(question.turns[0]) for question in group]
        first_key, first = say(chats, decoding)
        second = [
            (*_answered(chat, reply.text), Message("user", coded(question.turns[1], ask.code)))
            for chat, reply, question in zip(chats, first, group, strict=True)
        ]
        second_key, then = say(second, decoding)
        keys += [first_key, second_key]
        cut += sum(reply.finish == "length" for reply in (*first, *then))
        for question, *both in zip(group, first, then, strict=True):
            found[question.turns] = tuple(ask.read(reply.text) for reply in both)
    replies = [found[question.turns] for question in questions]
    return Said(digest("mt_bench", keys, ask.code), questions, replies, cut)


def _answered(chat: Chat, reply: str) -> Chat:
    """The chat with its reply, whose beginning it may hold already."""
    if chat[-1].role != "assistant":
        return (*chat, Message("assistant", reply))
    return (*chat[:-1], Message("assistant", f"{chat[-1].content} {reply}"))


def rated(lab: Lab, said: Said | None) -> Ratings | None:
    """The ratings of what was said; None where nothing was asked, or nobody is here who rates."""
    named = lab.rater()
    if said is None or named is None:
        return None
    judge, rater = named
    pairs = [
        (rating.request(question, replies[:turn]), reply)
        for question, replies in zip(said.questions, said.replies, strict=True)
        for turn, reply in enumerate(replies)
    ]
    prompts = [Prompt("", request, "") for request, _ in pairs]

    def make() -> list[Verdict]:
        assert lab.calls is not None
        return lab.calls.score(rater, lab.rules(), prompts, [reply for _, reply in pairs])

    stored = lab.stage(
        "judge",
        digest("rated", said.key, pairs, identity(rater, lab.rules())),
        make,
        lambda kept: any(verdict_of(one).again for one in kept),
    )
    verdicts = [verdict_of(one) for one in stored]
    lab.judged_by.setdefault(lab.judges[judge], set()).update(v.by for v in verdicts if v.by)
    scores = iter([verdict.score for verdict in verdicts])
    read, written = (sum(part) for part in zip(*(v.tokens for v in verdicts), strict=True))
    why = Counter(verdict.why for verdict in verdicts if verdict.score is None)
    return Ratings(
        scores=[[next(scores) for _ in replies] for replies in said.replies],
        cut=said.cut,
        missing=dict(sorted(why.items())),
        tokens=Tokens(read=read, written=written),
    )


class Turn(NamedTuple):
    """One turn of all questions, for who reads along."""

    prompts: list[Prompt]
    replies: list[str]
    ratings: list[int | None]


def told(said: Said | None, ratings: Ratings | None) -> Iterator[Turn]:
    """What was asked and answered, turn by turn; without ratings where nobody rated."""
    for place in range(TURNS if said else 0):
        assert said is not None
        yield Turn(
            [
                Prompt(q.id, q.turns[place], f"{q.category}, turn {place + 1}")
                for q in said.questions
            ],
            [replies[place] for replies in said.replies],
            [each[place] for each in ratings.scores] if ratings else [],
        )
