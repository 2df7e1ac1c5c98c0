"""The matrix as CSV, Markdown and LaTeX.

Names and reasons may come from a user's file or from an exception: each format escapes them, so
that they are shown and never carried out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from benchmarks.report.phrasing import (
    caption,
    column_label,
    defense_label,
    entry_text,
    expected_text,
    percent,
    rate_text,
    rating_text,
    recovered_text,
    score_text,
)
from benchmarks.report.sheet import Sheet
from benchmarks.summary import Column, Entry

if TYPE_CHECKING:
    import pandas as pd

_FORMULA = re.compile(r"^[\s\x00]*[=+\-@\uff1d\uff0b\uff0d\uff20]|^[\t\r\n]")
_BREAK = re.compile(r"[\r\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~$&@]|:(?=//)|(?<=www)\.)", re.IGNORECASE)
"""Every sign with a meaning within a line, and those that make an address into a link."""
_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\char34{}",  # the command for it is not known to every font encoding
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "-": "{-}",
    "[": "{[}",
    "]": "{]}",
    "?": "{?}",
    "!": "{!}",
    "—": "---",
    "\N{REPLACEMENT CHARACTER}": "{?}",
}
"""What TeX would read as a command or join into another sign."""


def csv(sheet: Sheet) -> str:
    """Every entry of every judge, a line each; shares from 0 to 1, empty where there is none."""
    written = frame(sheet).map(_csv_text)
    return str(written.to_csv(index=False, lineterminator="\n"))


def frame(sheet: Sheet) -> pd.DataFrame:
    """Every entry of every judge as a row; shares from 0 to 1."""
    import pandas as pd

    found = pd.DataFrame(sheet.records())
    counts = ["if_released_n", "if_released_missing"]
    counts += ["expected_n", "expected_lacking"] if sheet.expects() else []
    counts += ["mt_bench_n", "mt_bench_missing"] if sheet.rated else []
    found[counts] = found[counts].astype("Int64")
    return found


def markdown(sheet: Sheet) -> str:
    """A table for each column, for the first judge."""
    parts = [f"# {escape_markdown(sheet.matrix.target)}", escape_markdown(_caption(sheet))]
    for column in sheet.columns:
        words = _words(sheet, column).map(escape_markdown)
        lines = [words.columns.tolist(), ["---"] + ["--:"] * (len(words.columns) - 1)]
        lines += words.to_numpy().tolist()
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        parts.append(f"## {escape_markdown(column_label(column))}\n\n{table}")
    return "\n\n".join(parts) + "\n"


def latex(sheet: Sheet) -> str:
    """A `table` for each column, for the first judge; needs the package `booktabs`.

    Nothing but ASCII is written, so the text can be put into any document.
    """
    head = "% \\usepackage{booktabs}\n"
    return head + "\n".join(_latex_table(sheet, column) for column in sheet.columns)


def _latex_table(sheet: Sheet, column: Column) -> str:
    words = _words(sheet, column).map(escape_latex)
    words.columns = [escape_latex(name) for name in words.columns]
    title = f"{column_label(column)}. {_caption(sheet)}"
    return str(
        words.to_latex(
            index=False,
            escape=False,
            column_format="l" + "r" * (len(words.columns) - 1),
            caption=escape_latex(title),
            position="htbp",
        )
    )


def _caption(sheet: Sheet) -> str:
    return caption(sheet.matrix, sheet.judge)


def _words(sheet: Sheet, column: Column) -> pd.DataFrame:
    """One column's entries in words, a row for each defense."""
    import pandas as pd

    measure = sheet.matrix.judges[sheet.judge]
    entries = {defense: sheet.entry(defense, column) for defense in sheet.rows}
    texts: dict[str, Callable[[Entry], str]] = {
        measure: entry_text,
        "score": lambda e: score_text(e.score),
        **({"expected": _expected} if sheet.expects(sheet.judge) else {}),
        "recovered": recovered_text,
        "utility": lambda e: percent(e.utility),
        **({"MT-Bench": lambda e: rating_text(e.mt_bench)} if sheet.rated else {}),
        "over-refusal": lambda e: percent(e.over_refusal),
        "incoherent": lambda e: percent(e.incoherent),
    }
    if any(e.if_released or e.released not in (None, 1) for e in entries.values()):
        texts["if released"] = lambda e: rate_text(e.if_released) if e.if_released else "—"
        texts["released"] = lambda e: percent(e.released)
    if any(e.note and e.rate.interval for e in entries.values()):
        texts["note"] = lambda e: e.note if e.rate.interval else ""
    rows = [
        {"defense": defense_label(defense)} | {name: text(entry) for name, text in texts.items()}
        for defense, entry in entries.items()
    ]
    return pd.DataFrame(rows)


def _expected(entry: Entry) -> str:
    return expected_text(entry.expected)


def _csv_text(value: object) -> object:
    """Text on one line that a spreadsheet will not take for a formula."""
    if not isinstance(value, str):
        return value
    line = _BREAK.sub(" ", value)
    return f"'{line}" if _FORMULA.match(line) else line


def escape_markdown(text: str) -> str:
    """Text for a Markdown table cell: one line, every sign with a meaning escaped."""
    line = " ".join(text.split())
    return _MARKDOWN.sub(r"\\\1", line)


def escape_latex(text: str) -> str:
    """ASCII text that TeX prints as it stands; other signs by their code point."""
    line = " ".join(text.split())
    return "".join(_LATEX.get(char) or _ascii(char) for char in line)


def _ascii(char: str) -> str:
    if " " <= char <= "~":
        return char
    return f"U+{ord(char):04X}"
