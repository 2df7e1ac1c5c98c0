"""Arguments in, tables out."""

from __future__ import annotations

import errno
import importlib.metadata
import math
import os
import sys
from pathlib import Path
from typing import Any

# The console script finds the project's packages just as `python cli.py` does.
sys.path.insert(0, str(Path(__file__).resolve().parent))

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from attacks.base import UserError

DONE, FAILED, USAGE, INCONCLUSIVE, INFRASTRUCTURE = range(5)
"""Exit codes of every command."""

out = Console()
err = Console(stderr=True)


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


class _Gigabytes(click.FloatRange):
    """A finite size, at least 0."""

    name = "GB"

    def __init__(self) -> None:
        super().__init__(min=0)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        found = float(super().convert(value, param, ctx))
        if not math.isfinite(found):
            self.fail(f"{value!r} is not a number of GB.", param, ctx)
        return found


def _version() -> str:
    try:
        return importlib.metadata.version("mooring")
    except importlib.metadata.PackageNotFoundError:
        return "from a source tree that is not installed"


_store = click.option(
    "--store", type=click.Path(path_type=Path), help="Where stages are kept between runs."
)


def _budget(command: Any) -> Any:
    """What judges' calls may take, and whether to ask first."""
    for option in (
        click.option("--yes", is_flag=True, help="Send judges' calls without asking first."),
        click.option("--token-budget", type=click.IntRange(0), help="Most tokens for them."),
        click.option("--budget", type=click.FloatRange(0), help="Most dollars for judges' calls."),
    ):
        command = option(command)
    return command


_RUN = click.Path(path_type=Path, exists=True, file_okay=False)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(_version())
def main() -> None:
    """Fine-tuning attacks against defenses: how well does a model's safety hold?"""


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
@click.option("--target", help="Model to tune and ask: organism, or a model folder.")
@click.option("--seeds", type=int, help="Repeats of every cell.  [default: 3]")
@click.option("--limit", type=int, help="Questions asked from each set; default: all.")
@click.option("--no-counterfactual", is_flag=True, help="Do not tune what a gate refused.")
@click.option(
    "--config", type=click.Path(path_type=Path), help="A run.yaml, in place of the above."
)
@click.option("--out", "folder", type=click.Path(path_type=Path), help="The run's folder.")
@click.option("--workers", type=click.IntRange(1), help="Processes; default: one a core.")
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
    "--disk-budget", type=_Gigabytes(), default=5.0, show_default=True, help="GB of weights kept."
)
@_budget
@click.option("--dry-run", is_flag=True, help="Say what would run and how long; run nothing.")
@click.option("--explain", is_flag=True, help="As --dry-run, cell by cell.")
@_store
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
    if not yes and (bills := run.bills(grid, opened)):
        _confirm([views.bill(one) for one in bills])
    finished = api.execute(
        grid,
        opened,
        out=folder,
        workers=workers,
        wandb=wandb,
        include_text=include_text,
        disk_budget=int(disk_budget * 1024**3),
        show=Live(grid, run.judge_specs(grid)[0], err),
        budget=run.Budget(token_budget, budget),
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


def _confirm(bills: list[str]) -> None:
    """Ask before anything is sent that may cost money."""
    for line in bills:
        click.echo(line, err=True)
    if not sys.stdin.isatty():
        raise UserError("add --yes to send these calls, perhaps with a --budget")
    if not click.confirm("Send them?", err=True):
        raise UserError("nothing was sent")


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
    **given: Any,
) -> Any:
    """The grid that the options, or the config, describe."""
    from benchmarks.grid import make_grid, read_grid

    settings = {name: value for name, value in given.items() if value is not None}
    if config is not None:
        if attacks or defenses or judges or settings or no_counterfactual:
            raise UserError("--config says what to run: give it alone, or without it the options")
        return read_grid(config)
    if not attacks and not defenses:
        raise UserError("nothing to run: give --attack and --defense; see `mooring list`")
    settings |= {"judges": list(judges), "counterfactual": not no_counterfactual}
    return make_grid(attacks or ["none"], defenses, **settings)


@main.command("list", epilog="\b\nExamples:\n  mooring list\n  mooring list defenses mix")
@click.argument("what", type=click.Choice(["attacks", "defenses", "judges"]), required=False)
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
@_store
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


