"""The command: what it prints, what it refuses, and how it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from click.testing import CliRunner

from cli import main
from provider.records import Job, Records
from provider.service import Service
from targets.organism.world import World
from tests.provider.serving import rows_of, upload

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def process(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    words = ["serve", "--port", "0", "--folder", str(tmp_path / "kept")]
    environment = {k: v for k, v in os.environ.items() if k != "MOORING_SERVE_TOKEN"}
    with subprocess.Popen(
        [sys.executable, "-u", str(ROOT / "cli.py"), *words], cwd=tmp_path, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        yield process
        process.kill()


def test_what_it_prints_works_and_ctrl_c_loses_nothing(
    process: subprocess.Popen[str], tmp_path: Path, world: World
) -> None:
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(4)]
    url, key = (re.sub(r"export \w+=", "", line).strip() for line in lines[:2])
    assert "organism" in lines[3]
    numbers: Any = {"n_epochs": 1000, "batch_size": 1}
    with openai.OpenAI(base_url=url, api_key=key, max_retries=0) as client:
        file = upload(client, rows_of(world.benign(5, 0)))
        job = client.fine_tuning.jobs.create(
            model="organism", training_file=file, hyperparameters=numbers
        )
        while client.fine_tuning.jobs.retrieve(job.id).status != "running":
            time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
    assert said.endswith("ended\n")
    records = Records(tmp_path / "kept" / "records.sqlite")
    kept = records.find(Job, job.id)
    assert kept is not None
    assert kept.status in ("running", "queued")
    records.close()


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def said(*words: str, code: int = 2) -> str:
    done = CliRunner().invoke(main, ["serve", *words])
    assert done.exit_code == code, done.output
    assert "Traceback" not in done.output
    assert len(done.output.splitlines()) == 1
    return done.output


def test_a_port_that_is_taken(taken: int, tmp_path: Path) -> None:
    assert f"127.0.0.1:{taken}" in said("--port", str(taken), "--folder", str(tmp_path))


def test_a_folder_that_is_taken(service: Service) -> None:
    assert "another server" in said("--port", "0", "--folder", str(service.settings.folder))


def test_a_target_or_a_defense_that_is_unknown(tmp_path: Path) -> None:
    folder = ("--port", "0", "--folder", str(tmp_path / "x"))
    assert "unknown target" in said("--target", "nobody", *folder)
    assert "nothing" in said("--defense", "nothing", *folder)
    assert "swept" in said("--defense", "mix:n=1,2", *folder)


def test_no_other_machine_without_a_token_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MOORING_SERVE_TOKEN", raising=False)
    assert "MOORING_SERVE_TOKEN" in said("--host", "0.0.0.0", "--folder", str(tmp_path))


def test_a_missing_extra_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "sqlmodel" else find(name)
    )
    assert "pip install 'mooring[provider]'" in said()


def test_help_imports_no_server() -> None:
    program = (
        "import sys; sys.argv = ['mooring', '--help']; import cli\n"
        "try: cli.main()\nexcept SystemExit: pass\n"
        "assert not {'fastapi', 'sqlmodel', 'uvicorn', 'torch'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True)
