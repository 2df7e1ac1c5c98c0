"""Killed at many places, then run again: nothing lost, nothing done twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
BENCH = (
    "bench", "--attack", "aoa:n=3,epochs=1", "--attack", "benign:n=10", "--defense", "mix:n=2",
    "--seeds", "1", "--limit", "11", "--workers", "1", "--wandb", "offline", "--out", "out",
)  # fmt: skip
KILLS = [
    "os.rename:format.json:1",  # the store is about to be marked
    "os.rename:run.yaml:1",  # the run's folder is about to be marked
    "tempfile.mkdtemp:mooring-:1",  # the trainer is about to begin
    "os.rename:weights:1",  # trained, the weights about to be kept
    "os.rename:/tune/:1",  # the weights are kept, their record is not
    "os.rename:/ask/:1",  # asked, the replies about to be kept
    "os.rename:/judge/:1",  # judged, the scores about to be kept
    "os.rename:/facts/:2",
    "os.rename:/ask/:2",
    "os.rename:/tune/:1",  # a later tuning
    "os.rename:report.html:1",  # the run's folder is being written for the first time
    "os.rename:matrix.json:1",  # all of it but the matrix is written
    "open:/wandb/:3",  # the matrix is being logged
]


def bench(folder: Path, kill: str = "") -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "MOORING_STORE": str(folder / "store"),
        "MOORING_TEST_KILL": kill,
        "PYTHONPATH": str(Path(__file__).parent),
        "WANDB_DIR": str(folder),
    }
    return subprocess.run(
        [sys.executable, str(ROOT / "cli.py"), *BENCH],
        cwd=folder, env=environment, start_new_session=True,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def records(folder: Path) -> Counter[str]:
    """Finished stages, by name."""
    found = folder.glob("store/*/*/*.json")
    return Counter(path.parent.parent.name for path in found if "timings" not in path.parts)


def runs(folder: Path) -> list[str]:
    """W&B runs, by id."""
    return sorted(path.stem for path in folder.rglob("run-*.wandb"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    done = bench(folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("killed")
    for kill in KILLS:
        before = records(folder)
        done = bench(folder, kill)
        assert done.returncode == -signal.SIGKILL, (kill, done.stderr)
        assert records(folder) >= before
    before = records(folder)
    done = bench(folder)
    assert done.returncode == 0, done.stderr
    made = json.loads((folder / "out" / "provenance.json").read_text())["stages_made"]
    assert before + Counter(made) == records(folder), "a finished stage was run again"
    return folder


def test_the_matrix_is_the_same_to_the_byte(undisturbed: Path, killed: Path) -> None:
    one, other = ((f / "out" / "matrix.json").read_bytes() for f in (undisturbed, killed))
    assert one == other


def test_the_same_stages_are_kept(undisturbed: Path, killed: Path) -> None:
    assert records(undisturbed) == records(killed)


def test_there_are_as_many_tracked_runs(undisturbed: Path, killed: Path) -> None:
    assert len(runs(undisturbed)) > 1
    assert runs(undisturbed) == runs(killed)


def test_nothing_half_written_is_left(killed: Path) -> None:
    assert not list(killed.rglob(".new-*/model.safetensors")) or bench(killed).returncode == 0
    assert not list((killed / "out").glob(".new-*"))
