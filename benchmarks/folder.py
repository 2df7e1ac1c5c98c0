"""A run's folder: one grid, one writer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from attacks.base import UserError
from benchmarks.grid import Grid, read_grid

GRID_FILE = "run.yaml"
_LOCK_FILE = ".lock"


def default(grid: Grid) -> Path:
    """`runs/` and the grid's digest, below the working folder: the same grid, the same folder."""
    return Path("runs") / grid.digest


@contextmanager
def claim(folder: Path, grid: Grid) -> Iterator[Path]:
    """The folder for one run of the grid, held until the block ends.

    Raises:
        UserError: it holds something else, or another bench is writing into it.
    """
    mark = folder / GRID_FILE
    foreign = [p.name for p in folder.iterdir() if p.name != _LOCK_FILE] if folder.is_dir() else []
    if foreign and not mark.is_file():
        raise UserError(f"{str(folder)!r} is not empty and not a run; choose another --out")
    if mark.is_file() and read_grid(mark).digest != grid.digest:
        raise UserError(
            f"{str(folder)!r} holds the run of another grid (see its {GRID_FILE}); "
            "choose another --out, or remove the folder"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder / _LOCK_FILE, blocking=False):
            yield folder
    except filelock.Timeout as error:
        raise UserError(
            f"another bench is writing into {str(folder)!r}; wait for it, or choose another --out"
        ) from error
    except OSError as error:
        raise UserError(f"cannot write into {str(folder)!r}: {error.strerror}") from error
