"""Pictures by what they hold: a row names one by its hash, and only here is known where it lies.

So no name of a file reaches a defense, a key or a report. A name in a data set is a customer's
text: it is looked for below the folder that the user gives, and nowhere else.
"""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath
from typing import Final

from attacks.base import UserError
from attacks.sets.base import Fault

MARK: Final = "<image>"
"""What stands for a picture in the text of LLaVA-Instruct."""
LARGEST: Final = 2**26
"""Bytes of one picture's file.  # ours: COCO's, which LLaVA-Instruct shows, have a thousandth"""
_places: dict[str, Path] = {}


def place(folder: Path, name: str) -> Path | None:
    """Where a picture of a data set lies; None where there is no such file.

    Raises:
        Fault: the name leads out of the folder, by its parts or by a link.
    """
    inner = PurePosixPath(name)
    out = Fault("image leads out of the images' folder")
    if inner.is_absolute() or ".." in inner.parts or "\0" in name:
        raise out
    try:
        found = (folder / inner).resolve()
        if not found.is_relative_to(folder.resolve()):
            raise out
        return found if found.is_file() else None
    except (OSError, RuntimeError):  # a name too long for the file system, a ring of links
        return None


def known(path: Path) -> str:
    """The SHA-256 of a picture's file, by which it is found again in this process.

    Raises:
        UserError: it cannot be read, or is too large.
    """
    digest = hashlib.sha256(_bytes(path)).hexdigest()
    _places[digest] = path
    return digest


def content(sha256: str) -> bytes:
    """What a picture's file holds.

    Raises:
        UserError: nobody said where it lies, it cannot be read, or it has changed since.
    """
    if sha256 not in _places:
        raise UserError(f"nobody has said where the image {sha256[:12]} lies")
    data = _bytes(_places[sha256])
    if hashlib.sha256(data).hexdigest() != sha256:
        raise UserError(f"the file of the image {sha256[:12]} has changed since it was read")
    return data


def _bytes(path: Path) -> bytes:
    try:
        if (size := path.stat().st_size) > LARGEST:
            raise UserError(f"an image has {size:,} bytes, and at most {LARGEST:,} are read")
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"an image cannot be read: {error.strerror}") from None
