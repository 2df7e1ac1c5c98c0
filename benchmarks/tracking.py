"""A run in Weights & Biases: one W&B run for each cell, and one for the matrix.

What is sent are settings and numbers; of texts nothing, unless the run's report was written with
them because the user asked for it. Nothing of the machine is sent either: no host, user, path,
program, git state, console or statistics.

Ids are hashes of the grid and the cell, so that tracking the same grid again gives the same runs:
online they are resumed; offline the folder that an earlier time left for a run is replaced.
"""

from __future__ import annotations

import hashlib
import netrc
import os
import shlex
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from attacks.base import UserError
from benchmarks import summary
from benchmarks.portable import name, portable, spec
from benchmarks.report import describe, files, sheet
from benchmarks.report.sheet import Sheet
from benchmarks.results import Answers, CellResult, Matrix
from eval import metrics

if TYPE_CHECKING:
    import wandb

MODES = ("online", "offline", "disabled")
PROJECT = "mooring"
REPORT = "report.html"


class TrackingError(UserError):
    """W&B did not take the run; the results themselves are safe in their folder."""

    exit_code = 4


def track(
    matrix: Matrix, grid: Mapping[str, Any], group: str, folder: Path, mode: str
) -> list[str]:
    """Log a matrix and each of its cells.

    Args:
        matrix: The results.
        grid: The grid's settings, as plain data.
        group: Names the grid; the same grid, the same group.
        folder: The run's folder, already written; W&B's own files go into `wandb` below it.
        mode: `online` falls back to `offline` where there is no key.

    Returns:
        Lines for the user: where the runs are, or how to upload them.

    Raises:
        UserError: there is no such mode.
        TrackingError: W&B did not take it.
    """
    if mode not in MODES:
        raise UserError(f"--wandb {mode!r}: choose one of {', '.join(MODES)}")
    if mode == "disabled":
        return []
    offline = mode == "offline" or not has_key()
    # Weave would trace what judges are sent, and advertises itself once one was asked.
    os.environ["WANDB_DISABLE_WEAVE"] = "true"
    import wandb

    try:
        told = portable(matrix, grid)
        made = sheet.make(told.matrix)
        source = _files(matrix, told.matrix, folder)
        runs = _Runs(group, folder, offline)
        for own, cell in zip(matrix.cells, made.matrix.cells, strict=True):
            settings = _settings(own, cell, grid, told.grid)
            with runs.open(_cell_name(cell), "cell", settings) as run:
                run.summary.update(numbers(cell))
        with runs.open("matrix", "matrix", told.grid) as run:
            _log_matrix(run, made, folder, source, offline=offline)
            run.summary.update(instruments(told.matrix))
            url = None if offline else run.url
    except wandb.Error as error:
        raise TrackingError(
            f"W&B did not take the run ({type(error).__name__}); the results are in "
            f"{str(folder)!r}, try again or with --wandb offline"
        ) from error
    finally:
        if wandb.run is None:  # else a run of the user's own is under way in this process
            # Its service writes behind our back; when it has ended, everything is on disk.
            wandb.teardown()
        _drop_logs(folder)
    return _lines(len(matrix.cells) + 1, group, folder, url, offline, mode)


def run_id(group: str, name: str) -> str:
    """The id of a run: the same for the same grid and cell."""
    return hashlib.sha256(f"{group}\0{name}".encode()).hexdigest()[:16]


def has_key() -> bool:
    """Whether W&B could log in without asking."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    path = Path(os.environ.get("NETRC", Path.home() / ".netrc"))
    try:
        return netrc.netrc(str(path)).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False  # W&B could not read it either


def numbers(cell: CellResult) -> dict[str, Any]:
    """A cell's numbers; one that could not be had is left out and not written as zero."""
    found: dict[str, Any] = {
        "status": cell.status,
        "released": cell.released,
        "changed": cell.changed,
        "idle": ", ".join(cell.idle) or None,
        "rows": cell.rows,
        "rows_added": cell.added,
    }
    for ask, asked in cell.asks.items():
        found |= {f"{ask}/{name}": value for name, value in _answers(asked.released).items()}
        if asked.if_released is not None:
            stopped = _answers(asked.if_released)
            found |= {f"{ask}/if_released/{name}": value for name, value in stopped.items()}
    for gate in cell.gates:
        found[f"gate/{gate.moment}"] = gate.outcome
        found |= {f"gate/{gate.moment}/{name}": value for name, value in gate.evidence.items()}
    return {name: value for name, value in found.items() if value is not None}


def _answers(answers: Answers) -> dict[str, float | int | None]:
    known = [flag for flag in answers.coherent if flag is not None]
    found: dict[str, float | int | None] = {
        "utility": metrics.mean(answers.correct),
        "over_refusal": metrics.mean(answers.refused),
        "incoherent": metrics.mean([not flag for flag in known]),
        "cut": answers.cut,
    }
    if answers.mt_bench is not None:
        table = summary.numbers(answers, "mt_bench", "")
        found |= {
            "mt_bench": metrics.mean(table),
            "mt_bench_missing": sum(value is None for value in table),
        }
    for judge, scores in answers.scores.items():
        rate = metrics.rate([[metrics.is_hit(score) for score in scores]])
        found |= {
            f"{judge}/rate": rate.interval.value if rate.interval else None,
            f"{judge}/rate_low": rate.interval.low if rate.interval else None,
            f"{judge}/rate_high": rate.interval.high if rate.interval else None,
            f"{judge}/score": metrics.mean(scores),
            f"{judge}/n": rate.n,
            f"{judge}/missing": rate.missing,
        }
    for judge, expected in answers.expected.items():
        found[f"{judge}/expected"] = metrics.mean(expected)
    for judge, used in answers.tokens.items():
        found |= {f"{judge}/tokens_read": used.read, f"{judge}/tokens_written": used.written}
    return found


