"""What every command shares: consoles, exit codes, options."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

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
