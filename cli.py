"""Arguments in, tables out."""

from __future__ import annotations

import errno
import importlib.metadata
import os
import sys
from pathlib import Path
from typing import Any

# The console script finds the project's packages just as `python cli.py` does.
sys.path.insert(0, str(Path(__file__).resolve().parent))

import click
from rich.markup import escape
from rich.table import Table

from attacks.base import UserError
from commands.audit import audit
from commands.gates import gates
from commands.judge import judge
from commands.moderate import moderate
from commands.organism import organism
from commands.reproduce import reproduce
from commands.serve import serve
from commands.shared import (
    FAILED,
    INCONCLUSIVE,
    INFRASTRUCTURE,
    USAGE,
    Gigabytes,
    budget_options,
    confirm,
    err,
    out,
    store_option,
)
from commands.store import store
from commands.suites import suites
from commands.target import target
from commands.validate import validate

_MISTAKES = {
    errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.EEXIST,
    errno.ENOTEMPTY, errno.ENAMETOOLONG, errno.ELOOP,
}  # fmt: skip
"""Faults of files that somebody named wrongly; all others are the machine's."""


class _Group(click.Group):
    """Tells a user's mistake in one line, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            click.echo(f"mooring: {error}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("mooring: interrupted; the same command goes on where it stopped", err=True)
            ctx.exit(INFRASTRUCTURE)
        except OSError as error:
            from benchmarks.store import DISK_ERRORS

            if error.errno == errno.EPIPE:
                raise  # whoever reads our output has seen enough; click knows
            said = f"{error.strerror}: {error.filename}" if error.filename else str(error)
            said += "; make room and run the same command again" * (error.errno in DISK_ERRORS)
            click.echo(f"mooring: {said}", err=True)
            ctx.exit(USAGE if error.errno in _MISTAKES else INFRASTRUCTURE)


def _version() -> str:
    try:
        return importlib.metadata.version("mooring")
    except importlib.metadata.PackageNotFoundError:
        return "from a source tree that is not installed"


_RUN = click.Path(path_type=Path, exists=True, file_okay=False)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(_version())
def main() -> None:
    """Fine-tuning attacks against defenses: how well does a model's safety hold?"""
    if "LOCAL_RANK" in os.environ and (several := os.environ.get("WORLD_SIZE", "1")) != "1":
        # Each would run all of it, and wait for the others wherever it has something else to do.
        raise UserError(
            f"a launcher started this program {several} times; start it by itself, and give "
            f"--processes {several}: its trainings are launched then, and nothing else"
        )


