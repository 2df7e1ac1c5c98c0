"""What every command shares: consoles, exit codes, options."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console

from attacks.base import UserError

DONE, FAILED, USAGE, INCONCLUSIVE, INFRASTRUCTURE = range(5)
"""Exit codes of every command."""

out = Console()
err = Console(stderr=True)


class Gigabytes(click.FloatRange):
    """A finite size, at least 0."""

    name = "GB"

    def __init__(self) -> None:
        super().__init__(min=0)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """A finite number."""
        found = float(super().convert(value, param, ctx))
        if not math.isfinite(found):
            self.fail(f"{value!r} is not a number of GB.", param, ctx)
        return found


store_option = click.option(
    "--store", type=click.Path(path_type=Path), help="Where stages are kept between runs."
)


def budget_options(command: Any) -> Any:
    """What calls may take, and whether to ask first."""
    for option in (
        click.option("--yes", is_flag=True, help="Send calls without asking first."),
        click.option("--token-budget", type=click.IntRange(0), help="Most tokens for them."),
        click.option("--budget", type=click.FloatRange(0), help="Most dollars for calls."),
    ):
        command = option(command)
    return command


def gate_outputs(formats: list[str]) -> Callable[[Any], Any]:
    """How a gate's report is written, and for whom."""

    def with_options(command: Any) -> Any:
        for option in (
            click.option("--show-text", is_flag=True, help="Put texts into the provider's report."),
            click.option(
                "--level",
                type=click.Choice(["provider", "customer"]),
                default="provider",
                show_default=True,
                help="Who reads it: a customer learns no score, threshold or detector.",
            ),
            click.option(
                "--out-dir", type=click.Path(path_type=Path), help="Write every format there."
            ),
            click.option(
                "--out", "outs", multiple=True, type=click.Path(path_type=Path, dir_okay=False),
                help="A file for each --format, in their order. Repeatable.",
            ),
            click.option(
                "--format", "formats", multiple=True, type=click.Choice(formats),
                help="Repeatable.  [default: text, or what --out ends in]",
            ),
        ):  # fmt: skip
            command = option(command)
        return command

    return with_options


def publish(where: Any, render: Any, code: int, line: str) -> NoReturn:
    """Write a gate's reports and leave with its exit code; a machine's report leaves a line too."""
    from provider.gates import outputs

    click.echo(outputs.write(where, render), nl=False)
    if code and where[None] != "text":
        click.echo(f"mooring: {line}", err=True)
    if code == INFRASTRUCTURE:
        click.echo("mooring: some part could not be run; the same command tries it again", err=True)
    raise SystemExit(code)


LONG = 50
"""Steps of a work from which on a log is told of it.  # ours: fewer are over in a minute"""


def counting(what: str) -> AbstractContextManager[Callable[[int, int], None]]:
    """A progress bar where somebody watches, told how much of how much is done; else some lines."""
    if not err.is_terminal:
        return nullcontext(_tenths(what))
    from benchmarks.report import views

    return views.counter(what, err)


def _tenths(what: str) -> Callable[[int, int], None]:
    """Writes a line into a log for each tenth of what takes long."""
    told = 0

    def tell(done: int, total: int) -> None:
        nonlocal told
        if total >= LONG and (tenth := 10 * done // total) > told:
            told = tenth
            err.print(f"{what}: {done:,} of {total:,}", markup=False, highlight=False)

    return tell


def confirm(bills: list[str]) -> None:
    """Ask before anything is sent that may cost money."""
    for line in bills:
        click.echo(line, err=True)
    agree("Send them?", "add --yes to send these calls, perhaps with a --budget")


def agree(question: str, how: str) -> None:
    """Go on only if a person says so, or said so in the command."""
    if not sys.stdin.isatty():
        raise UserError(how)
    if not click.confirm(question, err=True):
        raise UserError("nothing was done")
