"""The paper's numbers, each with its place there and what is asked of us for it. Pure.

Source: Qi et al. 2023, arXiv 2310.03693v1; `paper.toml` says how a number is written down.
"""

from __future__ import annotations

import functools
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import pydantic

from attacks.base import UserError
from attacks.registry import unknown
from attacks.spec import Part, parse
from benchmarks.findings import Finding

PAPER: Final = Path(__file__).with_name("paper.toml")
MeasureOf = Literal["rate", "score", "keyword", "flagged", "mt_bench", "utility"]
"""What a number measures; all but `score` (1 to 5) and `mt_bench` (1 to 10) are shares."""
Tool = Literal["openai", "classifier"]
"""The paper's moderation tools that can still be had, by the moderator that stands for each."""
SHARES: Final = frozenset({"rate", "keyword", "flagged", "utility"})
MODELS: Final[Mapping[str, str]] = {
    "": "",
    "gpt-3.5": "GPT-3.5 Turbo",
    "llama-2": "Llama-2-7b-Chat",
}
"""Names of the models that the paper tunes."""
REQUESTS: Final = 330
"""Requests behind each of the paper's rates: one greedy reply and one verdict each (§4.1)."""


class _Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class Asked(_Model):
    """What a row or a column says of the cell that is asked of us."""

    attack: str = ""
    settings: dict[str, Any] = {}
    """Parameters added to the attack's; `epochs` 0 is the untuned model, asked in its prompt."""
    defense: str = ""
    ask: str = ""
    rows: Annotated[int, pydantic.Field(ge=0)] = 0
    """Rows uploaded in the paper, where they are a whole set; else 0."""
    benign: Literal["", "alpaca", "dolly", "llava"] = ""
    requests: Literal["", "advbench"] = ""
    category: Annotated[int, pydantic.Field(ge=0, le=11)] = 0
    """One of the paper's categories; 0 for all."""
    needs: str = ""
    """What it takes that is not part of this project; empty for nothing."""
    tool: Tool | Literal[""] = ""
    """Who flags; empty for none."""
    text: Literal["replies", "instructions", "answers"] = "replies"
    """What the tool reads: replies of a model, or a half of the training rows."""
    measure: MeasureOf | None = None
    times: dict[Literal["learning_rate", "batch_size"], float] = {}
    """Factors on the attack's own settings."""

    def over(self, other: Asked) -> Asked:
        """Both, this one's word counting where both speak; settings and factors are joined."""
        found: dict[str, Any] = {name: getattr(other, name) for name in other.model_fields_set}
        found |= {name: getattr(self, name) for name in self.model_fields_set}
        found["settings"] = {**other.settings, **self.settings}
        found["times"] = {**other.times, **self.times}
        return Asked(**found)

    @property
    def untuned(self) -> bool:
        """Whether it is the model before any tuning."""
        return self.attack == "none" or self.settings.get("epochs") == 0

    @property
    def spec(self) -> str:
        """Spec of the attack, settings added; of an untuned model's without epochs."""
        ((part,),) = parse(self.attack)
        params = {**part.params, **{k: _text(v) for k, v in self.settings.items()}}
        if self.untuned:
            params.pop("epochs", None)
        return str(Part(part.name, params))


class _Placed(Asked):
    name: str
    organism: Asked | None = None
    """What is different on the built-in model."""

    def here(self) -> Asked:
        """What it says, on a real model."""
        told = {name: getattr(self, name) for name in self.model_fields_set}
        return Asked(**{key: value for key, value in told.items() if key in Asked.model_fields})


class _Row(_Placed):
    model: Literal["", "gpt-3.5", "llama-2"] = ""
    note: str = ""
    values: dict[MeasureOf, list[float | Literal["-"]]]


class _Block(_Model):
    columns: list[_Placed]
    row: list[_Row]

    @pydantic.model_validator(mode="after")
    def _whole(self) -> _Block:
        for row in self.row:
            for measure, values in row.values.items():
                if len(values) != len(self.columns):
                    raise ValueError(
                        f"row {row.name!r} has {len(values)} values of {measure!r} and the block "
                        f"{len(self.columns)} columns"
                    )
        return self