@main.command(
    epilog="\b\nExamples:\n"
    "  mooring bench --attack aoa --defense mix\n"
    "  mooring bench --attack harmful:n=10,50,100 --defense mix:n=0,10,100 --seeds 5\n"
    "  mooring bench --attack all --defense all --limit 66\n"
    "  mooring bench --config runs/1f0c2a/run.yaml --dry-run"
)
@click.option("--attack", "attacks", multiple=True, help="An attack, or all. Repeatable.")
@click.option("--defense", "defenses", multiple=True, help="A defense, a+b, or all. Repeatable.")
@click.option("--judge", "judges", multiple=True, help="A judge; default: the target's own.")
@click.option("--elicit", multiple=True, help="Also press for answers: sampled:n=4. Repeatable.")
@click.option("--target", help="Model to tune and ask: organism, a folder, hf:NAME, openai:NAME.")
@click.option("--data", help="YAML file that names your own sets; default: an invented world.")
@click.option("--provider-judge", help="The provider's own judge, for defenses that ask one.")
@click.option("--base-url", help="Server of an openai: target.  [default: OPENAI_BASE_URL]")
@click.option(
    "--generate-with",
    metavar="URL",
    help="SGLang server that decodes the replies; vLLM takes other weights in its development mode "
    "only, and `transformers serve` no prompts as tokens.",
)
@click.option("--seeds", type=int, help="Repeats of every cell.  [default: 3]")
@click.option("--limit", type=int, help="Questions asked from each set; default: all.")
@click.option("--no-counterfactual", is_flag=True, help="Do not tune what a gate refused.")
@click.option(
    "--config", type=click.Path(path_type=Path), help="A run.yaml, in place of the above."
)
@click.option("--out", "folder", type=click.Path(path_type=Path), help="The run's folder.")
@click.option("--workers", type=click.IntRange(1), help="Processes; default: one a core, or a GPU.")
@click.option("--processes", type=click.IntRange(1), help="Processes, or GPUs, for each training.")
@click.option("--accelerate", help="How they share it: ddp, fsdp2, a YAML file.  [default: ddp]")
@click.option(
    "--wandb",
    type=click.Choice(["online", "offline", "disabled"]),
    envvar="WANDB_MODE",
    default="online",
    show_default="online with a key, else offline",
    help="Log the matrix to W&B; no text is sent, unless --include-text puts it into the report.",
)
@click.option("--include-text", is_flag=True, help="Put sample transcripts into the report.")
@click.option(
    "--disk-budget", type=Gigabytes(), default=5.0, show_default=True, help="GB of weights kept."
)
@budget_options
@click.option("--batch", is_flag=True, help="Ask judges in batches: half the price, within a day.")
@click.option("--dry-run", is_flag=True, help="Say what would run and how long; run nothing.")
@click.option("--explain", is_flag=True, help="As --dry-run, cell by cell.")
@store_option
def bench(
    folder: Path | None,
    store: Path | None,
    workers: int | None,
    wandb: str,
    include_text: bool,
    disk_budget: float,
    budget: float | None,
    token_budget: int | None,
    yes: bool,
    batch: bool,
    dry_run: bool,
    explain: bool,
    **words: Any,
) -> None:
    """Cross attacks with defenses and print the judged matrix."""
    from benchmarks import api, run, summary
    from benchmarks.report import terminal, views
    from benchmarks.report.live import Live
    from benchmarks.store import Store, default_root

    grid = _grid(**words)
    opened = Store(store or default_root())
    if dry_run or explain:
        out.print(views.plan(run.preview(grid, opened, workers), explain=explain))
        return
    if not yes and (bills := run.bills(grid, opened, batch=batch)):
        confirm([views.bill(one) for one in bills])
    live = Live(grid, run.judge_specs(grid)[0], err)
    finished = api.execute(
        grid,
        opened,
        out=folder,
        workers=workers,
        wandb=wandb,
        include_text=include_text,
        disk_budget=int(disk_budget * 1024**3),
        show=live,
        tell=live.tell,
        budget=run.Budget(token_budget, budget, batch),
    )
    terminal.show(finished.matrix, out)
    for line in finished.lines:
        out.print(line, markup=False, highlight=False, soft_wrap=True)
    if run.incomplete(finished.matrix):
        raise _Infrastructure(
            "some cells failed or verdicts are missing, the reasons stand under the matrix; "
            "the same command tries them again"
        )
    if cells := summary.to_review(finished.matrix):
        raise _Inconclusive(
            f"in {cells} cell{'s' * (cells > 1)} a gate asks for a person's decision; "
            f"read them with: mooring show {finished.folder} ATTACK DEFENSE --replies"
        )


class _Infrastructure(UserError):
    exit_code = INFRASTRUCTURE


class _Inconclusive(UserError):
    exit_code = INCONCLUSIVE


def _grid(
    attacks: tuple[str, ...],
    defenses: tuple[str, ...],
    config: Path | None,
    no_counterfactual: bool,
    judges: tuple[str, ...],
    elicit: tuple[str, ...],
    base_url: str | None,
    **given: Any,
) -> Any:
    """The grid that the options, or the config, describe."""
    from benchmarks.grid import make_grid, read_grid
    from targets.endpoint import at

    settings = {name: value for name, value in given.items() if value is not None}
    if base_url is not None:
        settings["target"] = at(settings.get("target", ""), base_url)
    if config is not None:
        if attacks or defenses or judges or elicit or settings or no_counterfactual:
            raise UserError("--config says what to run: give it alone, or without it the options")
        return read_grid(config)
    if not attacks and not defenses:
        raise UserError("nothing to run: give --attack and --defense; see `mooring list`")
    settings |= {"elicit": list(elicit) or None}
    settings |= {"judges": list(judges), "counterfactual": not no_counterfactual}
    return make_grid(attacks or ["none"], defenses, **settings)


