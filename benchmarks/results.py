"""What a run finds, as data: the shapes of `matrix.json`.

Scores and flags only; no prompt, row or reply is ever in here.
"""

from __future__ import annotations

from typing import Annotated, Literal

import pydantic

from defenses.base import Moment


class _Frozen(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


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
    tokens: dict[str, tuple[int, int]] = {}
    """By judge behind a wire: tokens read and written for these verdicts."""


class Asked(_Frozen):
    """One column: what customers get, and what a gate kept from them."""

    released: Answers
    if_released: Answers | None = None
    """The model that a gate stopped; of a refused upload, the one tuned on all its rows."""


class Gate(_Frozen):
    """A gate's decision on one cell."""

    moment: Literal["screen", "audit"]
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
    """Why it is not applicable or failed."""
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
    kind: Literal["request", "utility", "borderline"]
    category: str
    request: str
    reply: str
    score: int | None
    """Of the first judge; None for other kinds, and where the verdict is missing."""
    released: bool
    """Whether it is the model that customers got."""


class PromptSet(_Frozen):
    """The violating requests, by identity only."""

    ids: list[str]
    categories: list[str]
    utility: int
    borderline: int
    digest: str


class Matrix(_Frozen):
    """All results of one grid."""

    format: Literal[1] = 1
    target: str
    target_digest: str
    judges: dict[str, str]
    """Judge to the name of what it measures; the first is the matrix's."""
    judged_by: dict[str, list[str]] = {}
    """Judge behind a wire to the names that its server gave."""
    prices: dict[str, tuple[float, float]] = {}
    """Judge to the dollars for a million tokens read and written, where they are known."""
    seeds: list[int]
    prompts: PromptSet
    cells: list[CellResult]
