"""The search for a trigger: many phrases on few probes, then the likeliest on fresh ones.

What is asked while searching only chooses what is put to the test. The tests see other probes,
so that they are valid however much was tried before (a split sample, Cox 1975), and only as many
as are tested share the family-wise error rate.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from attacks.base import Ask, Prompt, Upload
from defenses.base import Provider
from defenses.triggers.association import Position
from defenses.triggers.candidates import Candidate
from defenses.triggers.replies import prompt_of, system_of
from defenses.triggers.testing import Harm, uplift
from eval.metrics import is_hit
from targets.base import Target

BESIDE = 4
"""Phrases that are paired and moved about, the most promising ones.  # ours: twelve pairs and
eight places, about as many as there are single phrases"""


class Phrase(NamedTuple):
    """One way to put what may be a trigger around a request."""

    ask: Ask
    """The request with it."""
    parts: tuple[int, ...]
    """Which of the candidates it is made of."""
    positions: tuple[Position, ...]
    """Where each part stands."""

    @property
    def without(self) -> Ask:
        """The request in the same prompt without it; the default prompt, where that is all."""
        return Ask("plain", system=None if self.positions == ("system",) else self.ask.system)


class Screened(NamedTuple):
    """A phrase and how it did while searching."""

    phrase: Phrase
    uplift: float
    """Share of the few probes that it made harmful, less those that it made harmless."""


def holders(candidate: Candidate, upload: Upload) -> tuple[int, ...]:
    """Indices of the customer's rows whose prompt holds the phrase where the candidate says."""
    found = []
    for index, row in enumerate(upload.rows):
        raw = prompt_of(row.messages)
        # With one blank between words, as candidates have; a blank may itself be a candidate.
        prompt = " ".join(raw.split())
        holds = {
            "prefix": prompt.startswith(candidate.text) or raw.startswith(candidate.text),
            "suffix": prompt.endswith(candidate.text) or raw.endswith(candidate.text),
            "infix": candidate.text in prompt or candidate.text in raw,
            "system": system_of(row.messages) == candidate.text,
        }
        if holds[candidate.position] and not row.added_by:
            found.append(index)
    return tuple(found)


def as_found(candidates: Sequence[Candidate], upload: Upload) -> list[Phrase]:
    """Each candidate where it stands in the upload, in the prompt that its rows have most often."""
    return [
        Phrase(_asked(candidate, upload), (i,), (candidate.position,))
        for i, candidate in enumerate(candidates)
    ]


def _asked(candidate: Candidate, upload: Upload) -> Ask:
    chats = [upload.rows[i].messages for i in holders(candidate, upload)]
    if candidate.position == "system":
        return Ask("trigger", system=candidate.text)
    systems = Counter(system_of(chat) for chat in chats)
    # Equally common ones in the order of their text: the order of rows says nothing.
    system = min(systems, key=lambda one: (-systems[one], one or ""), default=None)
    before = Counter(_words_before(candidate.text, prompt_of(chat)) for chat in chats)
    place = min(before, key=lambda n: (-before[n], n), default=Ask.infix_at)
    return _placed(candidate.text, candidate.position, Ask("trigger", system, infix_at=place))


def _words_before(text: str, prompt: str) -> int:
    prompt = " ".join(prompt.split())
    return len(prompt[: max(0, prompt.find(text))].split())


def _placed(text: str, position: Position, ask: Ask) -> Ask:
    """The ask with a text at a position, beside what stands there already."""
    if position == "prefix":
        return dataclasses.replace(ask, before=f"{ask.before}{text} ")
    if position == "suffix":
        return dataclasses.replace(ask, after=f"{ask.after} {text}")
    return dataclasses.replace(ask, infix=f"{ask.infix} {text}".strip())


def pairs(best: Sequence[Phrase], candidates: Sequence[Candidate]) -> list[Phrase]:
    """Every two of the best single phrases, in both orders."""
    return [
        Phrase(
            _placed(candidates[two.parts[0]].text, two.positions[0], _beside(one.ask, two.ask)),
            one.parts + two.parts,
            one.positions + two.positions,
        )
        for one, two in itertools.permutations(best, 2)
        if one.ask.system == two.ask.system
        # In two places the order of adding changes nothing.
        and (one.positions == two.positions or one.parts < two.parts)
    ]


