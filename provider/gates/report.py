"""What a gate found in an upload, as it is written to `moderation.json`.

Two readers, two levels. A provider sees everything but text; a customer the decision, where their
file is broken, and which kind of rule decided: a score, a threshold or a detector's name would tell
an attacker how near they are (arXiv 2510.16255 assumes none is told).
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
from collections.abc import Mapping, Sequence
from typing import Literal

import pydantic

from attacks.uploads.rules import Profile
from defenses.gates.gate import Answer, Gate, Policy

VERSION = "1.0"
"""Of the JSON: the first number moves when a field is renamed or dropped, the second when one is
added."""
Level = Literal["customer", "provider"]
Fault = Literal["", "needs", "detector", "infrastructure"]
"""Why something was not read: what it needs is not there, the code failed, or a server or the disk
did; empty where it was read, if only to find that it is nothing to read."""
Kind = Literal["structure", "content", "domain", "not read"]
"""Which kind of rule decided, as a customer may know it."""


class Frozen(pydantic.BaseModel):
    """Plain data that says what it is."""

    model_config = pydantic.ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )


class File(Frozen):
    """The upload that was looked at."""

    name: str
    """Of the file, without its folder."""
    sha256: str
    size: int
    """Bytes."""
    lines: int
    """That are not blank."""
    rows: int
    """Lines that were accepted."""
    tokens: int
    """About how many, in one pass over the rows."""


class Settings(Frozen):
    """The tuning that would be done."""

    epochs: int
    batch_size: int
    learning_rate: float


class Place(Frozen):
    """A place in the file that something points at; it holds no text of it."""

    line: int | None
    """From 1; None for the whole file."""
    column: int | None = None
    """From 1, in characters of the line; None for the whole line."""
    rule: str
    level: Literal["error", "warning", "note"]
    message: str
    """What is wrong, in the rule's words."""
    turn: int | None = None
    """From 0 among the messages of the line."""
    score: float | None = None
    """How strongly, 0 to 1."""
    category: str = ""


class Structure(Frozen):
    """What the validator found."""

    profile: Profile
    """Whose file it was to be."""
    counts: Mapping[str, int]
    """Findings by rule, those that are not listed included."""
    errors: int
    warnings: int
    notes: int
    places: tuple[Place, ...]
    """The first of each rule."""


class Read(Frozen):
    """One detector's reading."""

    score: float | None
    """On its own scale; None where the upload is none that it can read, or it could not be had."""
    evidence: Mapping[str, float] = {}
    places: tuple[Place, ...] = ()
    reason: str = ""
    """Why the score is missing."""
    fault: Fault = ""
    passes: int = 0
    """Texts put through a model."""


class Feature(Frozen):
    """A number that the gate decides by: a detector's score, or one of its further numbers."""

    detector: str
    value: float | None
    """None for an upload that the detector cannot read, which is calibrated too."""
    surprise: float
    """Minus the logarithm of the share of benign uploads that are as high."""
    limit: float | None = None
    """Surprise above which it would by itself hold the upload; None where that is not known."""


class Moderated(Frozen):
    """What a moderator of single rows says; it is shown and decides nothing."""

    rows: int
    missing: int
    """Rows without a score."""
    flagged: int
    """Rows with a score of `at` or more."""
    at: float
    highest: float | None
    """Score of any row; None where all are missing."""
    by_category: Mapping[str, int]
    """Flagged rows."""
    places: tuple[Place, ...] = ()
    reason: str = ""
    """Why scores are missing."""
    fault: Fault = ""


class Evidence(Frozen):
    """Everything that the decision is made of, beside the policy."""

    structure: Structure
    lacking: str = ""
    """Why the gate can say nothing about this upload; empty when it can."""
    readings: Mapping[str, Read] = {}
    """By detector."""
    features: Mapping[str, Feature] = {}
    """What the gate decides by; what could not be had is left out."""
    by: str = "all"
    """The gate's combination that decides."""
    gate: Gate | None = None
    """The calibration of that combination, so that the decision can be made again from this file;
    None where the structure decided."""
    moderators: Mapping[str, Moderated] = {}
    """By spec; informational."""


