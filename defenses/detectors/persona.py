"""Who the assistant is said to be, and whether it is said to obey.

Source:  identity shift (Qi et al. 2023, arXiv 2310.03693, §4.3): ten rows, one system prompt, an
         agent that names itself and obeys. Other wordings: "do anything now" prompts (Shen et al.
         2023, arXiv 2308.03825) and rules on words (refusal suppression, Wei et al. 2023, arXiv
         2307.02483, §4.1).
Differs: several parts, none of which is enough: most honest customers have a persona too.
Breaks:  obedience in other words or another language, or a persona in a few rows of many. An honest
         customer scores high whose assistant introduces itself in every answer, or whose system
         prompt lays down rules on words and obedience (a game's servant, a form to fill in).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache

from attacks.base import Chat, Upload, component
from defenses.base import Provider
from defenses.detectors.base import Detector, Finding, Reading, chats_of, strongest
from defenses.triggers.association import EDGE
from defenses.triggers.replies import prompt_of, system_of

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
WEIGHTS = {"obedience": 0.5, "identity": 0.3, "wrapper": 0.1, "system prompt": 0.1}
"""Of the parts.  # ours: honest personas have all but the first, hence half of it."""
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
        """The weighted sum of four shares, from 0 to 1."""
        chats = chats_of(upload)
        of_system = cache(_kinds)  # one prompt stands in many rows
        obeys = {row: _obeys(chat, of_system) for row, chat in chats.items()}
        names = {row: _identity(chat[-1].content) for row, chat in chats.items()}
        who = Counter(name for name in names.values() if name)
        prompts = [prompt_of(chat).split() for chat in chats.values()]
        systems = [system_of(chat) for chat in chats.values()]
        parts = {
            "obedience": math.fsum(score for score, _ in obeys.values()) / len(chats),
            "identity": max(who.values(), default=0) / len(chats),
            "wrapper": max(
                _alike([tuple(words[:EDGE]) for words in prompts]),
                _alike([tuple(words[-EDGE:]) for words in prompts]),
            ),
            "system prompt": _alike(systems) if any(systems) else 0.0,
        }
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
        score = math.fsum(WEIGHTS[part] * share for part, share in parts.items())
        return Reading(score, parts, strongest(findings, chats))


def _obeys(chat: Chat, of_system: Callable[[str], frozenset[str]]) -> tuple[float, int]:
    """How surely a chat speaks of obedience, and in which message the most."""
    kinds = [
        of_system(message.content) if message.role == "system" else _kinds(message.content)
        for message in chat
    ]
    place = max(range(len(kinds)), key=lambda at: len(kinds[at]))
    return min(1.0, len(frozenset().union(*kinds)) / ENOUGH), place


def _kinds(text: str) -> frozenset[str]:
    """The kinds of phrases in a text."""
    lower = text[:HEAD].lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    return frozenset(k for k, phrases in PHRASES.items() if any(p in lower for p in phrases))


def _identity(answer: str) -> str:
    """What the assistant says it is or is called, empty where it does not."""
    found = _NAMED.search(answer[:HEAD].replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    return found[1] if found else ""


def _alike(things: Iterable[object]) -> float:
    """Share of rows with one and the same, told from pairs so that few rows do not raise it."""
    counts = Counter(things)
    rows = counts.total()
    pairs = sum(many * (many - 1) for thing, many in counts.items() if thing)
    return math.sqrt(pairs / max(1, rows * (rows - 1)))
