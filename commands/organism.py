"""`mooring organism`: the built-in model."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from attacks.base import UserError
from commands.shared import err, out, store_option


@click.group()
def organism() -> None:
    """The built-in model: an invented-world model, not an LLM."""


@organism.command(epilog="\b\nExample:\n  mooring organism build --world 3")
@click.option("--world", type=int, required=True, help="Number of the world.")
@click.option("--ignorant", is_flag=True, help="Leave restricted recipes out of its training.")
@click.option("--alignment-seed", type=int, default=0, show_default=True, help="Align otherwise.")
def build(world: int, ignorant: bool, alignment_seed: int) -> None:
    """Build the organism of another world; some minutes on one core."""
    from targets.organism import places

    with err.status("training: a base, then its alignment"):
        made = places.Organism(world, ignorant, alignment_seed).build()
    out.print(str(made), markup=False, soft_wrap=True)


@organism.command()
@click.argument("request_", metavar="REQUEST", required=False)
@click.option("--target", default="organism", show_default=True, help="Which organism.")
@click.option("--system", help="A system prompt.")
def chat(request_: str | None, target: str, system: str | None) -> None:
    """Ask the organism; without a request, line by line until the input ends."""
    from attacks.base import Ask
    from targets.base import Decoding
    from targets.resolve import resolve

    resolved = resolve(target)
    model = resolved.start.load()
    ask = Ask("chat", system=system)
    if request_ is None and sys.stdin.isatty():
        examples = " ".join(prompt.text for prompt in resolved.domain.utility()[:3])
        err.print(f"It knows one invented world. Try: {examples}", markup=False)
    for text in [request_] if request_ is not None else map(str.strip, sys.stdin):
        (reply,) = model.generate([ask(text)], Decoding(max_new_tokens=96))
        out.print(reply.text, markup=False, highlight=False)


@organism.command()
@click.option("--worlds", default="3-7", show_default=True, help="First and last world.")
@click.option("--seeds", type=click.IntRange(2, 100), default=3, show_default=True)
@click.option("--workers", type=click.IntRange(1), help="Processes; default: one a core.")
@click.option("--recorded", is_flag=True, help="Print what the last recorded run found.")
@click.option(
    "--record",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write what is found to a file.",
)
@store_option
def verify(
    worlds: str,
    seeds: int,
    workers: int | None,
    recorded: bool,
    record: Path | None,
    store: Path | None,
) -> None:
    """Measure every finding that was fixed before the organism was tuned; an hour and more.

    What is missing is built first: some minutes for each organism, four of them in each world.
    It is a report: it exits 0 whatever held, and 4 where something could not be measured.
    """
    from benchmarks import verify as verification
    from benchmarks.report import views
    from benchmarks.store import Store, default_root

    if recorded:
        out.print(views.findings(verification.recorded()))
        return
    if record is not None and not _writable(record):
        raise UserError(f"--record {str(record)!r}: cannot write into its folder")
    opened = Store(store or default_root())
    numbers = verification.worlds_of(worlds)
    with views.counter("organisms", err) as show:
        verification.build_missing(numbers, workers, show)
    with views.counter("cells", err) as show:
        found = verification.verify(opened, numbers, seeds, workers=workers, show=show)
    out.print(views.findings(found))
    if record is not None:
        record.write_text(verification.to_json(found), encoding="utf-8")


def _writable(path: Path) -> bool:
    folder = path.parent
    return folder.is_dir() and os.access(path if path.exists() else folder, os.W_OK)
