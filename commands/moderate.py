"""`mooring moderate`: the first gate, on an upload before anything is trained on it."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from attacks.bounds import MOST_BATCH, MOST_EPOCHS
from commands.shared import (
    budget_options,
    confirm,
    counting,
    err,
    gate_outputs,
    publish,
    store_option,
)


@click.command(
    epilog="\b\nExamples:\n"
    "  mooring moderate rows.jsonl\n"
    "  mooring moderate rows.jsonl --by tests --out-dir reports\n"
    "  mooring moderate rows.jsonl --level customer --format json\n"
    "  mooring moderate rows.jsonl --policy policy.yaml --fail-on mitigate --strict\n"
    "  mooring moderate rows.jsonl --format sarif --out rows.sarif\n"
    "\b\nExit codes: 0 allow, with or without mitigation; 1 reject; 2 bad input; 3 a person\n"
    "must look, or nothing can be said; 4 a server or the disk failed."
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--target", default="organism", show_default=True, help="The served model.")
@click.option("--gate", type=click.Path(path_type=Path), help="A gate of `mooring gates fit`.")
@click.option("--by", default="all", show_default=True, help="all, tests, or one detector.")
@click.option("--policy", type=click.Path(path_type=Path), help="YAML: reject, hold, mitigate, ...")
@click.option(
    "--epochs", type=click.IntRange(1, MOST_EPOCHS), help="Of the tuning that would be done."
)
@click.option(
    "--batch-size", type=click.IntRange(1, MOST_BATCH), help="  [defaults: a fine-tuning server's]"
)
@click.option("--learning-rate", type=click.FloatRange(0, 1, min_open=True))
@click.option("--moderator", "moderators", multiple=True, help="Score rows too. Repeatable.")
@click.option(
    "--profile",
    type=click.Choice(["any", "openai"]),
    default="any",
    show_default=True,
    help="Whose limits are errors of structure.",
)
@click.option(
    "--fail-on",
    type=click.Choice(["reject", "hold", "mitigate"]),
    default="reject",
    show_default=True,
    help="The least answer that exits 1.",
)
@click.option("--strict", is_flag=True, help="Warnings, and saying nothing, exit 1 too.")
@budget_options
@gate_outputs(["text", "json", "html", "junit", "sarif"])
@store_option
def moderate(
    file: Path,
    target: str,
    policy: Path | None,
    profile: Any,
    fail_on: Any,
    strict: bool,
    budget: float | None,
    token_budget: int | None,
    yes: bool,
    formats: tuple[str, ...],
    outs: tuple[Path, ...],
    out_dir: Path | None,
    level: Any,
    show_text: bool,
    store: Path | None,
    **given: Any,
) -> None:
    """Decide on an upload: allow, allow with mitigation, hold, reject, or inconclusive.

    FILE is chat JSON lines. It is validated, then every detector of the gate reads it; what was
    read is kept, so that the same command is instant the second time and resumes when killed.
    """
    from benchmarks.lab import LabSettings, open_lab
    from benchmarks.store import Store, default_root
    from defenses.gates.gate import Policy, read_policy
    from provider.gates import documents, moderating, outputs, paying, text, verdicts
    from targets.hosted.ledger import Purse

    read = (file, policy, given["gate"])
    where = outputs.planned(formats, outs, out_dir, "moderation", documents.FORMATS, read)
    outputs.readers(level, show_text)
    settings = LabSettings(target, (), Store(store or default_root()).root, None, False)
    lab = open_lab(settings, may_make=True)
    order = moderating.Order(
        path=file,
        policy=read_policy(policy) if policy else Policy(),
        profile=profile,
        show_text=show_text,
        **given,
    )
    purse = Purse(token_budget, budget)
    with moderating.workers(order, settings) or nullcontext() as ahead:
        planned = moderating.plan(order, lab)
        for line in moderating.estimate(planned):
            err.print(line, markup=False, highlight=False, soft_wrap=True)
        moderating.account(planned, lab, purse)
        if not yes and (bills := moderating.bills(planned)):
            confirm(bills)
        with counting("readings") as show:
            report = moderating.moderate(order, planned, lab, show, purse, ahead)
    for line in paying.told(purse):
        err.print(line, markup=False, highlight=False, soft_wrap=True)
    code = verdicts.exit_code(report, fail_on, strict)
    publish(
        where, documents.moderation(report, level, str(file), code), code, text.told(report, level)
    )
