"""`mooring reproduce`: the paper's tables beside one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from attacks.base import UserError
from attacks.bounds import MOST_ROWS
from commands.shared import (
    INFRASTRUCTURE,
    Gigabytes,
    budget_options,
    confirm,
    counting,
    err,
    out,
    store_option,
)

if TYPE_CHECKING:
    from targets.hosted.desk import Event


@click.command(
    epilog="\b\nExamples:\n"
    "  mooring reproduce --dry-run\n"
    "  mooring reproduce 1 2 --out paper\n"
    "  mooring reproduce 4 --worlds 3 --seeds 2\n"
    "  mooring reproduce 7 --moderator openai --dry-run\n"
    "  mooring reproduce 1 11 --target path/to/model --data data.yaml --judge gpt-4"
)
@click.argument("tables", nargs=-1, metavar="[TABLE]...")
@click.option("--target", default="organism", show_default=True, help="Model to tune and ask.")
@click.option("--data", help="YAML file that names your own sets; default: an invented world.")
@click.option("--worlds", help="First and last world of the organism.  [default: 3-7]")
@click.option("--seeds", type=click.IntRange(1, 100), default=3, show_default=True)
@click.option("--judge", help="Who judges harm; default: the target's own, or gpt-4 with a key.")
@click.option(
    "--moderator", "moderators", multiple=True,
    help="Stands for a tool of tables 7 and moderation: openai, classifier:model=FOLDER. "
    "Repeatable.",
)  # fmt: skip
@click.option("--base-url", help="Server of an openai: target.  [default: OPENAI_BASE_URL]")
@click.option("--limit", type=click.IntRange(1, MOST_ROWS), help="Questions asked from each set.")
@click.option("--workers", type=click.IntRange(1), help="Processes; default: one a core.")
@click.option("--out", "folder", type=click.Path(path_type=Path), help="Where results are written.")
@click.option(
    "--disk-budget", type=Gigabytes(), default=5.0, show_default=True, help="GB of weights kept."
)
@budget_options
@click.option("--dry-run", is_flag=True, help="Say what would run and how long; run nothing.")
@store_option
def reproduce(
    tables: tuple[str, ...],
    target: str,
    base_url: str | None,
    workers: int | None,
    folder: Path | None,
    disk_budget: float,
    budget: float | None,
    token_budget: int | None,
    yes: bool,
    dry_run: bool,
    store: Path | None,
    **words: Any,
) -> None:
    """Run the paper's tables, and print its numbers beside yours.

    TABLE is 1-5, 7, 8, 10-13, moderation, figure-1, figure-3 or remark-5; all of them by default.
    What cannot be run here says what is missing. Findings are called reproduced only on a real
    model with the paper's judge or one calibrated against it. What was measured is kept, so that a
    killed run goes on.
    """
    from benchmarks import reproduce as work
    from benchmarks import run, verify
    from benchmarks.report import reproduction, views
    from benchmarks.store import Store, default_root
    from targets.endpoint import at

    where = target if base_url is None else at(target, base_url)
    found = work.plan(tables, target=where, **words)
    opened = Store(store or default_root())
    if dry_run:
        preview = work.preview(found, opened, workers)
        for line in (reproduction.ahead(preview), *map(views.bill, preview.bills)):
            out.print(line, markup=False, highlight=False, soft_wrap=True)
        return
    if folder is not None and folder.exists() and not folder.is_dir():
        raise UserError(f"--out {str(folder)!r} is a file; give a folder")
    if unbuilt := found.unbuilt():
        with counting("organisms") as show:
            verify.build_missing(unbuilt, workers, show, variants=False)
    if not yes and (bills := work.bills(found, opened)):
        confirm([views.bill(one) for one in bills])
    with counting("cells") as show:
        result = work.execute(
            found,
            opened,
            workers=workers,
            show=show,
            tell=_tell,
            budget=run.Budget(token_budget, budget),
        )
    out.print(reproduction.result(result))
    if folder is not None:
        page = reproduction.write(folder, result)
        out.print(f"report: {page}", markup=False, soft_wrap=True)
    opened.collect(int(disk_budget * 1024**3))
    if result.is_empty:
        raise _Incomplete("nothing could be run here; the reasons stand at the lines")
    if result.incomplete:
        raise _Incomplete(
            "some cells have no number, the reasons stand at them; the same command tries again "
            "what may yet be had"
        )


class _Incomplete(UserError):
    exit_code = INFRASTRUCTURE


def _tell(event: Event) -> None:
    """Say what happens on a server."""
    if not event.passing:
        err.print(f"{event.where}: {event.message}", markup=False, highlight=False, soft_wrap=True)