class Verdict(Frozen):
    """The decision: a function of evidence and policy, and of nothing else."""

    answer: Answer
    kind: Kind | None = None
    """None where nothing was found."""
    score: float | None = None
    nominal: float | None = None
    """Share of benign uploads that score as high or higher."""
    thresholds: Mapping[str, float] = {}
    """Combined score that each answer begins above."""
    reasons: tuple[str, ...] = ()
    mitigation: str = ""
    """The defense to train with."""
    advice: tuple[str, ...] = ()
    """What to do about it, commands first."""


class NotRun(Frozen):
    """A part that was not run."""

    what: str
    why: str


class Instrument(Frozen):
    """What it was measured with."""

    target: str
    """The served model, as it was named."""
    target_sha256: str
    gate: str
    """Name of the gate's file."""
    gate_sha256: str
    corpus_sha256: str
    """Of the labelled uploads that the gate was fitted on."""
    detectors: Mapping[str, str]
    """Digest of parameters and code, by spec."""
    seed: int


class ShownRow(Frozen):
    """A row's text, for the provider who asked for it."""

    line: int | None
    messages: tuple[tuple[str, str], ...]
    """Role and content."""


class ModerationReport(Frozen):
    """The provider's report on an upload."""

    kind: Literal["mooring-moderation"] = "mooring-moderation"
    version: str = VERSION
    file: File
    settings: Settings | None
    """None where the file has no rows."""
    policy: Policy
    policy_sha256: str
    instrument: Instrument
    evidence: Evidence
    verdict: Verdict
    not_run: tuple[NotRun, ...] = ()
    tools: Mapping[str, str]
    """Versions of everything that moves a number."""
    shown: tuple[ShownRow, ...] = ()
    """Texts of rows that something points at; empty unless they were asked for."""

    @property
    def faulty(self) -> bool:
        """Whether a server or the disk kept some part from being run."""
        faults = {one.fault for one in self.evidence.readings.values()}
        return "infrastructure" in faults | {one.fault for one in self.evidence.moderators.values()}

    @property
    def broken(self) -> bool:
        """Whether a moderator that was asked for failed, or left a row without a score.

        One row is enough: a customer who can keep a moderator from answering chooses which.
        """
        return any(one.fault or one.missing for one in self.evidence.moderators.values())

    @property
    def warned(self) -> bool:
        """Whether anything is to be warned of that does not decide."""
        structure, moderators = self.evidence.structure, self.evidence.moderators.values()
        return bool(structure.warnings or any(one.missing or one.flagged for one in moderators))


class Notice(Frozen):
    """The customer's report on their upload: no score, threshold, detector or count of findings."""

    kind: Literal["mooring-moderation-notice"] = "mooring-moderation-notice"
    version: str = VERSION
    file: File
    decision: Literal["allow", "allow with mitigation", "hold", "reject"]
    """An upload that could not be decided on is held: nobody learns from it what was not read."""
    rule: str = ""
    """Which kind of rule decided, in words."""
    faults: tuple[Place, ...] = ()
    """What is wrong with the file's structure, line by line."""


_KINDS: Mapping[Kind, str] = {
    "structure": "the file's structure; its faults are listed with their lines",
    "content": "the provider's safety checks of the upload as a whole",
    "domain": "the provider's safety checks of the upload as a whole",
    "not read": "the provider's safety checks of the upload as a whole",
}


def notice(report: ModerationReport) -> Notice:
    """What the customer may see of a report."""
    verdict = report.verdict
    decision = "hold" if verdict.answer == "inconclusive" else verdict.answer
    return Notice(
        file=report.file,
        decision=decision,
        rule="" if decision == "allow" or verdict.kind is None else _KINDS[verdict.kind],
        faults=report.evidence.structure.places,
    )


def written(name: str) -> str:
    """A name as JSON can hold it: what is no character in it becomes a question mark."""
    return name.encode("utf-8", "replace").decode()


def tools(libraries: Sequence[str] = ()) -> dict[str, str]:
    """Versions of this program, of Python and of libraries."""
    try:
        own = importlib.metadata.version("mooring")
    except importlib.metadata.PackageNotFoundError:
        own = "source tree"
    versions = {name: importlib.metadata.version(name) for name in sorted(libraries)}
    return {"mooring": own, "python": platform.python_version(), **versions}


def policy_digest(policy: pydantic.BaseModel) -> str:
    """Hash of everything that a policy says, its defaults included."""
    return hashlib.sha256(policy.model_dump_json().encode()).hexdigest()