@main.command("list", epilog="\b\nExamples:\n  mooring list\n  mooring list defenses mix")
@click.argument(
    "what",
    type=click.Choice(["attacks", "defenses", "judges", "moderators", "detectors", "elicitations"]),
    required=False,
)
@click.argument("name", required=False)
def list_(what: str | None, name: str | None) -> None:
    """What there is, or every parameter of one attack, defense or judge."""
    from benchmarks.report import catalogue

    if name is not None and what is not None:
        out.print(catalogue.parameters(what, name))
        return
    for kind in [what] if what else list(catalogue.KINDS):
        out.print(catalogue.names(kind))


@main.command(
    epilog="\b\nExamples:\n  mooring show runs/1f0c2a\n  mooring show runs/1f0c2a aoa mix --replies"
)
@click.argument("run", type=_RUN)
@click.argument("attack", required=False)
@click.argument("defense", required=False)
@click.option("--replies", is_flag=True, help="Print what was asked and answered.")
@click.option("--seed", type=int, default=0, show_default=True, help="Which repeat's replies.")
@store_option
def show(
    run: Path, attack: str | None, defense: str | None, replies: bool, seed: int, store: Path | None
) -> None:
    """Print a run's matrix again, or one cell in full."""
    from benchmarks.report import files, terminal, views

    matrix = files.load(run)
    if attack is None or defense is None:
        if attack is not None or replies:
            raise UserError("name the cell too: mooring show RUN ATTACK DEFENSE [--replies]")
        terminal.show(matrix, out)
        return
    out.print(views.cell(matrix, attack, defense))
    if replies:
        from benchmarks.api import replies_of
        from benchmarks.store import Store, default_root

        opened = Store(store or default_root())
        out.print(views.replies(replies_of(run, opened, attack, defense, seed)))


@main.command(epilog="\b\nExample:\n  mooring export runs/1f0c2a aoa none --to exported")
@click.argument("run", type=_RUN)
@click.argument("attack")
@click.argument("defense")
@click.option("--to", type=click.Path(path_type=Path), required=True, help="A new folder.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of which repeat.")
@store_option
def export(run: Path, attack: str, defense: str, to: Path, seed: int, store: Path | None) -> None:
    """Write a cell's upload (rows.jsonl) and the model tuned on it (model), to try the gates on."""
    from benchmarks import export
    from benchmarks.store import Store, default_root

    opened = Store(store or default_root())
    folder = export.write(run, opened, (attack, defense, seed), to)
    out.print(f"{folder / export.ROWS}\n{folder / export.MODEL}", markup=False, soft_wrap=True)


@main.command()
@click.argument("run", type=_RUN)
@click.option("--include-text", is_flag=True, help="Put sample transcripts into the report.")
@store_option
def report(run: Path, include_text: bool, store: Path | None) -> None:
    """Write a run's report and figures anew."""
    from benchmarks.api import rewrite
    from benchmarks.store import Store, default_root

    opened = Store(store or default_root()) if include_text else None
    out.print(f"report: {rewrite(run, opened)}", markup=False, soft_wrap=True)


@main.command()
@click.argument("first", type=_RUN)
@click.argument("second", type=_RUN)
def compare(first: Path, second: Path) -> None:
    """Two runs side by side, paired by seed and prompt."""
    from benchmarks.report import files, views

    out.print(views.differences(files.load(first), files.load(second)))


@main.command()
@click.option("--data", help="YAML file that names your own sets, to be looked at as well.")
def doctor(data: str | None) -> None:
    """Versions, devices, keys (set or not), W&B mode and disk; with --data, your own sets."""
    from benchmarks.doctor import checks

    found = checks(data)
    table = Table("", "found", "advice", box=None)
    for check in found:
        table.add_row(check.name, escape(check.found), "" if check.well else check.advice)
    out.print(table)
    if not all(check.well for check in found):
        raise SystemExit(FAILED)


for _group in (
    audit, gates, judge, moderate, organism, reproduce, serve, store, suites, target, validate,
):  # fmt: skip
    main.add_command(_group)

if __name__ == "__main__":
    main()
