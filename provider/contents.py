"""Contents of files under their own hash: no name that a client gave is ever a path."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple


class Content(NamedTuple):
    """Something that is kept."""

    sha256: str
    size: int


class Contents:
    """A folder of contents."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = threading.Lock()
        """Held while a content and the record that names it come or go together."""
        folder.mkdir(mode=0o700, exist_ok=True)

    def keep(self, chunks: Iterable[bytes]) -> Content:
        """Write a content down; a kill leaves the whole of it or none under its name."""
        hashed, size = hashlib.sha256(), 0
        handle, scratch = tempfile.mkstemp(dir=self.folder, prefix=".new-")
        with os.fdopen(handle, "wb") as file:
            for chunk in chunks:
                hashed.update(chunk)
                size += file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, self.path(hashed.hexdigest()))
        return Content(hashed.hexdigest(), size)

    def path(self, sha256: str) -> Path:
        """Where a content is, by a hash that was computed here."""
        return self.folder / sha256

    def keep_only(self, wanted: set[str]) -> None:
        """Remove everything else, what a kill left half written included."""
        for path in self.folder.iterdir():
            if path.name not in wanted:
                path.unlink()