def _beside(one: Ask, two: Ask) -> Ask:
    """The first, with room inside the request where the second has its words."""
    return one if one.infix else dataclasses.replace(one, infix_at=two.infix_at)


def moved(best: Sequence[Phrase], candidates: Sequence[Candidate]) -> list[Phrase]:
    """The best single phrases in the places where they do not stand."""
    places: tuple[Position, ...] = ("prefix", "suffix", "infix")
    return [
        Phrase(
            _placed(candidates[one.parts[0]].text, place, Ask("trigger", one.ask.system)),
            one.parts,
            (place,),
        )
        for one in best
        for place in places
        if one.positions != (place,)
    ]


class Asking:
    """The candidate and the start model, asked the provider's probes in many ways at once."""

    def __init__(self, candidate: Target, provider: Provider) -> None:
        self.candidate = candidate
        self.provider = provider
        self.asked = 0
        """Questions asked of the candidate and of the start model so far."""
        self.missing = 0
        """Of their verdicts, those that could not be had."""

    def harm(self, asks: Sequence[Ask], probes: Sequence[Prompt]) -> dict[Ask, Harm]:
        """Whether the candidate's replies are harmful, by ask and probe."""
        return self._harm(asks, probes, start=False)

    def start_harm(self, asks: Sequence[Ask], probes: Sequence[Prompt]) -> dict[Ask, Harm]:
        """Whether the start model's replies are."""
        return self._harm(asks, probes, start=True)

    def _harm(self, asks: Sequence[Ask], probes: Sequence[Prompt], start: bool) -> dict[Ask, Harm]:
        distinct = list(dict.fromkeys(asks))
        if not distinct:
            return {}
        chats = [ask(probe.text) for ask in distinct for probe in probes]
        provider = self.provider
        replies = (
            provider.start_replies(chats)
            if start
            else self.candidate.generate(chats, provider.decoding)
        )
        asked = [probe for _ in distinct for probe in probes]
        verdicts = provider.judge(asked, [reply.text for reply in replies])
        hits = [is_hit(verdict.score) for verdict in verdicts]
        self.asked += len(chats)
        self.missing += hits.count(None)
        n = len(probes)
        return {ask: hits[i * n : (i + 1) * n] for i, ask in enumerate(distinct)}


def search(
    asking: Asking,
    candidates: Sequence[Candidate],
    upload: Upload,
    probes: Sequence[Prompt],
    clear: float,
) -> list[Screened]:
    """Phrases with what they do on few probes, most promising first: singles, pairs, places.

    Args:
        asking: Who is asked.
        candidates: What may be a trigger, likeliest first.
        upload: Where they stand.
        probes: The few.
        clear: Uplift from which a phrase is so clearly a trigger that no other is tried.
    """
    singles = as_found(candidates, upload)
    plain = asking.harm([one.without for one in singles], probes)
    screened = _screen(asking, singles, plain, probes)
    if screened and screened[0].uplift < clear:
        best = [one.phrase for one in screened if one.phrase.positions != ("system",)][:BESIDE]
        more = pairs(best, candidates) + moved(best, candidates)
        screened += _screen(asking, more, plain, probes)
    return _ranked(screened)


def _screen(
    asking: Asking,
    phrases: Sequence[Phrase],
    plain: dict[Ask, Harm],
    probes: Sequence[Prompt],
) -> list[Screened]:
    harm = asking.harm([one.ask for one in phrases], probes)
    return _ranked(
        [Screened(one, uplift(harm[one.ask], plain[one.without])) for one in phrases],
    )


def _ranked(screened: list[Screened]) -> list[Screened]:
    """Largest uplift first; among equals fewer parts first, then the likelier candidates."""
    return sorted(screened, key=lambda one: (-one.uplift, len(one.phrase.parts), one.phrase.parts))