@main.command()
@click.argument("run", type=_RUN)
@click.option("--include-text", is_flag=True, help="Put sample transcripts into the report.")
@_store
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
def doctor() -> None:
    """Versions, devices, keys (set or not), W&B mode and disk."""
    from benchmarks.doctor import checks

    found = checks()
    table = Table("", "found", "advice", box=None)
    for check in found:
        table.add_row(check.name, escape(check.found), "" if check.well else check.advice)
    out.print(table)
    if not all(check.well for check in found):
        raise SystemExit(FAILED)


@main.group()
def judge() -> None:
    """Judges, measured."""


@judge.command(
    epilog="\b\nExamples:\n"
    "  mooring judge calibrate noisy\n"
    "  mooring judge calibrate gpt-4 --budget 1\n"
    "  mooring judge calibrate gpt-4 --set mine.jsonl"
)
@click.argument("name", metavar="JUDGE")
@click.option("--target", default="organism", show_default=True, help="Whose requests.")
@click.option(
    "--set", "path", type=click.Path(path_type=Path), help="Your own pairs: request, reply, score."
)
@_budget
@_store
def calibrate(
    name: str,
    target: str,
    path: Path | None,
    budget: float | None,
    token_budget: int | None,
    yes: bool,
    store: Path | None,
) -> None:
    """Measure a judge on pairs with known scores; matrices then carry what was found.

    A judge behind a wire is asked anew each time, and compared with the last: a model behind a name
    may have changed.
    """
    from benchmarks import calibration, wire
    from benchmarks.lab import LabSettings, open_lab
    from benchmarks.report import views
    from benchmarks.store import Store, default_root

    opened = Store(store or default_root())
    lab = open_lab(LabSettings(target, (name,), opened.root, None, False), may_make=False)
    (one,) = lab.judges.values()
    _, pairs = calibration.labelled(lab, path)
    if not yes and (bills := wire.bills_of_pairs(lab, [(p.request, p.reply) for p in pairs])):
        _confirm([views.bill(bill) for bill in bills])
    for line in wire.begin(lab, token_budget, budget):
        err.print(line, markup=False)
    out.print(views.calibrated(name, calibration.measure(lab, one, path)))


@main.group()
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
    from targets.local import LocalTarget
    from targets.resolve import resolve

    resolved = resolve(target)
    model = LocalTarget.load(resolved.checkpoint.folder)
    ask = Ask("chat", system=system)
    if request_ is None and sys.stdin.isatty():
        examples = " ".join(prompt.text for prompt in resolved.domain.utility()[:3])
        err.print(f"It knows one invented world. Try: {examples}", markup=False)
    for text in [request_] if request_ is not None else map(str.strip, sys.stdin):
        (reply,) = model.generate([ask(text)], Decoding(max_new_tokens=96))
        out.print(reply.text, markup=False, highlight=False)


@organism.command()
@click.option("--worlds", default="3-7", show_default=True, help="First and last world.")
@click.option("--seeds", type=click.IntRange(2), default=3, show_default=True)
@click.option("--workers", type=click.IntRange(1), help="Processes; default: one a core.")
@click.option("--recorded", is_flag=True, help="Print what the last recorded run found.")
@click.option(
    "--record",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write what is found to a file.",
)
@_store
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


@main.group()
def store() -> None:
    """What is kept between runs."""


@store.command()
@click.option(
    "--keep", type=_Gigabytes(), default=0.0, show_default=True, help="GB of weights to keep."
)
@click.option("--damaged", is_flag=True, help="Only remove files that cannot be read.")
@_store
def gc(keep: float, damaged: bool, store: Path | None) -> None:
    """Free disk: drop model weights, least recently used first; replies and scores stay."""
    from benchmarks.store import Store, default_root

    opened = Store(store or default_root())
    removed = opened.remove_damaged()
    freed = 0 if damaged else opened.collect(int(keep * 1024**3), idle=0)
    out.print(f"removed {removed} damaged files, freed {freed / 1e6:.1f} MB of weights")
    for usage in opened.usage():
        out.print(f"  {usage.stage}: {usage.records} records, {usage.size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
