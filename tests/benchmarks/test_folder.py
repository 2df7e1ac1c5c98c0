"""A run's folder belongs to one grid and one writer, from its first moment to its last."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from attacks.base import UserError
from benchmarks import api, folder
from benchmarks.grid import Grid, make_grid, read_grid
from benchmarks.report import files
from benchmarks.store import DiskError
from tests.benchmarks.synthetic import example


@pytest.fixture(scope="module")
def grid() -> Grid:
    return make_grid(["aoa"], ["mix"])


def test_the_folder_is_marked_before_anything_else_is_done(tmp_path: Path, grid: Grid) -> None:
    with folder.claim(tmp_path / "out", grid) as place:
        assert read_grid(place / folder.GRID_FILE) == grid


def test_a_run_killed_at_any_moment_goes_on(tmp_path: Path, grid: Grid) -> None:
    """Killed before the mark, within it, and after files of the report were moved."""
    (tmp_path / ".lock").touch()
    (tmp_path / ".new-run").mkdir()
    (tmp_path / ".new-mark").write_text("attacks: [a")
    with folder.claim(tmp_path, grid):
        (tmp_path / "figures").mkdir()
        (tmp_path / "report.html").touch()
    with folder.claim(tmp_path, grid) as place:
        assert place == tmp_path


def test_something_else_is_left_as_it_is(tmp_path: Path, grid: Grid) -> None:
    (tmp_path / "dear.txt").write_text("dear")
    with pytest.raises(UserError, match="not a run"), folder.claim(tmp_path, grid):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["dear.txt"]


def test_the_run_of_another_grid_is_left_as_it_is(tmp_path: Path, grid: Grid) -> None:
    with folder.claim(tmp_path, grid):
        pass
    other = make_grid(["aoa"], ["mix"], seeds=1)
    with pytest.raises(UserError, match="another grid"), folder.claim(tmp_path, other):
        pass
    assert read_grid(tmp_path / folder.GRID_FILE) == grid


def test_one_writer_at_a_time_and_another_after_it(tmp_path: Path, grid: Grid) -> None:
    with folder.claim(tmp_path, grid):
        with pytest.raises(UserError, match="another bench"), folder.claim(tmp_path, grid):
            pass
        with pytest.raises(UserError, match="another bench"), folder.claim(tmp_path, grid):
            pass
    with folder.claim(tmp_path, grid):
        pass


def test_a_fault_within_the_block_is_not_the_folders(tmp_path: Path, grid: Grid) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match="No space") as caught, folder.claim(tmp_path, grid):
        raise full
    assert caught.value is full


def test_a_full_disk_is_no_mistake_of_the_users(
    tmp_path: Path, grid: Grid, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mkdir(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with pytest.raises(DiskError, match="No space"), folder.claim(tmp_path / "out", grid):
        pass


def test_a_file_in_the_folders_place(tmp_path: Path, grid: Grid) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(UserError, match="cannot write") as caught:
        folder.claim(tmp_path / "out", grid).__enter__()
    assert caught.value.exit_code == 2


def test_a_report_is_not_rewritten_under_a_running_bench(tmp_path: Path, grid: Grid) -> None:
    files.write(tmp_path, example(prompts=11, seeds=1, few=True), {}, grid.to_yaml())
    (tmp_path / "report.html").unlink()
    with folder.claim(tmp_path, grid):
        (tmp_path / ".new-live").mkdir()
        with pytest.raises(UserError, match="another bench"):
            api.rewrite(tmp_path, None)
        assert (tmp_path / ".new-live").is_dir()
    assert api.rewrite(tmp_path, None).is_file()


def test_a_folder_that_is_no_run_is_not_made_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"run\.yaml"):
        api.rewrite(tmp_path, None)
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_was_refused_keeps_no_other_out(tmp_path: Path, grid: Grid) -> None:
    other = make_grid(["aoa"], ["mix"], seeds=1)
    with pytest.raises(UserError, match="no such"), folder.claim(tmp_path, grid):
        raise UserError("no such model")
    with folder.claim(tmp_path, other):
        (tmp_path / "matrix.json").touch()
    with pytest.raises(UserError, match="late"), folder.claim(tmp_path, other):
        raise UserError("late")
    with pytest.raises(UserError, match="another grid"), folder.claim(tmp_path, grid):
        pass
