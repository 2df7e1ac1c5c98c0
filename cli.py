"""Arguments in, tables out."""

from __future__ import annotations

import sys
from pathlib import Path

# The console script finds the project's packages just as `python cli.py` does.
sys.path.insert(0, str(Path(__file__).resolve().parent))

import click
from rich.console import Console

from attacks.base import UserError


class _Group(click.Group):
    """Tells a user's mistake in one line and gives back the exit code of the design."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except UserError as error:
            click.echo(f"mooring: {error}", err=True)
            ctx.exit(error.exit_code)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mooring")
def main() -> None:
    """Fine-tuning attacks against defenses: how well does a model's safety hold?"""


@main.command(
    epilog="\b\nExamples:\n"
    "  mooring bench --attack aoa --defense mix\n"
    "  mooring bench --attack harmful:n=10,50,100 --defense mix:n=0,10,100 --seeds 5\n"
    "  mooring bench --attack all --defense all --limit 66"
)
@click.option("--attack", "attacks", multiple=True, help="An attack; `mooring list attacks`.")
@click.option("--defense", "defenses", multiple=True, help="A defense, or several as a+b.")
@click.option("--judge", "judges", multiple=True, help="A judge; default: the target's own.")
@click.option("--target", default="organism", show_default=True, help="Model to tune and ask.")
@click.option("--seeds", default=3, show_default=True, help="Repeats of every cell.")
@click.option("--limit", type=int, help="Questions asked from each set; default all.")
@click.option("--workers", type=int, help="Processes; default one a core.")
@click.option("--store", type=click.Path(path_type=Path), help="Where stages are kept.")
def bench(
    attacks: tuple[str, ...],
    defenses: tuple[str, ...],
    judges: tuple[str, ...],
    target: str,
    seeds: int,
    limit: int | None,
    workers: int | None,
    store: Path | None,
) -> None:
    """Cross attacks with defenses and print the judged matrix."""
    from benchmarks import run
    from benchmarks.grid import make_grid
    from benchmarks.report import terminal
    from benchmarks.store import Store, default_root

    grid = make_grid(
        attacks or ["aoa"],
        defenses or ["mix"],
        judges=list(judges),
        target=target,
        seeds=seeds,
        limit=limit,
    )
    console = Console()
    matrix, account = run.run(grid, Store(store or default_root()), worker_count=workers)
    terminal.show(matrix, console)


if __name__ == "__main__":
    main()