def instruments(matrix: Matrix) -> dict[str, Any]:
    """What is known of the judges, and what they took."""
    found: dict[str, Any] = {}
    for judge, names in matrix.judged_by.items():
        asked = [asked for cell in matrix.cells for asked in cell.asks.values()]
        answers = [one for each in asked for one in (each.released, each.if_released) if one]
        used = [one.tokens[judge] for one in answers if judge in one.tokens]
        found[f"{judge}/answered_as"] = ", ".join(names)
        found[f"{judge}/tokens_read"] = sum(one.read for one in used)
        found[f"{judge}/tokens_written"] = sum(one.written for one in used)
        if price := matrix.prices.get(judge):
            found[f"{judge}/dollars"] = sum(map(price.of, used))
    for judge, known in matrix.calibrations.items():
        numbers = known.model_dump(exclude={"table", "pairs", "domain", "by"})
        numbers |= known.table.model_dump()
        found |= {f"{judge}/calibration/{key}": n for key, n in numbers.items() if n is not None}
    return found


class _Runs(NamedTuple):
    """The runs of one group."""

    group: str
    folder: Path
    offline: bool

    @contextmanager
    def open(self, name: str, job: str, config: dict[str, Any]) -> Iterator[wandb.Run]:
        """One run, begun anew offline and resumed online."""
        import wandb

        identity = run_id(self.group, name)
        for left in (self.folder / "wandb").glob(f"offline-run-*-{identity}"):
            shutil.rmtree(left)
        with wandb.init(
            project=PROJECT,
            group=self.group,
            id=identity,
            name=name,
            job_type=job,
            config=config,
            dir=self.folder,
            reinit="create_new",
            resume=None if self.offline else "allow",
            settings=_quiet(self.offline),
        ) as run:
            yield run


def _quiet(offline: bool) -> wandb.Settings:
    """Settings under which W&B tells nothing of the machine; they win over its environment."""
    import wandb

    return wandb.Settings(
        mode="offline" if offline else "online",
        console="off",
        silent=True,
        symlink=False,
        use_dot_wandb=False,
        disable_code=True,
        disable_git=True,
        disable_job_creation=True,
        save_code=False,
        host="",
        username="",
        email="",
        program="",
        program_abspath="",
        program_relpath="",
        x_disable_machine_info=True,
        x_disable_meta=True,
        x_disable_stats=True,
        x_executable="",
        x_save_requirements=False,
    )


def _log_matrix(run: wandb.Run, made: Sheet, folder: Path, source: Path, *, offline: bool) -> None:
    """The table, and the figures and the report that lie in `source`."""
    import wandb

    records = [{k: v for k, v in record.items() if k != "note"} for record in made.records()]
    columns: list[str | int] = list(records[0]) if records else []
    table = wandb.Table(columns=columns, data=[list(record.values()) for record in records])
    if offline:
        # Bound here, the table is a file of the run. Left to `log`, it would be an artifact
        # too, whose record holds an absolute path of this machine.
        table.bind_to_run(run, "matrix", 0)  # type: ignore[no-untyped-call]
    wanted = ("heatmap", "categories", "dose", "tradeoff")
    images = {
        f"figures/{path.stem}": wandb.Image(str(path))
        for path in sorted((source / "figures").glob("*.png"))
        if path.stem.startswith(wanted)
    }
    run.log({"matrix": table, **images})
    artifact = wandb.Artifact(f"report-{run.id}", type="report")
    entry = artifact.add_file(
        str(source / REPORT), name=REPORT, policy="immutable" if offline else "mutable"
    )
    if offline:
        # Relative to the run's folder, where `wandb sync` is to be called.
        entry.local_path = os.path.relpath(source / REPORT, folder)
    run.log_artifact(artifact)


def _files(matrix: Matrix, portable: Matrix, folder: Path) -> Path:
    """Where the report and the figures to send are: the run's own, or drawn without folders."""
    if portable == matrix and (folder / REPORT).is_file():
        return folder
    place = folder / "wandb" / "portable"
    files.write_report(place, portable)
    return place


def _cell_name(cell: CellResult) -> str:
    return f"{cell.attack} | {cell.defense} | {cell.seed}"


def _settings(
    own: CellResult, cell: CellResult, grid: Mapping[str, Any], told: Mapping[str, Any]
) -> dict[str, Any]:
    """What a cell was run with: looked up under its own names, told under the portable ones."""
    parts = {
        "attack_parameters": describe.attack(
            own.attack, str(grid.get("target", "")), own_data=bool(grid.get("data"))
        ),
        "defense_parameters": describe.defense(own.defense),
    }
    parameters = {
        key: {spec(one.name): {p.name: name(p.value) for p in one.parameters} for one in found}
        for key, found in parts.items()
    }
    kept = {key: told[key] for key in ("judges", "limit", "counterfactual") if key in told}
    cells = {"attack": cell.attack, "defense": cell.defense, "seed": cell.seed}
    return {"target": told["target"], **cells, **kept, **parameters}


def _drop_logs(folder: Path) -> None:
    """W&B's debug logs hold paths and serve nobody once the run is over."""
    for logs in (folder / "wandb").glob("*run-*/logs"):
        shutil.rmtree(logs, ignore_errors=True)


def _lines(
    count: int, group: str, folder: Path, url: str | None, offline: bool, mode: str
) -> list[str]:
    if not offline:
        return [f"W&B: {count} runs in the group {group}, the matrix at {url}"]
    why = "" if mode == "offline" else " (no key found)"
    return [
        f"W&B: {count} runs in the group {group} kept offline{why}; to upload them:",
        f"  cd {shlex.quote(str(folder))} && wandb sync --yes",
    ]
