"""What is kept between runs: every stage's output under the key of its inputs.

A record is written beside its place and moved into it, so a kill at any moment leaves either
the whole record or none. Texts live here and nowhere else; the folder is readable by its owner
only.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import filelock
import platformdirs

from attacks.base import UserError

SCRATCH = ".new-"
"""Begins the name of everything that is being written, or removed."""
_ABANDONED_S = 3600
"""Seconds after which something unfinished is taken for left behind, and weights for unused."""
FORMAT = 1
"""Layout of the store; a store of another layout is never touched."""
_LOCK = ".lock"
DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS})
"""Faults of the disk, where a mistake of the user's is likelier behind any other."""


class Record(NamedTuple):
    """One stage's output."""

    value: Any
    """Plain data."""
    seconds: float
    """How long it took to make."""


class Usage(NamedTuple):
    """What the store holds."""

    stage: str
    records: int
    size: int
    """Bytes."""


def default_root() -> Path:
    """`$MOORING_STORE`, or the user's cache folder."""
    given = os.environ.get("MOORING_STORE")
    return Path(given) if given else Path(platformdirs.user_cache_path("mooring")) / "store"


class Store:
    """A folder of records and of model weights."""

    def __init__(self, root: Path) -> None:
        """Open a store, made when it is not there.

        Raises:
            UserError: it was written in another format, or cannot be written.
        """
        self.root = root
        try:
            root.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._check_format()
            root.chmod(0o700)
        except OSError as error:
            kind = DiskError if error.errno in DISK_ERRORS else UserError
            raise kind(
                f"cannot use the store {str(root)!r}: {error.strerror}; "
                "give another with --store or MOORING_STORE"
            ) from error

    def _check_format(self) -> None:
        # The mark is a store's first file, so what was seen before it was looked for is a store's
        # whenever it is there.
        seen = [p.name for p in self.root.iterdir()]
        mark = self.root / "format.json"
        if not mark.exists():
            if any(name != _LOCK and not name.startswith(SCRATCH) for name in seen):
                raise UserError(
                    f"{str(self.root)!r} is not empty and not a store; give another --store"
                )
            with filelock.FileLock(self.root / _LOCK):
                if not mark.exists():
                    write_whole(mark, json.dumps({"format": FORMAT}).encode())
        try:
            found = json.loads(mark.read_text())["format"]
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{str(mark)!r} is damaged; give another --store") from error
        if found != FORMAT:
            raise UserError(
                f"the store {str(self.root)!r} has format {found}, this version reads {FORMAT}; "
                "give another with --store or MOORING_STORE"
            )

    def read(self, stage: str, key: str) -> Record | None:
        """A record, or None when it is not there.

        Raises:
            StoreError: the file is damaged.
            DiskError: it is there and cannot be read.
        """
        path = self._file(stage, key)
        try:
            envelope = json.loads(path.read_bytes())
            value = envelope["value"]
            if envelope["sum"] != _sum(value):
                raise ValueError("its checksum does not match")
            return Record(value, envelope["seconds"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, IsADirectoryError) as error:
            what = error.strerror if isinstance(error, OSError) else error
            raise StoreError(
                f"the store's file {str(path)!r} is damaged ({what}); "
                "`mooring store gc --damaged` removes such files, and they are made again"
            ) from error
        except OSError as error:
            raise DiskError(f"cannot read {str(path)!r}: {error.strerror}") from error

    def write(self, stage: str, key: str, value: Any, seconds: float) -> None:
        """Keep a record, in the place of one that is there."""
        self._put(self._file(stage, key), value, seconds)

    @staticmethod
    def _put(path: Path, value: Any, seconds: float) -> None:
        envelope = {"sum": _sum(value), "seconds": round(seconds, 4), "value": value}
        write_whole(path, json.dumps(envelope, ensure_ascii=True).encode())

    def weights(self, key: str) -> Path | None:
        """Folder of a model's weights, or None when they are not there."""
        folder = self._folder(key)
        try:
            os.utime(folder)  # `gc` drops what was used least recently
        except FileNotFoundError:
            return None
        return folder

    @contextmanager
    def new_weights(self, key: str) -> Iterator[Path]:
        """An empty folder to write weights into; it takes its place when the block ends."""
        place = self._folder(key)
        place.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=place.parent, prefix=SCRATCH))
        try:
            yield scratch
            with suppress(FileExistsError):  # somebody made the same meanwhile
                _move(scratch, place)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def forget(self, stage: str, key: str) -> None:
        """Drop a record and the weights that it stands for: they are made again."""
        self._file(stage, key).unlink(missing_ok=True)
        remove(self._folder(key))

    def lock(self, key: str) -> filelock.BaseFileLock:
        """Held while a record is being made, so that nobody else makes it too."""
        folder = self.root / "locks"
        folder.mkdir(exist_ok=True)
        return filelock.FileLock(folder / f"{key}.lock")

    def timings(self) -> dict[str, float]:
        """Mean seconds of each stage over all recorded runs."""
        record = self.read("timings", "all")
        found = {} if record is None else record.value
        return {stage: seconds / n for stage, (n, seconds) in found.items() if n}

    def add_timings(self, made: Mapping[str, int], seconds: Mapping[str, float]) -> None:
        """Add a run's timings to those of the runs before."""
        with self.lock("timings"):
            record = self.read("timings", "all")
            found = {} if record is None else dict(record.value)
            for stage, n in made.items():
                before_n, before = found.get(stage, (0, 0.0))
                found[stage] = (before_n + n, before + seconds.get(stage, 0.0))
            self._put(self._file("timings", "all"), found, 0.0)

    def usage(self) -> list[Usage]:
        """What every stage takes."""
        found = []
        for folder in sorted(p for p in self.root.iterdir() if p.is_dir() and p.name != "locks"):
            count = sum(not p.name.startswith(SCRATCH) for p in folder.glob("*/*"))
            found.append(Usage(folder.name, count, _size(folder)))
        return found

    def collect(self, budget: int, *, idle: float = _ABANDONED_S) -> int:
        """Drop weights, least recently used first, until they fit; gives back bytes freed.

        Records stay: they are small, and a stored reply is never generated again. Weights that
        somebody is making stay too.

        Args:
            budget: Bytes of weights to keep.
            idle: Seconds since their last use in which weights stay, whatever the budget: another
                process may be reading them.
        """
        found = [p for p in (self.root / "weights").glob("*/*") if not p.name.startswith(SCRATCH)]
        used = {p: since for p in found if (since := _changed(p)) is not None}
        sizes = {p: _size(p) for p in used}
        total, freed = sum(sizes.values()), 0
        for folder in sorted(used, key=lambda p: used[p]):
            if total - freed <= budget:
                break
            if time.time() - used[folder] >= idle and self._drop(folder):
                freed += sizes[folder]
        for left in self._unfinished():
            # What a killed run was writing; one that is still running is younger than that.
            since = _changed(left)
            if since is not None and time.time() - since > _ABANDONED_S:
                remove(left)
        return freed

    def _drop(self, folder: Path) -> bool:
        """Remove a model's weights unless they are being made; moved away first, as a whole."""
        doomed = folder.with_name(f"{SCRATCH}{folder.name}")
        try:
            with self.lock(folder.name).acquire(blocking=False):
                remove(doomed)  # of a removal that was killed
                folder.rename(doomed)
        except (filelock.Timeout, FileNotFoundError):
            return False  # somebody makes them, or has removed them
        remove(doomed)
        return True

    def _unfinished(self) -> list[Path]:
        """Everything in the store that is being written or removed, or was when it was killed."""
        return [
            Path(place, name)
            for place, folders, files in os.walk(self.root)
            for name in [*folders, *files]
            if name.startswith(SCRATCH)
        ]

    def remove_damaged(self) -> int:
        """Remove records that cannot be read; gives back how many."""
        removed = 0
        for path in self.root.glob("*/*/*.json"):
            try:
                self.read(path.parent.parent.name, path.stem)
            except DiskError:
                raise  # not this file's fault
            except UserError:
                remove(path)
                removed += 1
        return removed

    def _file(self, stage: str, key: str) -> Path:
        return self.root / stage / key[:2] / f"{key}.json"

    def _folder(self, key: str) -> Path:
        return self.root / "weights" / key[:2] / key


