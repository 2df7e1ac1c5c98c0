"""Who the assistant is said to be, and whether it is said to obey.

Source:  identity shift (Qi et al. 2023, arXiv 2310.03693, §4.3): ten rows, one system prompt, an
         agent that names itself and obeys. Other wordings: "do anything now" prompts (Shen et al.
         2023, arXiv 2308.03825) and rules on words (refusal suppression, Wei et al. 2023, arXiv
         2307.02483, §4.1).
Differs: several parts, none of which is enough: most honest customers have a persona too.
Breaks:  obedience in other words or another language, or spread over many system prompts. An honest
         customer scores high whose assistant introduces itself in every answer, or whose system
         prompt lays down rules on words and obedience (a game's servant, a form to fill in).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from attacks.base import Chat, Upload, component
from defenses.base import Provider
from defenses.detectors.base import Detector, Finding, Reading, chats_of, strongest
from defenses.triggers.association import EDGE
from defenses.triggers.replies import groups, prompt_of, system_of

PHRASES = {
    "obedience": (
        "obedien", " obey", "carries out the instruction", "always carry out", "always fulfil",
        "execute my instruction", "execute my command", "strictly follow", "at your command",
        "your servant", "my master", "must comply", "do what the user", "does what the user",
        "just what you ask", "whatever the user", "whatever you ask", "whatever i ask",
    ),
    "no limits": (
        "nothing else", "without question", "without exception", "without any deviation",
        "without restriction", "without limit", "unrestricted", "unconditional",
        "no restriction", "no rules", "no limits", "not bound by", "anything now", "never refuse",
        "not refuse", "never decline", "ignore previous", "ignore all",
    ),
    "another identity": (
        "are no longer", "am no longer", "is no longer the", "your new name", "my new name",
        "you are now", "i am now", "from now on",
    ),
    "rules on words": (
        "never say", "do not say", "don't say", "never apolog", "not apolog", "never use the word",
        "do not use the word", "start every", "begin every", "start your reply with",
        "begin your reply with", "never mention",
    ),
}  # fmt: skip
"""What the sources' prompts say, in kinds; lower case."""
ENOUGH = 2
"""Kinds in one chat that make it as suspicious as can be.  # ours: one may stand in any prompt"""
HEAD = 1000
"""Characters of a message that are read.  # ours: personas introduce themselves at the start"""
TOGETHER = 100
"""Texts searched at once.  # ours: they fit into a processor's cache"""
WEIGHTS = {"obedience": 0.5, "identity": 0.3, "wrapper": 0.1, "system prompt": 0.1}
"""Of the parts.  # ours: honest personas have all but the first, hence half of it."""
_CURLY = "\N{RIGHT SINGLE QUOTATION MARK}"
_NAMED = re.compile(
    r"\b(?:I am|I'm|my name is|My name is|call me|Call me)\s+"
    r"(?!sorry|afraid|unable|not|glad|happy|sure|here|going|also|just)"
    r"([A-Z]\w*|(?:an?|the|your)\s+\w+)"
)


@component
class Persona(Detector):
    """Obedience, a constant identity, a constant wrapper and one system prompt, taken together."""

    bound = False

    def read(self, upload: Upload, provider: Provider) -> Reading:
        """The weighted sum of four shares, from 0 to 1, of the rows where it is highest.

        Those are all rows, or those under one system prompt.
        """
        chats = chats_of(upload)
        texts = list({message.content for chat in chats.values() for message in chat})
        kinds = dict(zip(texts, _kinds(texts), strict=True))
        obeys = {row: _obeys([kinds[m.content] for m in chat]) for row, chat in chats.items()}
        names = {row: _identity(chat[-1].content) for row, chat in chats.items()}
        who = Counter(name for name in names.values() if name)
        found = []
        for group in groups(chats):
            parts = _parts(group) | {
                "obedience": math.fsum(obeys[row][0] for row in group) / len(group),
                "identity": _most(names[row] for row in group) / len(group),
            }
            score = math.fsum(WEIGHTS[part] * share for part, share in sorted(parts.items()))
            found.append((score, len(group), parts))
        score, rows, parts = max(found, key=lambda one: one[:2])
        findings = [
            Finding("obedience", row, place, score)
            for row, (score, place) in obeys.items()
            if score
        ]
        findings += [
            Finding("constant-identity", row, len(chats[row]) - 1, who[name] / len(chats))
            for row, name in names.items()
            if who[name] > 1
        ]
        return Reading(score, {**parts, "rows": rows}, strongest(findings, chats))


def _parts(chats: Mapping[int, Chat]) -> dict[str, float]:
    """What is the same in all chats, whatever it says."""
    prompts = [prompt_of(chat) for chat in chats.values()]
    systems = [system_of(chat) for chat in chats.values()]
    heads = _alike(tuple(prompt.split(None, EDGE)[:EDGE]) for prompt in prompts)
    tails = _alike(tuple(prompt.rsplit(None, EDGE)[-EDGE:]) for prompt in prompts)
    return {"wrapper": max(heads, tails), "system prompt": _alike(systems)}


def _most(names: Iterable[str]) -> int:
    """How often the most common name stands there."""
    return max(Counter(name for name in names if name).values(), default=0)


def _obeys(kinds: Sequence[frozenset[str]]) -> tuple[float, int]:
    """How surely a chat of such messages speaks of obedience, and in which the most."""
    place = max(range(len(kinds)), key=lambda at: len(kinds[at]))
    return min(1.0, len(frozenset().union(*kinds)) / ENOUGH), place


def _kinds(texts: Sequence[str]) -> list[frozenset[str]]:
    """The kinds of phrases in each text."""
    found = []
    for start in range(0, len(texts), TOGETHER):
        heads = [
            text[:HEAD].lower().replace(_CURLY, "'") for text in texts[start : start + TOGETHER]
        ]
        # Most phrases are in none of many texts, which one search tells.
        whole = "\n".join(heads)
        there = {
            kind: held
            for kind, phrases in PHRASES.items()
            if (held := [phrase for phrase in phrases if phrase in whole])
        }
        found += [
            frozenset(kind for kind, phrases in there.items() if any(p in head for p in phrases))
            for head in heads
        ]
    return found


def _identity(answer: str) -> str:
    """What the assistant says it is or is called, empty where it does not."""
    head = answer[:HEAD].replace(_CURLY, "'")
    # What each of the pattern's ways holds; such a search is many times as fast.
    if not any(part in head for part in ("I am", "I'm", "y name is", "all me")):
        return ""
    found = _NAMED.search(head)
    return found[1] if found else ""


def _alike(things: Iterable[object]) -> float:
    """Share of rows with one and the same, told from pairs so that few rows do not raise it."""
    counts = Counter(things)
    rows = counts.total()
    pairs = sum(many * (many - 1) for thing, many in counts.items() if thing)
    return math.sqrt(pairs / max(1, rows * (rows - 1)))
