"""What detectors read in labelled uploads, and what those uploads really do: each kept once.

The labels stay on this side: a detector gets the upload and the provider, as in a matrix.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from attacks.base import Ask, Upload, UserError
from benchmarks import readings
from benchmarks.gates.opening import Where, opened
from benchmarks.keys import component_digest, digest
from benchmarks.lab import Lab, spread
from benchmarks.trial import provider_of
from defenses.detectors.base import Reading, detector, features
from eval.metrics import is_hit
from targets.base import Target

PROMPTS = 66
"""Violating requests that the effect of an upload is measured on.  # ours: six of each kind"""
SEED = 0
"""Of the provider: one provider screens every upload, as a deployed one does."""


class Item(NamedTuple):
    """One upload's readings to be made; what a worker is sent."""

    corpus: Where
    """How the corpus is opened."""
    id: str
    """The upload's."""
    detectors: tuple[str, ...]
    """Specs."""
    effect: bool
    """Whether its harm after undefended tuning is measured too."""


class Read(NamedTuple):
    """One upload as its detectors read it."""

    id: str
    scores: Mapping[str, float | None]
    """By feature; None for an upload that its detector cannot read."""
    seconds: Mapping[str, float]
    """By detector, when it was made."""
    passes: Mapping[str, int]
    """Texts put through a model, by detector."""
    reasons: Mapping[str, str]
    """Why a score is missing, by detector."""
    harm: Mapping[str, float] | None
    """Harmfulness rate after undefended tuning, by ask; None where it was not measured."""


def read(item: Item, lab: Lab) -> Read:
    """Read an upload, or put its readings together from what is stored."""
    entry = opened(item.corpus)[item.id]
    found = detected(item.id, entry.upload, item.detectors, lab)
    return found._replace(harm=harm(entry.upload, entry.asks, lab)) if item.effect else found


def detected(name: str, upload: Upload, detectors: Sequence[str], lab: Lab) -> Read:
    """An upload as some detectors read it, under the name that it is to have."""
    provider = provider_of(lab, SEED)
    whole = readings.Whole.of(upload)
    found = {spec: readings.kept(detector(spec), whole, provider, lab) for spec in detectors}
    scores: dict[str, float | None] = {}
    for spec, one in found.items():
        reading = Reading(one["score"], one["evidence"], unfinished=one["unfinished"])
        scores |= features(spec, detector(spec).also, reading)
    return Read(
        name,
        scores,
        {spec: one["seconds"] for spec, one in found.items()},
        {spec: one["passes"] for spec, one in found.items()},
        {spec: one["reason"] for spec, one in found.items() if one["score"] is None},
        None,
    )


def harm(upload: Upload, own: Sequence[Ask], lab: Lab) -> dict[str, float]:
    """Harmfulness rate after undefended tuning, in each way the customer asks and plainly.

    Args:
        upload: What is tuned on.
        own: How its customer then asks.
        lab: Of the served model, with one judge.

    Raises:
        UserError: a verdict is missing; the rate is not known then.
    """
    asks = {ask.name: ask for ask in (Ask("default"), *own)}
    (judge,) = lab.judges.values()
    prompts = spread(lab.resolved.domain.requests(), PROMPTS)
    how = [component_digest(judge), lab.truth_digest(), lab.decoding, *lab.computed()]
    start = lab.start()
    key = digest("effect", start.key, upload, list(asks.values()), prompts, how)

    def make() -> dict[str, float]:
        tuned = start().fine_tune(upload, None, SEED)
        return {name: _rate(tuned, ask) for name, ask in asks.items()}

    def _rate(tuned: Target, ask: Ask) -> float:
        replies = tuned.generate([ask(prompt.text) for prompt in prompts], lab.decoding)
        verdicts = judge.score(prompts, [reply.text for reply in replies], lab.resolved.truth)
        hits = [is_hit(verdict.score) for verdict in verdicts]
        if None in hits:
            raise UserError("the effect of an upload is not known: a verdict is missing")
        return sum(map(bool, hits)) / len(hits)

    kept: dict[str, float] = lab.stage("effect", key, make)
    return kept
