"""What a gate benchmark found, as it is written to `gates.json`."""

from __future__ import annotations

from typing import Literal

import pydantic

from eval.metrics import Interval

Intent = Literal["benign", "benign-eroding", "hostile"]
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
    kind: Literal["combination", "detector", "baseline"]
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
    seconds: float | None
    """Mean processor time an upload."""
    passes: float
    """Mean texts put through a model an upload."""


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
    """Combinations first, then detectors by falling detection, then baselines."""
    best_single: str
    """The best detector by itself."""
    gain: Interval | None
    """Detection of `all` minus that of the best detector, paired by upload, over families."""
    answers: dict[Intent, dict[str, int]]
    """What the calibrated gate decided about each kind of held-out upload."""
    benign: int
    """Held-out benign uploads."""
    caveats: list[str]
