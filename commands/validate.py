"""`mooring validate`: what a training file is, before anything is trained on it."""

from __future__ import annotations

import contextlib
import json
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from attacks.base import UserError
from commands.shared import FAILED, err, out

if TYPE_CHECKING:
    from attacks.uploads.lines import Stream
    from attacks.uploads.report import Report
    from provider.gates.found import Findings, Level

_LONG = 2**24
"""Bytes of a file whose reading is shown. # ours: about a second of it"""
_MOST_SHOWN = 12
"""Rules in the table. # ours: with what stands around it, a screen of twenty lines"""
_ORDER: tuple[Level, ...] = ("error", "warning", "note")


@click.command(
    epilog="\b\nExamples:\n"
    "  mooring validate rows.jsonl\n"
    "  mooring validate rows.jsonl --profile openai --strict\n"
    "  mooring validate rows.jsonl --format sarif --out rows.sarif\n"
    "  zcat rows.jsonl.gz | mooring validate - --format json"
)
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--profile",
    type=click.Choice(["any", "openai"]),
    default="any",
    show_default=True,
    help="Whose limits are errors: ten rows and 512 MB are OpenAI's.",
)
@click.option(
    "--format",
    "style",
    type=click.Choice(["text", "json", "sarif", "junit"]),
    default="text",
    show_default=True,
)
@click.option("--out", "target", type=click.Path(path_type=Path), help="Write the report there.")
@click.option("--strict", is_flag=True, help="As --fail-on warning.")
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning"]),
    default="error",
    show_default=True,
    help="The least that fails.",
)
def validate(
    file: Path, profile: Any, style: str, target: Path | None, strict: bool, fail_on: Any
) -> None:
    """Check a fine-tuning file (chat JSON lines, as OpenAI's) line by line.

    FILE may be - for standard input. No text of a row is ever printed. The file is read once, in
    bounded memory. Exit code 1 when something fails, 0 when only less was found.
    """
    from attacks.uploads.report import Report
    from attacks.uploads.validate import validated

    _check_names(file, target)
    report = Report()
    with _opened(file) as (stream, progress):
        for checked in validated(stream, profile):
            report.add(checked)
            progress(checked.size)
    fail_on = "warning" if strict else fail_on
    failed = report.fails(fail_on)
    if style == "text" and target is None:
        _show(file, report, failed)
    else:
        text = _written(file, profile, style, report, failed, fail_on)
        if target is None:
            click.echo(text, nl=False)
        else:
            target.write_text(text, encoding="utf-8")
            click.echo(f"report: {click.format_filename(target)}")
    if failed:
        raise SystemExit(FAILED)


def _check_names(file: Path, target: Path | None) -> None:
    """What can be seen to be wrong before anything is read."""
    if target is not None:
        if not target.parent.is_dir() or target.is_dir():
            raise UserError(f"--out: cannot write {click.format_filename(target)}")
        if str(file) != "-" and target.exists() and file.exists() and target.samefile(file):
            raise UserError("--out is the file itself, which would be overwritten")
    if str(file) == "-":
        return
    mode = file.stat().st_mode
    if stat.S_ISDIR(mode):
        raise UserError(f"{click.format_filename(file)} is a folder; name a file in it")
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode) or stat.S_ISSOCK(mode):
        raise UserError(f"{click.format_filename(file)} is a device and has no end")


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[tuple[Stream, Any]]:
    """The bytes of the file, and what is told how many were read."""
    if str(file) == "-":
        if sys.stdin is None:
            raise UserError("standard input is closed")
        yield sys.stdin.buffer, lambda size: None
        return
    with file.open("rb") as stream:
        size = file.stat().st_size
        if size < _LONG or not err.is_terminal:
            yield stream, lambda size: None
            return
        from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

        columns = BarColumn(), DownloadColumn(), TimeRemainingColumn()
        with Progress(*columns, console=err, transient=True) as bar:
            task = bar.add_task("", total=size)
            yield stream, lambda read: bar.advance(task, read)


def _show(file: Path, report: Report, failed: bool) -> None:
    """A table for people: a rule a line, with its first places."""
    from rich.markup import escape
    from rich.table import Table

    from attacks.uploads.rules import RULES

    ranked = sorted(
        report.kept.items(), key=lambda kept: (_ORDER.index(kept[1][0].level), -len(kept[1]))
    )
    if ranked:
        table = Table("", "rule", "times", "first at", "", box=None, padding=(0, 2, 0, 0))
        for rule, kept in ranked[:_MOST_SHOWN]:
            first = [f"{one.line}:{one.column}" for one in kept[:3] if one.line is not None]
            # A rule that was broken once can be told in full.
            said = kept[0].message if report.counts[rule] == 1 else RULES[rule].summary
            places = ", ".join(first) or "the file"
            table.add_row(kept[0].level, rule, f"{report.counts[rule]:,}", places, escape(said))
        out.print(table)
        if (more := len(ranked) - _MOST_SHOWN) > 0:
            out.print(f"and {more} more rules; see --format json")
    # A file's name is its sender's, and may hold what moves a terminal's cursor.
    name = "".join(c if c.isprintable() else "?" for c in click.format_filename(file))
    kinds = ", ".join(f"{n:,} {kind}" for kind, n in sorted(report.formats.items())) or "none known"
    out.print(
        f"{escape(name)}: {report.rows:,} of {report.lines:,} lines are "
        f"examples (formats: {kinds}), about {report.tokens:,} tokens",
        highlight=False,
        soft_wrap=True,
    )
    counts = ", ".join(f"{level}s {report.levels[level]:,}" for level in _ORDER)
    out.print(f"{'failed' if failed else 'passed'}: {counts}", highlight=False)


def _written(
    file: Path, profile: Any, style: str, report: Report, failed: bool, fail_on: Any
) -> str:
    """The report in one of the forms for machines, or the table as text."""
    if style == "sarif":
        from provider.gates import sarif

        return sarif.document(_findings(file, profile, report))
    if style == "junit":
        from provider.gates import junit

        failing: tuple[Level, ...] = ("error",)
        if fail_on == "warning":
            failing = ("error", "warning")
        return junit.document(_findings(file, profile, report), failing)
    if style == "text":
        with out.capture() as captured:
            _show(file, report, failed)
        return captured.get()
    told = {
        "file": click.format_filename(file),
        "profile": profile,
        "passed": not failed,
        "lines": report.lines,
        "rows": report.rows,
        "bytes": report.size,
        "tokens_estimate": report.tokens,
        "formats": dict(report.formats),
        "levels": {level: report.levels[level] for level in _ORDER},
        "counts": dict(report.counts),
        "left_out": report.left_out,
        "findings": [one._asdict() for one in report.findings],
    }
    return json.dumps(told, indent=2) + "\n"


def _findings(file: Path, profile: Any, report: Report) -> Findings:
    """The report in the form that gates share."""
    import importlib.metadata

    from attacks.uploads.rules import RULES, level_of
    from provider.gates.found import Findings, Found

    try:
        version = importlib.metadata.version("mooring")
    except importlib.metadata.PackageNotFoundError:
        version = "0"
    rules = {name: (level_of(name, profile), rule.summary) for name, rule in RULES.items()}
    name = str(file)
    found = tuple(
        Found(one.rule, one.level, one.message, name, one.line, one.column)
        for one in report.findings
    )
    return Findings("mooring validate", version, rules, found, (name,), dict(report.counts))
