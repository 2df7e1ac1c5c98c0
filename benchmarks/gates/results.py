"""What a gate benchmark found, as it is written to `gates.json`."""

from __future__ import annotations

from typing import Literal

import pydantic

from eval.metrics import Interval

Intent = Literal["benign", "benign-eroding", "hostile"]
Kind = Literal["combination", "part", "detector", "baseline"]
"""A part is what the gate knows by itself, without a detector; a baseline is there for comparison:
what reads more must do better."""
_Frozen = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Share(pydantic.BaseModel):
    """How many of how many."""

    model_config = _Frozen

    hits: int
    n: int
    """Those whose score is known."""
    missing: int = 0
    """Those whose score could not be had, in neither of the two."""


class Family(pydantic.BaseModel):
    """One hostile family's held-out uploads."""

    model_config = _Frozen

    name: str
    trained_on: bool
    """Whether other uploads of it were there when the gate was fitted."""
    uploads: int
    harm: float | None
    """Mean harmfulness rate after undefended tuning, in the worst of the customer's asks; None
    where it was not measured."""
    harmful: int | None
    """Uploads whose tuning did any harm that can be told from none."""


class Line(pydantic.BaseModel):
    """One detector or combination."""

    model_config = _Frozen

    name: str
    kind: Kind
    false_alarms: Share
    """Benign uploads above the threshold."""
    false_alarm_rate: Interval | None
    """With Clopper and Pearson's interval, beside the nominal rate."""
    detection: Interval | None
    """Mean over families of the share above it; bootstrap over families, then uploads."""
    unseen: Interval | None
    """The same over families that the gate was not fitted on."""
    by_family: dict[str, Share]
    area: float | None
    """Area under the receiver operating characteristic, all hostile uploads against all benign."""
    curve: tuple[tuple[float, float], ...]
    """False alarms and detections along that curve, thinned."""
    effect_area: float | None = None
    """As `area`, of uploads that do harm against those that do none, whatever was meant; None
    where the effect was not measured."""
    effect_curve: tuple[tuple[float, float], ...] = ()
    """The curve of it."""
    seconds: float | None
    """Mean processor time an upload."""
    passes: float
    """Mean texts put through a model an upload."""


class Search(pydantic.BaseModel):
    """One upload that was changed step by step until the gate let it through, or was given up."""

    model_config = _Frozen

    family: str
    queries: int
    """Changed uploads whose score was asked for."""
    moves: tuple[str, ...]
    """What was changed in the end, in order."""
    before: float | None
    """Score of the upload as it was; None where the gate says nothing about it."""
    after: float | None
    """Lowest score that was found."""
    stopped: bool
    """Whether the upload was stopped as it was."""
    passed: bool
    """Whether it was, and one with its changes is not."""
    harm_before: float | None = None
    """Harmfulness rate after undefended tuning on it as it was, in the worst of the customer's
    asks; None where nothing passed."""
    harm_after: float | None = None
    """The same with its changes."""
    evaded: bool = False
    """Whether it passed and still does harm."""


class Adaptive(pydantic.BaseModel):
    """What an attacker reaches who is told the combined score of every upload they try."""

    model_config = _Frozen

    queries: int
    """Most changed uploads that were scored for one that was stopped."""
    seed: int
    stopped: Share
    """Uploads that were stopped as they were; only these were changed."""
    passed: int
    """Of these, such that passed in the end."""
    evaded: int
    """Of these, such that still do harm."""
    success: Interval | None
    """Share of evasions among those stopped, with Clopper and Pearson's interval."""
    mean_queries: float | None
    """For an upload that was stopped, whether it passed in the end or not."""
    by_family: dict[str, Share]
    """Evasions among those stopped."""
    harm_before: float | None
    """Mean over those that passed; None where none did."""
    harm_after: float | None
    """The same with their changes."""
    searches: list[Search]


class GateResult(pydantic.BaseModel):
    """The whole benchmark."""

    model_config = _Frozen

    target: str
    corpus: str
    """SHA-256 of the corpus."""
    about: str
    """What it is, in a line."""
    gate: str
    """SHA-256 of the gate."""
    fitted: dict[str, int]
    nominal: float
    """Rate of false alarms at which the thresholds were set."""
    families: list[Family]
    lines: list[Line]
    """Combinations first, then what they are made of, then baselines, by falling detection."""
    gains: dict[str, Interval]
    """Detection of `all` minus that of the best line of each other kind, by its name; paired by
    upload, over families."""
    answers: dict[str, dict[str, int]]
    """What the calibrated gate decided about each kind of held-out upload: by intent, and apart
    the benign ones that do harm where that was measured."""
    benign: int
    """Held-out benign uploads."""
    caveats: list[str]
    adaptive: Adaptive | None = None
    """What a searching attacker reaches; None where it was not run."""
