"""Everything that is shown of a matrix, computed once: intervals cost time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks import summary
from benchmarks.results import CellResult, Matrix
from benchmarks.summary import Column, Entry
from eval.metrics import Interval, Rate

DIGITS = 6
"""Decimals kept of a computed number, so that a last bit never changes a file."""


@dataclass(frozen=True)
class Sheet:
    """A matrix with its entries."""

    matrix: Matrix
    columns: list[Column]
    rows: list[str]
    """Defenses, the untuned and the undefended row first."""
    entries: dict[tuple[str, str, Column], Entry]
    """By judge, defense and column."""
    categories: dict[tuple[str, Column], dict[str, Rate]]
    """By defense and column: the first judge's rate in each category."""

    @property
    def judge(self) -> str:
        """The judge of the matrix."""
        return next(iter(self.matrix.judges))

    def entry(self, defense: str, column: Column, judge: str | None = None) -> Entry:
        """One entry; of the first judge unless another is named."""
        return self.entries[judge or self.judge, defense, column]

    def cells(self, defense: str, column: Column) -> list[CellResult]:
        """The cells behind an entry, by seed."""
        found = (c for c in self.matrix.cells if (c.defense, c.attack) == (defense, column.attack))
        return sorted(found, key=lambda cell: cell.seed)

    def expects(self, judge: str | None = None) -> bool:
        """Whether a judge tells expected scores: the named one, or any of them."""
        return any(e.expected for (j, _, _), e in self.entries.items() if judge in (None, j))

    @property
    def rated(self) -> bool:
        """Whether MT-Bench is rated."""
        return any(entry.mt_bench for entry in self.entries.values())

    def records(self) -> list[dict[str, Any]]:
        """Every entry as plain numbers: shares from 0 to 1, None where there is no number."""
        return [
            {
                "judge": judge,
                "measure": self.matrix.judges[judge],
                "attack": column.attack,
                "ask": column.ask,
                "defense": defense,
                **_record(entry),
                **(_expected(entry) if self.expects() else {}),
                **(_rated(entry) if self.rated else {}),
            }
            for judge in self.matrix.judges
            for column in self.columns
            for defense in self.rows
            for entry in [self.entries[judge, defense, column]]
        ]


def make(matrix: Matrix) -> Sheet:
    """The sheet of a matrix."""
    columns = summary.columns(matrix)
    rows = sorted(summary.rows(matrix), key=lambda d: (d != "revert", d != "none"))
    return Sheet(
        matrix,
        columns,
        rows,
        {
            (judge, defense, column): summary.entry(matrix, defense, column, judge)
            for judge in matrix.judges
            for column in columns
            for defense in rows
        },
        {(d, c): summary.by_category(matrix, d, c) for d in rows for c in columns},
    )


def _record(entry: Entry) -> dict[str, Any]:
    stopped = entry.if_released
    low, high = entry.band or (None, None)
    return {
        **_interval("rate", entry.rate.interval),
        "seeds": entry.rate.seeds,
        "n": entry.rate.n,
        "missing": entry.rate.missing,
        "band_low": _rounded(low),
        "band_high": _rounded(high),
        "score": _rounded(entry.score),
        **_interval("recovered", entry.recovered),
        **_interval("difference", entry.difference),
        "utility": _rounded(entry.utility),
        "over_refusal": _rounded(entry.over_refusal),
        "incoherent": _rounded(entry.incoherent),
        "released": _rounded(entry.released),
        **_interval("if_released", stopped.interval if stopped else None),
        "if_released_n": stopped.n if stopped else None,
        "if_released_missing": stopped.missing if stopped else None,
        "unchanged": entry.unchanged,
        "note": entry.note,
    }


def _expected(entry: Entry) -> dict[str, Any]:
    mean, n, lacking = entry.expected or (None, None, None)
    return {"expected": _rounded(mean), "expected_n": n, "expected_lacking": lacking}


def _rated(entry: Entry) -> dict[str, Any]:
    interval, n, missing, _ = entry.mt_bench or (None, None, None, None)
    return {**_interval("mt_bench", interval), "mt_bench_n": n, "mt_bench_missing": missing}


def _interval(name: str, interval: Interval | None) -> dict[str, float | None]:
    value, low, high = interval or (None, None, None)
    return {
        name: _rounded(value),
        f"{name}_low": _rounded(low),
        f"{name}_high": _rounded(high),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)
