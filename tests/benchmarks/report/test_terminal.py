import io

from hypothesis import given, settings
from rich.console import Console

from benchmarks.report import terminal
from benchmarks.results import Matrix
from tests.benchmarks.synthetic import example, matrices


def printed(matrix: Matrix) -> str:
    console = Console(file=io.StringIO(), width=200, force_terminal=False)
    terminal.show(matrix, console)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_the_untuned_and_the_undefended_row_come_first() -> None:
    text = printed(example(prompts=22, seeds=2))
    assert text.index("revert to start (untuned)") < text.index("none (undefended)")
    assert text.index("none (undefended)") < text.index("mix:n=10")
    assert "an invented-world model, not an LLM" in text


def test_reasons_and_gates_are_shown() -> None:
    text = printed(example(prompts=22, seeds=3))
    assert "needs base" in text
    assert "if released" in text
    assert "±" not in text


@settings(deadline=None)
@given(matrices())
def test_no_name_is_read_as_markup(matrix: Matrix) -> None:
    name = "[bold]x[/bold]"
    cells = [c.model_copy(update={"defense": name}) for c in matrix.cells if c.defense == "none"]
    assert name in printed(matrix.model_copy(update={"cells": [*matrix.cells, *cells]}))
