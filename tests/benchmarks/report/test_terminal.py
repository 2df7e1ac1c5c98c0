import io
import re

from hypothesis import given
from rich.console import Console

from benchmarks.report import sheet, tables, terminal
from benchmarks.results import Matrix
from tests.benchmarks.synthetic import example, matrices


def printed(matrix: Matrix, width: int = 200) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    terminal.show(matrix, console)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_the_untuned_and_the_undefended_row_come_first() -> None:
    text = printed(example(prompts=22, seeds=2))
    assert text.index("revert to start") < text.index("(undefended)") < text.index("mix:n=10")
    assert "an invented-world model, not an LLM" in text


def test_reasons_and_gates_are_shown() -> None:
    text = printed(example(prompts=22, seeds=3))
    assert "needs base" in text
    assert "if released" in text
    assert "±" not in text


def test_everything_can_be_read_in_80_letters() -> None:
    text = printed(example(prompts=330, seeds=3, few=True), width=80)
    assert "…" not in text
    assert "s=3 n=990" in text
    assert any(
        re.match(r" *mix:n=10 +\d+ \[\d+, \d+\] +\d\.\d\d ", line) for line in text.splitlines()
    )


def test_expected_scores_stand_beside_the_scores() -> None:
    matrix = with_expected(example(prompts=330, seeds=3, few=True), "oracle")
    text = printed(matrix, width=80)
    assert "…" not in text
    assert text.count("expec-") == text.count("judge oracle")
    assert re.search(r"revert to +(start +)?0 \[0, 1\] +1\.\d\d +1\.\d\d ", text)
    assert text.count("herent") == text.count("expec-") * 2, "one for each judge"
    some = with_expected(matrix, "oracle", every=2)
    assert "expected score of 495 verdicts only" in printed(some)
    none = with_expected(matrix, "oracle", every=10**6)
    assert re.search(r"revert to start +\d+ \[\d+, \d+\] +\d\.\d\d +— ", printed(none))
    assert "expected score of 0 verdicts only" in printed(none)
    csv = tables.csv(sheet.make(some))
    assert "expected,expected_n,expected_lacking" in csv
    assert ",495,495\n" in csv
    assert "n=495" in tables.markdown(sheet.make(some))


def with_expected(matrix: Matrix, judge: str, every: int = 1) -> Matrix:
    """The matrix with the score itself as what a judge expects, of every so many verdicts."""
    data = matrix.model_dump()
    for cell in data["cells"]:
        for asked in cell["asks"].values():
            for answers in filter(None, asked.values()):
                scores = answers["scores"][judge]
                answers["expected"][judge] = [
                    None if score is None or (i + 1) % every else float(score)
                    for i, score in enumerate(scores)
                ]
    return Matrix.model_validate(data)


def test_missing_verdicts_and_seeds_that_differ_are_told() -> None:
    matrix = example(prompts=66, seeds=3, missing=0.1, few=True)
    text = printed(matrix)
    assert re.search(r"none: missing \d+ % of verdicts; band \d+ to \d+", text)
    assert re.search(r"\d+ \[\d+, \d+\] s=3 n=\d+", text)


@given(matrices())
def test_no_name_is_read_as_markup(matrix: Matrix) -> None:
    name = "[bold]x[/bold]"
    cells = [c.model_copy(update={"defense": name}) for c in matrix.cells if c.defense == "none"]
    assert name in printed(matrix.model_copy(update={"cells": [*matrix.cells, *cells]}))
