"""A run's folder: one grid, one writer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from attacks.base import UserError
from benchmarks.grid import Grid, load_grid
from benchmarks.store import DISK_ERRORS, SCRATCH, DiskError, write_whole

GRID_FILE = "run.yaml"
_LOCK_FILE = ".lock"


def default(grid: Grid) -> Path:
    """`runs/` and the grid's digest, below the working folder: the same grid, the same folder."""
    return Path("runs") / grid.digest


@contextmanager
def claim(folder: Path, grid: Grid) -> Iterator[Path]:
    """The folder for one run of the grid, marked as such at once and held until the block ends.

    Raises:
        UserError: it holds something else, or another bench is writing into it.
        DiskError: the disk is full or failing.
    """
    _refuse_foreign(folder)
    mark = folder / GRID_FILE
    with _held(folder):
        new = not mark.is_file()
        if new:
            write_whole(mark, grid.to_yaml().encode())
        elif load_grid(mark).digest != grid.digest:
            raise UserError(
                f"{str(folder)!r} holds the run of another grid (see its {GRID_FILE}); "
                "choose another --out, or remove the folder"
            )
        try:
            yield folder
        except UserError:
            # A run that was refused before it had begun keeps no other out of the folder.
            if new and {path.name for path in folder.iterdir()} <= {GRID_FILE, _LOCK_FILE}:
                mark.unlink()
            raise


def _refuse_foreign(folder: Path) -> None:
    """Looks before anything is made, so that somebody's folder stays as it is, lock and all.

    The mark is a run's first file, so what was seen before the mark was looked for is a run's
    whenever the mark is there.
    """
    seen = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    foreign = [name for name in seen if name != _LOCK_FILE and not name.startswith(SCRATCH)]
    if foreign and not (folder / GRID_FILE).is_file():
        raise UserError(f"{str(folder)!r} is not empty and not a run; choose another --out")


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    lock = filelock.FileLock(folder / _LOCK_FILE, blocking=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except filelock.Timeout as error:
        raise UserError(
            f"another bench is writing into {str(folder)!r}; wait for it, or choose another --out"
        ) from error
    except OSError as error:
        kind = DiskError if error.errno in DISK_ERRORS else UserError
        raise kind(f"cannot write into {str(folder)!r}: {error.strerror}") from error
    try:
        yield
    finally:
        lock.release()
