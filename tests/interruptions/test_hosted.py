"""Killed while a server tunes for us, then run again: one file and one job for each upload."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from provider.records import File, Job
from provider.service import Service
from tests.provider.serving import TOKEN, Served

ROOT = Path(__file__).resolve().parent.parent.parent
KILLS = [
    "sqlite3.connect:journal.sqlite:3",  # the server took the file, its id is not written down
    "sqlite3.connect:journal.sqlite:5",  # the server took the job, its id is not written down
    "sqlite3.connect:journal.sqlite:3",  # tuned, the model's name is not written down
    "os.rename:weights:1",  # its name about to be kept in the store
    "sqlite3.connect:journal.sqlite:4",  # likewise in the middle of the second upload
    "os.rename:/ask/:2",  # some models are asked, one's replies about to be kept
    "os.rename:matrix.json:1",  # all of it but the matrix is written
]


def bench(folder: Path, served: Served, kill: str = "") -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "MOORING_STORE": str(folder / "store"),
        "MOORING_TEST_KILL": kill,
        "PYTHONPATH": str(Path(__file__).parent),
        "OPENAI_API_KEY": TOKEN,
    }
    command = [
        "bench", "--attack", "aoa:n=3,epochs=1", "--attack", "benign:n=12", "--limit", "11",
        "--target", "openai:organism", "--base-url", served.url, "--judge", "oracle", "--yes",
        "--seeds", "1", "--workers", "1", "--wandb", "disabled", "--out", "out",
    ]  # fmt: skip
    return subprocess.run(
        [sys.executable, str(ROOT / "cli.py"), *command],
        cwd=folder, env=environment, start_new_session=True,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_one_file_one_job_and_no_reply_paid_twice(
    service: Service, served: Served, tmp_path: Path
) -> None:
    def there() -> tuple[int, int]:
        return len(service.records.all(File)), len(service.records.all(Job))

    asked = "POST /v1/chat/completions"
    before, asked_before = there(), served.faults.requests[asked]
    for kill in KILLS:
        done = bench(tmp_path, served, kill)
        assert done.returncode == -signal.SIGKILL, (kill, done.stderr)
    done = bench(tmp_path, served)
    assert done.returncode == 0, done.stderr
    after, asked_after = there(), served.faults.requests[asked]
    assert (after[0] - before[0], after[1] - before[1]) == (2, 2)
    calm = tmp_path / "calm"
    calm.mkdir()
    done = bench(calm, served)
    assert done.returncode == 0, done.stderr
    assert there() == after, "a store that knows nothing finds them too"
    one, other = ((f / "out" / "matrix.json").read_bytes() for f in (tmp_path, calm))
    assert one == other
    undisturbed = served.faults.requests[asked] - asked_after
    assert asked_after - asked_before == undisturbed, "no reply was asked for twice"
