"""From bytes to text: one encoding for a whole file, told and never guessed."""

from __future__ import annotations

import codecs
import re
from typing import Final

from attacks.base import UserError

_BINARY: Final = {
    b"\x1f\x8b": "compressed by gzip",
    b"PK\x03\x04": "a zip archive",
    b"\x28\xb5\x2f\xfd": "compressed by zstd",
    b"BZh": "compressed by bzip2",
    b"\xfd7zXZ": "compressed by xz",
    b"PAR1": "Parquet, which is read as hf:FOLDER",
    b"ARROW1": "Arrow, which is read as hf:FOLDER",
}
_PAGES: Final = {
    re.compile(r"version https://git-lfs"): "a pointer of Git LFS: run `git lfs pull` for the file",
    re.compile(r"<(!doctype|html)", re.I): "a web page, perhaps one that asks to log in: download "
    "the file itself",
}
_WIDE: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # also the first half of UTF-32's


def decoded(data: bytes, encoding: str = "") -> str:
    """The text of a file, without a byte order mark.

    Args:
        data: the whole file.
        encoding: empty for strict UTF-8; a name, such as cp1252, for what is not.

    Raises:
        UserError: the bytes are no text of that encoding, or no text at all.
    """
    for start, said in _BINARY.items():
        if data.startswith(start):
            raise UserError(f"it is {said}; unpack it, and give the text file that was in it")
    try:
        name = codecs.lookup(encoding or "utf-8").name
    except LookupError:
        raise UserError(f"no encoding {encoding!r}; the usual ones are utf-8 and cp1252") from None
    if data.startswith(_WIDE) and not name.startswith(("utf-16", "utf-32")):
        raise UserError("it is UTF-16; " + _convert("UTF-16"))
    try:
        text = data.decode(name)
    except UnicodeError as error:
        at = error.start if isinstance(error, UnicodeDecodeError) else 0
        raise UserError(_why(data, name, at)) from None
    if "\0" in text:
        raise UserError(f"it is no text: a NUL stands at character {text.index(chr(0))}")
    text = text.removeprefix("\ufeff")
    for begins, said in _PAGES.items():
        if begins.match(text.lstrip()):
            raise UserError(f"it is {said}")
    return text


def _why(data: bytes, name: str, at: int) -> str:
    line = data.count(b"\n", 0, at) + 1
    said = f"the byte 0x{data[at]:02x} at offset {at} (line {line}) is not {name}"
    if name != "utf-8":
        return f"{said}; give the encoding that the file was written in"
    if any(byte >= 0x80 for byte in data[:at]):
        return (
            f"{said}, while what stands before it is: the file mixes encodings. Convert each part "
            "by itself to UTF-8 before they are joined"
        )
    return f"{said}. If it was written on Windows, {_convert('cp1252')}, or give encoding=cp1252"


def _convert(name: str) -> str:
    return f"convert it with `iconv -f {name} -t UTF-8 FILE > NEW`"
