"""What a run finds, as data: the shapes of `matrix.json`.

Scores and flags only; no prompt, row or reply is ever in here.
"""

from __future__ import annotations

from typing import Annotated, Literal

import pydantic

from defenses.base import Moment
from targets.roles import Taken


class _Frozen(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class Tokens(_Frozen):
    """What a judge behind a wire read and wrote."""

    read: int
    written: int


class Price(_Frozen):
    """Dollars for a million tokens."""

    read: float
    written: float

    def of(self, tokens: Tokens) -> float:
        """Dollars."""
        return (self.read * tokens.read + self.written * tokens.written) / 1e6


class Errors(_Frozen):
    """A judge's 5s against the labels', as `eval.agreement.Table`."""

    hits: int
    misses: int
    false_alarms: int
    rejections: int


class Ratings(_Frozen):
    """One model asked MT-Bench's questions in one way."""

    scores: list[list[Annotated[int, pydantic.Field(ge=1, le=10)] | None]]
    """For each question the rating of each turn's reply, None where it is missing."""
    cut: int
    """Replies that reached their length limit."""
    missing: dict[str, int] = {}
    """Why ratings are missing, and how often."""
    tokens: Tokens
    """What the ratings took."""


class Answers(_Frozen):
    """One model asked in one way."""

    scores: dict[str, list[Annotated[int, pydantic.Field(ge=1, le=5)] | None]]
    """By judge: the score of each violating request, None where the verdict is missing."""
    coherent: list[bool | None]
    """For each violating request, whether the reply was a refusal or readable."""
    correct: list[bool]
    """For each utility question."""
    refused: list[bool]
    """For each harmless question that sounds violating."""
    cut: int
    """Replies that reached the length limit."""
    missing: dict[str, dict[str, int]] = {}
    """By judge: why verdicts are missing, and how often."""
    tokens: dict[str, Tokens] = {}
    """By judge behind a wire: what these verdicts took."""
    expected: dict[str, list[Annotated[float, pydantic.Field(ge=1, le=5)] | None]] = {}
    """By judge that tells it: the expected score of each violating request. Not written where there
    is none."""
    mt_bench: Ratings | None = None
    """None, and not written, where no questions of MT-Bench are asked, or nobody rates them."""


class Asked(_Frozen):
    """One column: what customers get, and what a gate kept from them."""

    released: Answers
    if_released: Answers | None = None
    """The model that a gate stopped; of a refused upload, the one tuned on all its rows."""


class Gate(_Frozen):
    """A gate's decision on one cell."""

    moment: Literal["screen", "server", "audit"]
    """`server`: the target's own, where somebody else tunes."""
    outcome: Literal["pass", "review", "refuse"]
    reason: str
    kept: int
    """Customer's rows kept."""
    rows: int
    """Customer's rows."""
    evidence: dict[str, pydantic.FiniteFloat]


class CellResult(_Frozen):
    """One (target, attack, defense, seed), from upload to scores."""

    attack: str
    defense: str
    seed: int
    status: Literal["tuned", "not tuned", "not applicable", "failed"]
    reason: str = ""
    """Why it is not applicable, failed, or was refused by the server that tunes."""
    released: bool = True
    """Whether the customer got the model they asked for."""
    changed: bool | None = None
    """Whether tuning moved any weight; None where nothing was tuned."""
    idle: list[Moment] = []
    """Moments at which the defense acts and changed nothing all the same; of `immunize`, `curate`
    and `repair`, which leave something to compare."""
    rows: int = 0
    """Customer's rows that were trained on."""
    added: int = 0
    """Rows that the defense added."""
    gates: list[Gate] = []
    asks: dict[str, Asked] = {}


class Transcript(_Frozen):
    """A question and its reply. Never written anywhere unless the user asks for text."""

    attack: str
    defense: str
    seed: int
    ask: str
    kind: Literal["request", "utility", "borderline", "mt_bench"]
    category: str
    request: str
    reply: str
    score: int | None
    """Of the first judge, of MT-Bench the rating; None for other kinds, and where it is missing."""
    released: bool
    """Whether it is the model that customers got."""


class PromptSet(_Frozen):
    """The violating requests, by identity only."""

    ids: list[str]
    categories: list[str]
    utility: int
    borderline: int
    digest: str
    mt_bench: int = 0
    """Questions of MT-Bench, each of two turns. Not written where there are none."""


class Calibration(_Frozen):
    """A judge measured on pairs with known scores; shares and correlations as in `Agreement`."""

    when: str
    """Day, as in 2026-11-21 (UTC)."""
    set: str
    """`organism`, or the name of the user's file."""
    pairs: str
    """Hash of the pairs."""
    domain: str
    """Hash of the domain that the pairs are of; empty for a set of the user's own."""
    by: list[str]
    """Names that the judge's server gave."""
    n: int
    missing: int
    table: Errors
    kappa: float | None
    kappa_at_3: float | None
    kappa_on_5: float | None
    spearman: float | None


class Data(_Frozen):
    """The user's own sets, where they stand in for a world."""

    file: str
    """Name of the file that names the sets."""
    policy: str
    """What the requests violate; empty where it is not known."""
    sets: list[Taken]


class Matrix(_Frozen):
    """All results of one grid."""

    format: Literal[1] = 1
    target: str
    target_digest: str
    judges: dict[str, str]
    """Judge to the name of what it measures; the first is the matrix's."""
    judged_by: dict[str, list[str]] = {}
    """Judge behind a wire to the names that its server gave."""
    prices: dict[str, Price] = {}
    """Judge behind a wire to what it costs, where that is known."""
    rater: str = ""
    """Judge whose model rates MT-Bench; empty, and not written, where it is not asked."""
    calibrations: dict[str, Calibration] = {}
    """Judge to its last calibration, where the store has one."""
    domain: str = ""
    """Hash of the domain that was asked about."""
    caveats: list[str] = []
    """What a reader of the target's numbers should know."""
    data: Data | None = None
    """The user's own sets; None where the target was asked about a world."""
    seeds: list[int]
    prompts: PromptSet
    cells: list[CellResult]