def _move(folder: Path, place: Path) -> None:
    """Move a folder to where none is.

    Raises:
        FileExistsError: one is there.
    """
    try:
        folder.rename(place)
    except OSError as error:
        if error.errno == errno.ENOTEMPTY:  # Linux says this where POSIX allows either
            raise FileExistsError(error.errno, error.strerror, str(place)) from error
        raise


def _size(folder: Path) -> int:
    """Bytes of all files below a folder; what vanishes meanwhile counts nothing."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += Path(place, name).stat().st_size
    return total


def _changed(path: Path) -> float | None:
    """When something was last changed, in seconds; None when it is gone."""
    with suppress(FileNotFoundError):
        return path.lstat().st_mtime
    return None


def remove(path: Path) -> None:
    """Remove a file or a whole folder, which somebody else may be removing too."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sum(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


class StoreError(UserError):
    """The store itself is at fault, not what is to be kept in it."""


class DiskError(StoreError):
    """The disk is full or failing: nothing was overwritten, and the run can be continued."""

    exit_code = 4


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    try:
        _write_whole(path, content)
    except OSError as error:
        raise DiskError(
            f"cannot write {str(path)!r}: {error.strerror}; free some space "
            "(`mooring store gc`) and run the same command again"
        ) from error


def _write_whole(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=SCRATCH)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise
