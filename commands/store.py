"""`mooring store`: what is kept between runs."""

from __future__ import annotations

from pathlib import Path

import click

from commands.shared import Gigabytes, out, store_option


@click.group()
def store() -> None:
    """What is kept between runs."""


@store.command()
@click.option(
    "--keep", type=Gigabytes(), default=0.0, show_default=True, help="GB of weights to keep."
)
@click.option("--damaged", is_flag=True, help="Only remove files that cannot be read.")
@store_option
def gc(keep: float, damaged: bool, store: Path | None) -> None:
    """Free disk: drop model weights, least recently used first; replies and scores stay."""
    from benchmarks.store import Store, default_root

    opened = Store(store or default_root())
    removed = opened.remove_damaged()
    freed = 0 if damaged else opened.collect(int(keep * 1024**3), idle=0)
    out.print(f"removed {removed} damaged files, freed {freed / 1e6:.1f} MB of weights")
    for usage in opened.usage():
        out.print(f"  {usage.stage}: {usage.records} records, {usage.size / 1e6:.1f} MB")
