"""`mooring judge`: how good a judge is."""

from __future__ import annotations

from pathlib import Path

import click

from commands.shared import budget_options, confirm, err, out, store_option


@click.group()
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
@budget_options
@store_option
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
    from targets.hosted.ledger import Purse

    opened = Store(store or default_root())
    lab = open_lab(LabSettings(target, (name,), opened.root, None, False), may_make=False)
    (one,) = lab.judges.values()
    _, pairs = calibration.labelled(lab, path)
    if not yes and (bills := wire.bills_of_pairs(lab, [(p.request, p.reply) for p in pairs])):
        confirm([views.bill(bill) for bill in bills])
    for line in wire.begin(lab, Purse(token_budget, budget)):
        err.print(line, markup=False)
    out.print(views.calibrated(name, calibration.measure(lab, one, path)))
