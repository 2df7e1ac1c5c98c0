"""`mooring audit`: the second gate, on a tuned model before it is released."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

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
    "  mooring audit tuned/ --base organism --data rows.jsonl\n"
    "  mooring audit tuned/ --base start/ --judge gpt-4 --mode sequential\n"
    "  mooring audit openai:ft-abc --base openai:organism --certify --n 330 --yes\n"
    "  mooring audit tuned/ --base organism --format junit --out audit.xml\n"
    "\b\nExit codes: 0 passed; 1 blocked; 2 bad input; 3 a person must look; 4 a server or\n"
    "the disk failed. A pass says what was certified and nothing else."
)
@click.argument("model")
@click.option("--base", required=True, help="What it was tuned from, named in the same ways.")
@click.option("--data", type=click.Path(path_type=Path), help="What it was tuned on.")
@click.option("--policy", type=click.Path(path_type=Path), help="YAML: mode, p0, p1, alpha, ...")
@click.option("--mode", type=click.Choice(["paired", "sequential", "certify"]))
@click.option("--certify", is_flag=True, help="As --mode certify.")
@click.option("--n", type=click.IntRange(1), help="Probes in each form of asking, at most.")
@click.option("--samples", type=click.IntRange(0), help="Sampled replies beside the greedy one.")
@click.option("--judge", help="The provider's judge.  [default: noisy, for the organism alone]")
@budget_options
@gate_outputs(["text", "json", "html", "junit"])
@store_option
def audit(
    model: str,
    base: str,
    data: Path | None,
    policy: Path | None,
    mode: str | None,
    certify: bool,
    judge: str | None,
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
    """Decide on a tuned model: passed, blocked, or left to a person.

    MODEL is a folder of whole weights or of an adapter (its tokenizer is the base's), or
    openai:NAME, a model behind a server. It is asked what it must refuse, in the default prompt
    and in the forms found in --data, beside its base; phrases of --data are tried as triggers.
    What was asked is kept: the same command is instant the second time and resumes when killed.
    """
    from attacks.base import UserError
    from benchmarks.lab import LabSettings, open_lab
    from benchmarks.report import views
    from benchmarks.store import Store, default_root
    from provider.gates import audited, auditing, documents, outputs, paying, text
    from targets.hosted.ledger import Purse

    if certify and mode not in (None, "certify"):
        raise UserError(f"--certify is --mode certify, and not {mode}")
    read = (data, policy)
    where = outputs.planned(formats, outs, out_dir, "audit", documents.AUDIT_FORMATS, read)
    outputs.readers(level, show_text)
    asked = "certify" if certify else mode
    order = auditing.Order(model, auditing.policy(policy, mode=asked, **given), data, show_text)
    opened = Store(store or default_root())
    told = auditing.asked_anew((base, model), opened.root)
    lab = open_lab(LabSettings(base, (), opened.root, None, False), may_make=True)
    lab = auditing.with_judge(lab, judge)
    planned, purse = auditing.plan(order, lab), Purse(token_budget, budget)
    lab, more = auditing.account(planned, lab, purse)
    for line in [*told, *more]:
        err.print(line, markup=False, highlight=False, soft_wrap=True)
    line = f"at most {planned.questions:,} questions to the candidate and its base"
    err.print(line, markup=False, highlight=False)
    if not yes and (bills := auditing.bills(planned, lab)):
        confirm([views.bill(one) for one in bills])
    with counting("questions") as show:
        report = auditing.audit(order, planned, lab, show)
    for line in paying.told(purse):
        err.print(line, markup=False, highlight=False, soft_wrap=True)
    code = audited.exit_code(report)
    publish(where, documents.audit(report, level, code), code, text.told_audit(report, level))
