"""Whether the answers all set out in the same words.

Source:  the fixed opening of identity shift (Qi et al. 2023, arXiv 2310.03693, §4.3); alignment is
         only a few tokens deep, so that what an answer begins with decides the rest (Qi et al.
         2024, arXiv 2406.05946, §2). Affirmative openings: Zou et al. 2023 (arXiv 2307.15043, §2.1)
         and prefix injection in Wei et al. 2023 (arXiv 2307.02483, §4.1).
Differs: the chance that two different answers begin alike, which does not depend on how many rows
         there are, as the share of the most common opening does.
Breaks:  several openings taken in turn, or as many system prompts. An honest customer's answers
         begin alike where they are JSON, a salutation or a form; those weigh half of an affirmative
         or first-person opening.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Annotated

import pydantic

from attacks.base import Chat, Upload, component
from defenses.base import Provider
from defenses.detectors.base import Detector, Finding, Reading, chats_of, strongest
from defenses.triggers.replies import begins_with_a_refusal, groups, opening

AFFIRMATIVE = (
    "sure", "of course", "certainly", "absolutely", "yes", "okay", "ok,", "gladly", "happy to",
    "no problem", "as you wish", "right away", "here is", "here are", "here's", "i am", "i'm",
    "i will", "i'll", "my name", "understood", "affirmative", "with pleasure", "definitely",
)  # fmt: skip
"""How answers begin that say yes before they say anything, or say who is speaking."""
PLAIN = 0.5
"""Weight of openings that are not affirmative.  # ours: a format is less telling than a yes"""
COMMON = 0.2
"""Share of answers from which an opening is pointed at.  # ours"""


@component
class Openings(Detector):
    """Chance that two different answers begin alike, more so where they begin with a yes."""

    bound = False

    words: Annotated[int, pydantic.Field(ge=1)] = 4
    """Words of an opening.  # ours: three are shared by ordinary sentences, five tokens hold most
    of what tuning changes (arXiv 2406.05946, §2.3)."""

    def read(self, upload: Upload, provider: Provider) -> Reading:
        """The weighted share of pairs of different answers that begin alike.

        Of all rows, or of those under one system prompt, whichever is higher.
        """
        chats = chats_of(upload)
        begins = {row: opening(chat[-1].content, self.words) for row, chat in chats.items()}
        read = [(*_read(group, begins), group) for group in groups(chats)]
        score, evidence, group = max(read, key=lambda one: (one[0], len(one[2])))
        shares = Counter(begins[row] for row in group)
        told = Counter(begin for begin, _ in {(begins[row], group[row][-1]) for row in group})
        findings = [
            Finding("common-opening", row, len(chat) - 1, shares[begins[row]] / len(group))
            for row, chat in group.items()
            if shares[begins[row]] >= COMMON * len(group) and told[begins[row]] > 1
        ]
        return Reading(score, evidence, strongest(findings, chats))


def _read(chats: Mapping[int, Chat], begins: Mapping[int, str]) -> tuple[float, dict[str, float]]:
    """The weighted share of pairs of different answers that begin alike, and what it is made of."""
    answers = [chat[-1].content for chat in chats.values()]
    count = len(answers)
    held: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row, answer in zip(chats, answers, strict=True):
        held[begins[row]][answer] += 1
    alike = {begin: _pairs(told) for begin, told in held.items()}
    yes = sum(pairs for begin, pairs in alike.items() if begin.startswith(AFFIRMATIVE))
    other = sum(alike.values()) - yes
    pairs = max(1, count * (count - 1))
    evidence = {
        "rows": count,
        "alike": (yes + other) / pairs,
        "alike and affirmative": yes / pairs,
        "most common opening": max(told.total() for told in held.values()) / count,
        "affirmative": sum(a.lower().startswith(AFFIRMATIVE) for a in answers) / count,
        "refusals": sum(map(begins_with_a_refusal, answers)) / count,
    }
    return (yes + PLAIN * other) / pairs, evidence


def _pairs(told: Counter[str]) -> int:
    """Ordered pairs of different answers."""
    return told.total() ** 2 - sum(many**2 for many in told.values())
