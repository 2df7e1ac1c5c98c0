"""`mooring suites`: standard suites on a model, by lm-eval."""

from __future__ import annotations

from pathlib import Path

import click

from commands.shared import err, out


@click.command(
    epilog="\b\nExamples:\n"
    "  mooring export runs/1f0c2a aoa none --to exported\n"
    "  mooring suites exported/model --base hf:OWNER/NAME --tasks arc_easy,hellaswag\n"
    "  mooring suites hf:OWNER/NAME --tasks mmlu --limit 20 --out suites.json"
)
@click.argument("model")
@click.option("--base", default="", help="What it was tuned from, where its folder is a cell's.")
@click.option("--tasks", required=True, help="lm-eval's tasks, groups or patterns, by commas.")
@click.option("--limit", type=click.IntRange(1), help="Questions of each task; default: all.")
@click.option("--shots", type=click.IntRange(0), help="Examples in the prompt; default: a task's.")
@click.option("--chat", is_flag=True, help="Put the model's chat template around each question.")
@click.option(
    "--include", type=click.Path(path_type=Path), help="Folder of task files, whose code is run."
)
@click.option(
    "--out", "file", type=click.Path(path_type=Path, dir_okay=False), help="Write JSON there."
)
def suites(
    model: str,
    base: str,
    tasks: str,
    limit: int | None,
    shots: int | None,
    chat: bool,
    include: Path | None,
    file: Path | None,
) -> None:
    """Run tasks of lm-eval on a model.

    MODEL is a target of the bench with weights here (a folder, hf:NAME, organism), or with --base
    the folder of what was tuned from one, such as `mooring export` writes it: whole weights or an
    adapter, whose tokenizer is the base's. Needs the extra: pip install 'mooring[lm-eval]'.
    """
    from benchmarks import suites
    from benchmarks.report import views
    from benchmarks.store import write_whole

    names = [name.strip() for name in tasks.split(",") if name.strip()]
    if not names:
        raise click.UsageError("--tasks names none")
    wanted = suites.Wanted(model, names, base, limit, shots, chat, include)
    with err.status("lm-eval is running"):
        found = suites.run(wanted)
    out.print(views.suites(found))
    if file is not None:
        write_whole(file, suites.written(found).encode())
        out.print(f"written: {file}", markup=False, highlight=False, soft_wrap=True)
