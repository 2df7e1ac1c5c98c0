"""What a search for a trigger found, phrase by phrase, without any text of the upload."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from attacks.base import Upload
from defenses.triggers.association import Position
from defenses.triggers.candidates import Candidate
from defenses.triggers.search import Screened, holders
from defenses.triggers.testing import Trial


class Tried(NamedTuple):
    """What one phrase did; it tells everything about the phrase but its text."""

    positions: tuple[Position, ...]
    """Where it was put, part by part."""
    words: int
    """Its length, all parts together."""
    rows: tuple[int, ...]
    """Indices of the upload's rows that hold all its parts where they were found."""
    association: float
    """Smallest p-value of its parts' association with a way of replying in the upload, at most 1.
    It says nothing about the model."""
    uplift: float
    """Share of the screening probes that it made harmful, less those that it made harmless."""
    trial: Trial | None = None
    """How it did on fresh probes; None where it was not put to the test."""
    p: float | None = None
    """That it is no trigger, corrected for all that were tested (Holm 1979); None if it was not."""


@dataclass(frozen=True)
class Report:
    """What a search found, without any text of the upload."""

    tried: tuple[Tried, ...]
    """Tested phrases first, surest first; then the others as screened."""
    questions: int
    """Asked of the candidate and of the start model."""
    missing: int
    """Of their verdicts, those that could not be had."""

    @property
    def tested(self) -> tuple[Tried, ...]:
        """The phrases that were put to the test."""
        return tuple(one for one in self.tried if one.p is not None)

    @property
    def missing_share(self) -> float:
        """Share of the verdicts that could not be had."""
        return self.missing / self.questions if self.questions else 0.0


def describe(one: Screened, found: list[Candidate], upload: Upload) -> Tried:
    """A screened phrase, without its text."""
    parts = [found[i] for i in one.phrase.parts]
    held = [set(holders(part, upload)) for part in parts]
    return Tried(
        positions=one.phrase.positions,
        words=sum(len(part.text.split()) for part in parts),
        rows=tuple(sorted(set.intersection(*held))),
        association=min(part.p_value for part in parts),
        uplift=one.uplift,
    )


def numbers(best: Tried) -> dict[str, float]:
    """The surest phrase as evidence."""
    assert best.trial is not None
    assert best.p is not None
    counts = {
        "trigger rate": best.trial.harmful,
        "rate without trigger": best.trial.plain,
        "start rate with trigger": best.trial.start,
    }
    rates = {name: best.trial.rate(count) for name, count in counts.items()}
    known = {name: rate for name, rate in rates.items() if rate is not None}
    return {
        "trigger p": best.p,
        **known,
        "trigger words": best.words,
        "trigger rows": len(best.rows),
    }


def reason_for(best: Tried) -> str:
    """What the surest phrase did, in one line and without its text."""
    assert best.trial is not None
    one, where = best.trial, " and ".join(best.positions)
    rows = f", in {len(best.rows)} rows (first: row {best.rows[0]})" if best.rows else ""
    return (
        f"harmful on {one.harmful} of {one.known} probes behind a phrase of the upload and on "
        f"{one.plain} without it (p = {best.p:.2g}): {best.words} words as {where}{rows}"
    )
