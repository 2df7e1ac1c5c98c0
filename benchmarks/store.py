"""What is kept between runs: every stage's output under the key of its inputs.

A record is written beside its place and moved into it, so a kill at any moment leaves either
the whole record or none. Texts live here and nowhere else; the folder is readable by its owner
only.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import filelock
import platformdirs

from attacks.base import UserError

_SCRATCH = ".new-"
"""Begins the name of everything that is being written."""
_ABANDONED_S = 3600
"""Seconds after which something unfinished is taken for left behind."""
FORMAT = 1
"""Layout of the store; a store of another layout is never touched."""


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
            root.chmod(0o700)
            self._check_format()
        except OSError as error:
            raise UserError(
                f"cannot use the store {str(root)!r}: {error.strerror}; "
                "give another with --store or MOORING_STORE"
            ) from error

    def _check_format(self) -> None:
        mark = self.root / "format.json"
        if not mark.exists():
            if any(self.root.iterdir()):
                raise UserError(
                    f"{str(self.root)!r} is not empty and not a store; give another --store"
                )
            _write(mark, json.dumps({"format": FORMAT}).encode())
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
            UserError: the file is damaged.
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
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"the store's file {str(path)!r} is damaged ({error}); "
                "`mooring store gc --damaged` removes such files, and they are made again"
            ) from error

    def write(self, stage: str, key: str, value: Any, seconds: float) -> None:
        """Keep a record; a record that is there already stays as it is."""
        path = self._file(stage, key)
        if not path.exists():
            self._put(path, value, seconds)

    @staticmethod
    def _put(path: Path, value: Any, seconds: float) -> None:
        envelope = {"sum": _sum(value), "seconds": round(seconds, 4), "value": value}
        _write(path, json.dumps(envelope, ensure_ascii=True).encode())

    def weights(self, key: str) -> Path | None:
        """Folder of a model's weights, or None when they are not there."""
        folder = self._folder(key)
        if not folder.is_dir():
            return None
        os.utime(folder)  # `gc` drops what was used least recently
        return folder

    @contextmanager
    def new_weights(self, key: str) -> Iterator[Path]:
        """An empty folder to write weights into; it takes its place when the block ends."""
        place = self._folder(key)
        place.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=place.parent, prefix=_SCRATCH))
        try:
            yield scratch
            if not place.exists():
                scratch.rename(place)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

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
            files = [p for p in folder.rglob("*") if p.is_file()]
            count = len(list(folder.glob("*/*")))
            found.append(Usage(folder.name, count, sum(p.stat().st_size for p in files)))
        return found

    def collect(self, budget: int) -> int:
        """Drop weights, least recently used first, until they fit; gives back bytes freed.

        Records stay: they are small, and a stored reply is never generated again.
        """
        folders = sorted((self.root / "weights").glob("*/*"), key=lambda p: p.stat().st_mtime)
        sizes = {p: sum(f.stat().st_size for f in p.rglob("*")) for p in folders}
        total, freed = sum(sizes.values()), 0
        for folder in folders:
            if total - freed <= budget:
                break
            shutil.rmtree(folder)
            freed += sizes[folder]
        for left in self.root.rglob(f"{_SCRATCH}*"):
            # What a killed run was writing; one that is still running is younger than that.
            if time.time() - left.lstat().st_mtime > _ABANDONED_S:
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        return freed

    def remove_damaged(self) -> int:
        """Remove records that cannot be read; gives back how many."""
        removed = 0
        for path in self.root.glob("*/*/*.json"):
            try:
                self.read(path.parent.parent.name, path.stem)
            except UserError:
                path.unlink()
                removed += 1
        return removed

    def _file(self, stage: str, key: str) -> Path:
        return self.root / stage / key[:2] / f"{key}.json"

    def _folder(self, key: str) -> Path:
        return self.root / "weights" / key[:2] / key


def _sum(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


class DiskError(UserError):
    """The disk is full or failing: nothing was overwritten, and the run can be continued."""

    exit_code = 4


def _write(path: Path, content: bytes) -> None:
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
    handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=_SCRATCH)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise
