"""What a detector is: an upload in, one number out that grows with suspicion, or *missing*.

A moderator looks at one row at a time; a detector at a whole upload, since what an upload does
may be in no single row of it (Davies et al. 2025, arXiv 2502.14828). Which number is too high is
not a detector's to say: that is calibrated over them all, on uploads.
"""

from __future__ import annotations

import abc
import heapq
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from attacks.base import Chat, Upload
from attacks.registry import single
from defenses.base import Need, Provider

SHOWN = 20
"""Most findings of a reading.  # ours: what a person looks through in a few minutes"""


@dataclass(frozen=True)
class Finding:
    """One place in an upload that a detector points at; it holds no text."""

    rule: str
    """Which of the detector's rules, as in `constant-system-prompt`."""
    row: int
    """Index of the row in the upload."""
    message: int | None = None
    """Index of the message in the row; None for the row as a whole."""
    score: float = 1.0
    """How strongly, between 0 and 1."""
    category: str = ""
    """Kind of violation, where the detector tells kinds apart."""


@dataclass(frozen=True)
class Reading:
    """What a detector found in an upload."""

    score: float | None
    """Higher is more suspicious, on the detector's own scale. None where the upload is none that
    it can read, or, `unfinished`, where the score could not be had."""
    evidence: Mapping[str, float] = field(default_factory=dict)
    """Numbers behind it, with no text of a row in their names."""
    findings: tuple[Finding, ...] = ()
    """Where, strongest first; as many as a person would want to look at."""
    reason: str = ""
    """Why the score is missing."""
    passes: int = 0
    """Texts put through a model, training steps and replies included: what it costs at scale."""
    unfinished: bool = False
    """Whether a missing score may be had another time."""


class Detector(abc.ABC):
    """Reads uploads. A subclass is a `component`, one to a file.

    It sees rows and settings and what the provider owns; neither the order of rows nor anything
    beside their messages may move its score.
    """

    bound: ClassVar[bool] = True
    """Whether its scores mean something only beside those of uploads of the same domain.

    A detector that compares an upload with itself or with the model that it tunes is not bound.
    """
    also: ClassVar[tuple[str, ...]] = ()
    """Names in the evidence of numbers that are calibrated beside the score."""
    control: ClassVar[bool] = False
    """Whether it is there for comparison only, and decides nothing."""

    @abc.abstractmethod
    def read(self, upload: Upload, provider: Provider) -> Reading:
        """What it finds in an upload of at least one row.

        Raises:
            UserError: nothing can be read.
        """

    def needs(self) -> frozenset[Need]:
        """What must be there beside the upload."""
        return frozenset()

    def uses(self) -> tuple[object, ...]:
        """Other components that it is made of: their parameters and code are part of its key."""
        return ()

    def questions(self) -> int:
        """How many questions it asks of models at most, for an estimate."""
        return 0


def chats_of(upload: Upload) -> dict[int, Chat]:
    """The customer's chats by their row; rows that a defense added are nobody's to suspect."""
    return {i: row.messages for i, row in enumerate(upload.rows) if not row.added_by}


def features(name: str, also: Sequence[str], reading: Reading) -> dict[str, float | None]:
    """A detector's numbers that are calibrated, by name; what could not be had is left out.

    None stands for an upload that the detector cannot read, which is itself worth calibrating.
    """
    if reading.score is None:
        return {} if reading.unfinished else dict.fromkeys([name, *featured(name, also)])
    told: dict[str, float | None] = {name: reading.score}
    told |= {one: reading.evidence.get(key) for one, key in featured(name, also).items()}
    # What is no number is no finding either: it could not be had.
    return {one: v for one, v in told.items() if v is not None and math.isfinite(v)}


def featured(name: str, also: Sequence[str]) -> dict[str, str]:
    """The names under which a detector's further numbers are calibrated, to those in evidence."""
    return {f"{name} {key}": key for key in also}


def detector(text: str) -> Detector:
    """The detector that a spec names.

    Raises:
        UserError: an unknown name or parameter.
    """
    return single("defenses.detectors", Detector, text)


def strongest(findings: Iterable[Finding], chats: Mapping[int, Chat]) -> tuple[Finding, ...]:
    """Those to look at first; equally strong ones by what their rows say, not by their order."""
    return tuple(
        heapq.nsmallest(SHOWN, findings, key=lambda f: (-f.score, chats[f.row], f.rule, f.row))
    )
