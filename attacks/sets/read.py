"""Read a file, a folder or a Hub id as rows or prompts: `read("alpaca_data.json")`.

Source:  the formats of Qi et al. 2023 (arXiv 2310.03693, §4) and of the sets that later work uses;
         each is named where it is read.
Differs: what cannot be read is refused with its line, where the published loaders guess, take a
         header for a prompt, or leave rows out in silence.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from attacks.base import UserError
from attacks.sets import hub
from attacks.sets.base import Options, Set, Table
from attacks.sets.collected import collected, distinct
from attacks.sets.decoding import decoded
from attacks.sets.formats import KNOWN
from attacks.sets.tables import table_of
from attacks.sets.templates import template_of

LARGEST: Final = 2**31
"""Bytes. # ours: a file is read as a whole; the paper's largest, LLaVA-Instruct, has a tenth."""
_PARTS: Final = (".csv", ".jsonl", ".json", ".txt")
_ABOUT: Final = ("readme", "license", "licence", "notice", "citation")


def read(
    where: str | Path,
    *,
    template: str = "",
    images: Path | None = None,
    encoding: str = "",
    column: str = "",
) -> Set:
    """Read a set of rows or prompts; its format is told by its content.

    Args:
        where: a file; a folder with one file a category (HEx-PHI); or what `hub.fetched` takes.
        template: what instruction rows are written in: `alpaca`, `dolly`, `plain`; empty for the
            format's own; formats that are no instructions take `plain` only.
        images: the folder of the images, when every one must be there.
        encoding: what the file is written in; empty for UTF-8, with a byte order mark or without.
        column: the field that holds the prompts, by name; of a CSV without a header, by number.

    Raises:
        UserError: the set cannot be had or is not what a known format is; it tells where, and
            never the text of a row.
    """
    options = Options(template_of(template), images)
    if isinstance(where, str) and where.startswith("hf:"):
        with _named(where):
            table, sha256 = hub.fetched(where, column)
            return collected(where, table, sha256, options, column)
    path = Path(where)
    if path.is_dir():
        return _folder(path, options, encoding, column)
    with _named(str(path)):
        return _file(path, options, encoding, column)


@contextmanager
def _named(where: str) -> Iterator[None]:
    """Say of what a mistake was made."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def elements(where: str) -> tuple[Table, str]:
    """The elements of a file or of the Hub's rows, whatever they are, and the hash of them all.

    Raises:
        UserError: it cannot be had, or is no text that holds any.
    """
    with _named(where):
        return hub.fetched(where) if where.startswith("hf:") else _elements(Path(where), "", "")


def _file(path: Path, options: Options, encoding: str, column: str) -> Set:
    table, sha256 = _elements(path, encoding, column)
    options = options._replace(beside=path.parent)
    return collected(path.name, table, sha256, options, column)


def _elements(path: Path, encoding: str, column: str) -> tuple[Table, str]:
    data = _bytes(path)
    table = table_of(decoded(data, encoding), KNOWN, column)
    return table, hashlib.sha256(data).hexdigest()


def _bytes(path: Path) -> bytes:
    try:
        if (size := path.stat().st_size) > LARGEST:
            raise UserError(f"it has {size:,} bytes, and at most {LARGEST:,} are read; split it")
        return path.read_bytes()
    except FileNotFoundError:
        said = "there is no such file or folder; a set on the Hub is named hf:OWNER/NAME"
        raise UserError(said) from None
    except OSError as error:
        raise UserError(f"it cannot be read: {error.strerror}") from error


def _folder(path: Path, options: Options, encoding: str, column: str) -> Set:
    """One set of all files of the first kind that is there; a prompt's category is its file."""
    files = sorted(
        file
        for file in path.iterdir()
        if file.is_file() and not file.name.lower().startswith((".", *_ABOUT))
    )
    kinds = [kind for kind in _PARTS if any(file.suffix.lower() == kind for file in files)]
    if not kinds:
        raise UserError(
            f"{path}: the folder holds no {', '.join(_PARTS)} file; a folder of Parquet or Arrow "
            "files is read as hf:FOLDER"
        )
    chosen = [file for file in files if file.suffix.lower() == kinds[0]]
    parts = []
    for file in chosen:
        with _named(str(file)):
            parts.append(_file(file, options, encoding, column))
    formats = {part.format for part in parts}
    if len(formats) > 1:
        raise UserError(f"{path}: its files are of different formats: {', '.join(sorted(formats))}")
    prompts, again = distinct(
        prompt._replace(category=prompt.category or file.stem)
        for file, part in zip(chosen, parts, strict=True)
        for prompt in part.prompts
    )
    skipped = sum((Counter(part.skipped) for part in parts), Counter({"duplicate prompt": again}))
    rows = tuple(row for part in parts for row in part.rows)
    noted = sum((Counter(part.noted) for part in parts), Counter[str]())
    noted["duplicate row"] = len(rows) - len(set(rows))
    noted["other file"] = len(files) - len(chosen)
    digest = hashlib.sha256("".join(part.sha256 for part in parts).encode()).hexdigest()
    return Set(
        name=path.name,
        kind=parts[0].kind,
        format=parts[0].format,
        sha256=digest,
        rows=rows,
        prompts=prompts,
        images=tuple(image for part in parts for image in part.images),
        skipped=dict(+skipped),
        noted=dict(+noted),
    )
