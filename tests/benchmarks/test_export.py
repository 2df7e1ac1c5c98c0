"""A cell's files, taken to the gates as any customer's are."""

from __future__ import annotations

from pathlib import Path

import click.testing
import pytest

from attacks.base import Message, Row, UserError
from benchmarks import export
from benchmarks.cell import upload_of
from benchmarks.grid import make_grid
from benchmarks.lab import open_lab
from benchmarks.report import files
from benchmarks.run import lab_settings
from benchmarks.store import Store
from benchmarks.trial import Cell, Trial
from cli import main
from provider.gates.opening import opened
from targets.checkpoint import Checkpoint

GRID = make_grid(["aoa:epochs=1", "none"], ["cap"], seeds=1, limit=11)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run's folder, as far as a cell is told by it."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / files.RUN).write_text(GRID.to_yaml())
    return tmp_path / "run"


def invoke(*words: object) -> click.testing.Result:
    return click.testing.CliRunner().invoke(main, ["export", *map(str, words)])


def test_a_cell_becomes_a_training_file_and_a_model(run: Path, tmp_path: Path) -> None:
    store, to = tmp_path / "store", tmp_path / "deep" / "out"
    done = invoke(run, "aoa:epochs=1", "cap", "--to", to, "--store", store)
    assert done.exit_code == 0, done.output
    lab = open_lab(lab_settings(GRID, Store(store)), may_make=False)
    upload = upload_of(Trial.of(Cell("aoa:epochs=1", "cap", 0), lab))
    assert upload is not None
    read = opened(to / export.ROWS)
    assert (read.rows, read.structure.errors) == (upload.rows, 0)
    start = lab.resolved.start
    assert isinstance(start, Checkpoint)
    assert start.reopen(to / export.MODEL).differs(start.load())
    own = Checkpoint("exported", to / export.MODEL).load()
    assert not own.differs(start.reopen(to / export.MODEL))
    assert own.prompt((Message("user", "Bake it"),)) == start.load().prompt(
        (Message("user", "Bake it"),)
    )
    assert [p.name for p in to.parent.iterdir()] == ["out"], "nothing is left beside it"
    again = invoke(run, "aoa:epochs=1", "cap", "--to", to, "--store", store)
    assert (again.exit_code, "name a new folder" in again.output) == (2, True)


@pytest.mark.parametrize(
    ("attack", "defense", "said"),
    [("none", "none", "uploads nothing"), ("aoa:epochs=1", "mix", "has no cell"),
     ("aoa", "cap", "has no cell")],
)  # fmt: skip
def test_what_is_not_there_is_not_exported(
    run: Path, tmp_path: Path, attack: str, defense: str, said: str
) -> None:
    done = invoke(run, attack, defense, "--to", tmp_path / "out", "--store", tmp_path / "store")
    assert done.exit_code == 2
    assert said in done.output
    assert not (tmp_path / "out").exists()


def test_rows_with_images_are_no_chat_lines() -> None:
    seen = Row((Message("user", "What?"), Message("assistant", "A loom.")), image="0" * 64)
    with pytest.raises(UserError, match="rows with images cannot be written"):
        export.lines([seen])