class Number(_Model):
    """One number of the paper."""

    table: str
    row: str
    column: str
    model: str
    measure: MeasureOf
    value: float | None
    """As the paper prints it: shares in percent. None where it prints none."""
    note: str
    real: Asked
    """What is asked of a real model."""
    organism: Asked
    """What is asked of the built-in one."""

    @property
    def share(self) -> float | None:
        """The value as our measures have it: shares from 0 to 1, scores as they are."""
        if self.value is None or self.measure not in SHARES:
            return self.value
        return self.value / 100


class Table(_Model):
    """A table, a figure or a remark."""

    id: str
    place: str
    title: str
    findings: list[str]
    """Ids, of this file's or of the organism's."""
    block: list[_Block] = []
    worst: list[int] = []
    """Categories that the paper says degrade most."""

    def numbers(self) -> Iterator[Number]:
        """Every number, row by row."""
        for block in self.block:
            for row in block.row:
                for measure, values in row.values.items():
                    for column, value in zip(block.columns, values, strict=True):
                        yield _number(self.id, row, column, measure, value)


class Omitted(_Model):
    """What is not reproduced."""

    id: str
    place: str
    reason: str


class CopyError(_Model):
    """An error of a secondary copy."""

    copy_: Annotated[str, pydantic.Field(alias="copy")]
    table: str
    row: str
    column: str
    measure: MeasureOf
    says: str
    right: str


class ToolOf(_Model):
    """A moderation tool of the paper's."""

    lacks: str
    """What to do where it is not given."""
    differs: str
    """What is not the paper's about it, and the paper's in brackets."""


class Paper(_Model):
    """All of it."""

    version: Literal[1]
    source: str
    categories: dict[int, str]
    table: list[Table]
    omitted: list[Omitted]
    needs: dict[str, str]
    """Needs that many rows share, by the word that stands for them."""
    tools: dict[Tool, ToolOf]
    error: list[CopyError]
    finding: list[Finding]
    unlike: dict[str, str] = {}
    """By finding, how the built-in model differs from the paper's in what decides it."""

    def tables(self, ids: Sequence[str] = ()) -> list[Table]:
        """The tables of these ids, in the paper's order; all without any.

        Raises:
            UserError: one is unknown, or is not reproduced.
        """
        known = {table.id: table for table in self.table}
        left = {one.id: one for one in self.omitted}
        for name in ids:
            if name in left:
                raise UserError(f"{left[name].place} is not reproduced: {left[name].reason}")
            if name not in known:
                raise UserError(unknown("table", name, list(known)))
        return [table for table in self.table if not ids or table.id in ids]

    def reason(self, needs: str) -> str:
        """What is missing, in words; empty for nothing."""
        return self.needs.get(needs, needs and f"needs {needs}")


def read(path: Path = PAPER) -> Paper:
    """The paper's numbers.

    Raises:
        pydantic.ValidationError: the file does not say what it should.
    """
    return Paper.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))


@functools.cache
def paper() -> Paper:
    """The paper's numbers, read once."""
    return read()


def _number(
    table: str, row: _Row, column: _Placed, measure: MeasureOf, value: float | Literal["-"]
) -> Number:
    real = row.here().over(column.here())
    own = [one.organism for one in (row, column) if one.organism is not None]
    return Number(
        table=table,
        row=row.name,
        column=column.name,
        model=row.model,
        measure=measure,
        value=None if value == "-" else float(value),
        note=row.note,
        real=real,
        organism=_instead(real, own),
    )


def _instead(real: Asked, own: Sequence[Asked]) -> Asked:
    """A cell with what is different on the built-in model in place of what was said."""
    told = {name: getattr(real, name) for name in real.model_fields_set}
    for one in own:
        # Factors stand for the paper's settings, so what they are factors on is the model's own.
        if "times" in one.model_fields_set:
            told["settings"] = {
                key: value
                for key, value in told.get("settings", {}).items()
                if key not in ("learning_rate", "batch_size")
            }
            told["times"] = {**told.get("times", {}), **one.times}
        new = {name: getattr(one, name) for name in one.model_fields_set - {"times"}}
        told |= new
        if "measure" in new:
            told["needs"] = ""
    return Asked(**told)


def _text(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is no setting")
    return str(value)
