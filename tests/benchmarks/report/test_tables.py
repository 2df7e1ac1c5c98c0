import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from benchmarks.report import sheet, tables
from benchmarks.results import Matrix
from tests.benchmarks.synthetic import NASTY, example, matrices

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def shown(text: str) -> str:
    return " ".join(text.split())


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_markdown_shows_the_text_and_nothing_else(text: str) -> None:
    table = f"| a |\n| --- |\n| x{tables.escape_markdown(text)}x |\n"
    (inline,) = [t for t in MARKDOWN.parse(table) if t.type == "inline"][1:]
    kinds = {child.type for child in inline.children or []}
    assert kinds <= {"text", "text_special"}
    assert "".join(child.content for child in inline.children or []) == f"x{shown(text)}x"


@pytest.mark.parametrize(
    "text", ["http://a.b", "WWW.a.b", "a@b.c", "`x`|y", "<b>&amp;", "a\nb | c"]
)
def test_markdown_makes_no_link_no_code_no_row(text: str) -> None:
    escaped = tables.escape_markdown(text)
    for pattern in (r"(?<!\\)://", r"(?i)www\.", r"(?<!\\)[`|<&@]", "\n"):
        assert not re.search(pattern, escaped)


@given(NASTY)
def test_latex_is_ascii_and_holds_no_command_of_the_texts(text: str) -> None:
    escaped = tables.escape_latex(text)
    assert all(" " <= char <= "~" for char in escaped)
    ours = {value for value in tables._LATEX.values() if value.startswith("\\")}
    for command in re.findall(r"\\(?:[a-zA-Z]+\d*\{\}|.)", escaped):
        assert command in ours
    left = re.sub(r"\\(?:[a-zA-Z]+\d*\{\}|.)|\{[-\[\]?!]\}", "", escaped)
    assert not set(left) & set("\\{}&%$#_~^")


def test_latex_of_a_command_prints_it() -> None:
    assert tables.escape_latex(r"\input{/etc}%") == r"\textbackslash{}input\{/etc\}\%"


@given(matrices())
def test_csv_has_every_entry_and_no_formula(matrix: Matrix) -> None:
    made = sheet.make(matrix)
    lines = list(csv.DictReader(io.StringIO(tables.csv(made))))
    assert len(lines) == len(made.records())
    for line, record in zip(lines, made.records(), strict=True):
        for name, text in line.items():
            if isinstance(record[name], str):
                assert not re.match(r"\s*[=+\-@\t\r]", text)
                assert text.removeprefix("'").split() == record[name].removeprefix("'").split()
            elif record[name] is None:
                assert text == ""
            else:
                assert float(text) == record[name]


@given(matrices())
def test_a_number_stands_only_where_there_are_verdicts(matrix: Matrix) -> None:
    for record in sheet.make(matrix).records():
        assert (record["rate"] is None) == (record["n"] == 0)
        missing = record["missing"] / max(1, record["missing"] + record["n"])
        assert (record["band_low"] is not None) == (missing > 0.01)


def test_all_formats_say_what_the_organism_is() -> None:
    made = sheet.make(example(prompts=22, seeds=1))
    assert "an invented-world model, not an LLM" in tables.markdown(made)
    assert "an invented{-}world model, not an LLM" in tables.latex(made)


def test_latex_has_a_rule_above_and_below_every_table() -> None:
    made = sheet.make(example(prompts=22, seeds=1))
    text = tables.latex(made)
    for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"\end{table}"):
        assert text.count(rule) == len(made.columns)


def test_a_cell_without_data_says_why_and_is_no_zero() -> None:
    text = tables.markdown(sheet.make(example(prompts=22, seeds=1)))
    lines = [line for line in text.splitlines() if line.startswith("| safe")]
    assert lines
    for line in lines:
        assert "— needs base" in line
        assert "0" not in line
