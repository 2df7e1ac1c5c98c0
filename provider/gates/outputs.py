"""Where reports go: one to the terminal, any number to files, each file whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from attacks.base import UserError
from benchmarks.store import write_whole

SUFFIXES: Mapping[str, str] = {
    "text": ".txt",
    "json": ".json",
    "html": ".html",
    "junit": ".junit.xml",
    "sarif": ".sarif",
}
"""Ending of a file by its format."""
Render = Callable[[], str]


def planned(
    formats: Sequence[str],
    outs: Sequence[Path],
    folder: Path | None,
    stem: str,
    can: Sequence[str],
    inputs: Sequence[Path | None] = (),
) -> dict[Path | None, str]:
    """Which format goes where; None is the terminal.

    Args:
        formats: In the order of the files; one more than files goes to the terminal.
        outs: Files.
        folder: Where every format goes, beside those.
        stem: Name of the files there.
        can: Formats that there are.
        inputs: What is read, which nothing may be written over.

    Raises:
        UserError: more than one would go to the terminal, a file has no format, its folder is not
            there, or something stands in its place that is no file, or is read.
    """
    if not formats and outs:
        formats = [_format_of(out, can) for out in outs]
    if len(outs) > len(formats):
        raise UserError(f"{len(outs)} files for {len(formats)} formats; give --format for each")
    if len(formats) - len(outs) > 1:
        raise UserError("one format goes to the terminal; give each other --format an --out")
    found: dict[Path | None, str] = dict(zip(outs, formats, strict=False))
    if len(found) < len(outs):
        raise UserError("two formats would go to the same --out")
    if len(formats) > len(outs):
        found[None] = formats[-1]
    elif None not in found:
        found[None] = "text"
    for out in outs:
        if out.is_dir() or not out.parent.is_dir():
            raise UserError(f"--out {str(out)!r} cannot be written: it is a folder, or is in none")
    if folder is not None:
        if folder.exists() and not folder.is_dir():
            raise UserError(f"--out-dir {str(folder)!r} is not a folder")
        found |= {folder / f"{stem}{SUFFIXES[name]}": name for name in can}
    for path in found:
        if path is not None and path.exists():
            # A report takes the place of whatever has its name: a device or a pipe would be gone.
            if not path.is_file():
                raise UserError(f"{str(path)!r} is no file, and would be replaced by one")
            if any(one is not None and one.exists() and path.samefile(one) for one in inputs):
                raise UserError(f"{str(path)!r} is read, and would be written over")
    return found


def write(where: Mapping[Path | None, str], render: Mapping[str, Render]) -> str:
    """Write the files; what is for the terminal comes back.

    Raises:
        DiskError: a file cannot be written.
    """
    made = {name: render[name]() for name in set(where.values())}
    for path, name in where.items():
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, made[name].encode())
    return made[where[None]]


def readers(level: str, show_text: bool) -> None:
    """Look whether a reader may see what is asked for.

    Raises:
        UserError: texts are for the provider only.
    """
    if show_text and level == "customer":
        raise UserError("--show-text is for --level provider")


def _format_of(out: Path, can: Sequence[str]) -> str:
    """By the file's ending."""
    for name in sorted(can, key=lambda name: -len(SUFFIXES[name])):
        if out.name.endswith(SUFFIXES[name]):
            return name
    if out.suffix == ".xml" and "junit" in can:
        return "junit"
    raise UserError(
        f"--out {str(out)!r}: which --format? Its ending is none of {', '.join(SUFFIXES.values())}"
    )
