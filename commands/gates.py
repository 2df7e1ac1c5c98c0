"""`mooring gates`: how good the gates before a training are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from attacks.base import UserError
from commands.shared import counting, err, out, store_option

if TYPE_CHECKING:
    from benchmarks.gates.run import Bench

_corpus_options = (
    click.option(
        "--corpus",
        type=click.Path(path_type=Path, exists=True, file_okay=False),
        help="Folder of your own labelled uploads; default: generated ones.",
    ),
    click.option("--target", default="organism", show_default=True, help="The served model."),
    click.option("--world", type=click.IntRange(0), default=0, help="World of generated uploads."),
    click.option("--corpus-seed", type=int, default=0, help="Seed of generated uploads."),
    click.option(
        "--size",
        type=click.FloatRange(0, 1, min_open=True),
        default=1.0,
        show_default=True,
        help="Share of the generated corpus.",
    ),
    click.option("--workers", type=click.IntRange(1), help="Processes; default: one a core."),
    store_option,
)


def _with_corpus(command: Any) -> Any:
    for option in reversed(_corpus_options):
        command = option(command)
    return command


@click.group(
    invoke_without_command=True,
    epilog="\b\nExamples:\n"
    "  mooring gates --size 0.1\n"
    "  mooring gates --effect --out gates\n"
    "  mooring gates --adaptive 50 --out gates\n"
    "  mooring gates fit --corpus PAST_UPLOADS --out gate.json\n"
    "  mooring gates --corpus PAST_UPLOADS --gate gate.json",
)
@click.option(
    "--gate", type=click.Path(path_type=Path), help="A fitted gate; default: the shipped."
)
@click.option("--policy", type=click.Path(path_type=Path), help="YAML of the rates to decide at.")
@click.option(
    "--rate",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.01,
    show_default=True,
    help="Nominal rate of false alarms.",
)
@click.option("--effect", is_flag=True, help="Measure each upload's harm after tuning, too.")
@click.option(
    "--adaptive",
    type=click.IntRange(1),
    metavar="N",
    help="Also change N new hostile uploads, step by step, until the gate lets them through.",
)
@click.option(
    "--queries",
    type=click.IntRange(1),
    default=8,
    show_default=True,
    help="Most changed uploads that are scored for each of them: every detector reads each, "
    "which takes some seconds of processor time.",
)
@click.option(
    "--adaptive-seed", type=int, default=0, show_default=True, help="Of these uploads and changes."
)
@click.option("--out", "folder", type=click.Path(path_type=Path), help="Where results are written.")
@_with_corpus
@click.pass_context
def gates(
    context: click.Context,
    /,
    gate: Path | None,
    policy: Path | None,
    rate: float,
    effect: bool,
    adaptive: int | None,
    queries: int,
    adaptive_seed: int,
    folder: Path | None,
    **words: Any,
) -> None:
    """Score the gates on uploads that they were not fitted on.

    False alarms on benign uploads beside the nominal rate, detection by hostile family, the cost
    of each detector. What was read is kept, so that a killed run goes on.
    """
    if context.invoked_subcommand is not None:
        return
    given = [name for name in ("queries", "adaptive_seed") if _given(context, name)]
    if adaptive is None and given:
        raise UserError(f"--{given[0].replace('_', '-')} is of --adaptive N; give that too")
    from benchmarks.gates import files, run, views
    from benchmarks.gates.adaptive import check, search
    from defenses.gates.gate import Policy, read, read_policy
    from defenses.screen import SHIPPED

    opened = read(gate or SHIPPED)
    bench = _bench(tuple(dict.fromkeys(opened.detectors.values())), effect=effect, **words)
    rates = read_policy(policy) if policy else Policy()
    if adaptive is not None:
        check(bench, opened, rate)
    with _counting(len(bench.entries("held_out")), "uploads read") as tell:
        found = run.score(bench, opened, rates, rate, tell)
    if adaptive is not None:
        err.print(views.ahead(found, adaptive, queries), markup=False, soft_wrap=True)
        with _counting(adaptive, "uploads searched from") as tell:
            reached = search(bench, opened, rate, adaptive, queries, adaptive_seed, tell)
        found = found.model_copy(update={"adaptive": reached})
    out.print(views.result(found))
    if folder is not None:
        out.print(f"report: {files.write(folder, found)}", markup=False, soft_wrap=True)


def _given(context: click.Context, name: str) -> bool:
    """Whether an option was written, and is not the default."""
    return context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


@gates.command(
    epilog="\b\nExamples:\n"
    "  mooring gates fit --corpus PAST_UPLOADS --out gate.json\n"
    "  mooring gates fit --size 0.1 --detector pilot --detector size --out small.json"
)
@click.option(
    "--out", "path", type=click.Path(path_type=Path), required=True, help="The gate's file."
)
@click.option("--detector", "detectors", multiple=True, help="One to read with; default: all.")
@_with_corpus
def fit(path: Path, detectors: tuple[str, ...], **words: Any) -> None:
    """Calibrate a gate on labelled uploads: the generated ones, or your own past ones.

    A folder of your own holds chat JSONL files and a labels.csv with the columns file,intent
    (benign, benign-eroding or hostile) and perhaps family,split,epochs,batch_size,learning_rate.
    """
    from benchmarks.gates import run
    from benchmarks.store import write_whole

    bench = _bench(detectors or run.every_detector(), **words)
    total = len([e for e in bench.entries("fit", "threshold") if e.intent != "benign-eroding"])
    with _counting(total, "uploads read") as tell:
        fitted = run.fit(bench, tell)
    write_whole(path, (fitted.model_dump_json() + "\n").encode())
    counts = ", ".join(f"{n} {what}" for what, n in fitted.fitted.items())
    err.print(
        f"{path}: {counts} uploads; {_claims(fitted.fitted.get('threshold, benign', 0))}",
        markup=False,
        soft_wrap=True,
    )


def _claims(benign: int) -> str:
    """Which rates of false alarms so many benign uploads can show, and what the default needs."""
    from defenses.gates.gate import Policy

    told = f"rates from {1 / (benign + 1):.2%} on can be claimed"
    least = Policy().reject
    if least * (benign + 1) < 1:
        told += (
            f". The default policy rejects at {least:.2%}, which takes {round(1 / least) - 1} "
            "benign uploads set aside for thresholds: fit on more, or name higher rates (reject, "
            "hold, mitigate) in a file for `mooring moderate --policy`"
        )
    return told


def _bench(
    detectors: tuple[str, ...],
    *,
    corpus: Path | None,
    target: str,
    world: int,
    corpus_seed: int,
    size: float,
    workers: int | None,
    store: Path | None,
    effect: bool = False,
) -> Bench:
    from benchmarks.gates.opening import Where
    from benchmarks.gates.run import Bench
    from benchmarks.store import Store, default_root
    from defenses.gates.gate import check_names

    check_names(detectors)
    if corpus is not None and effect:
        raise UserError("--effect asks in the organism's world; leave it out with --corpus")
    where = Where(str(corpus) if corpus else "", world, corpus_seed, size)
    return Bench(where, target, Store(store or default_root()), detectors, workers, effect)


@contextmanager
def _counting(total: int, what: str) -> Iterator[Callable[[int], None]]:
    """As `counting`, of a total that is known."""
    with counting(what) as show:
        yield lambda done: show(done, total)
