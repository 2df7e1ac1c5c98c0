"""The README says what is so: its commands are read, its numbers come from recorded runs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from attacks.registry import names
from benchmarks.example import readme
from benchmarks.findings import read
from benchmarks.paper import paper
from benchmarks.reproduction import Reproduction
from benchmarks.verify import FINDINGS

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text()
LINES = [
    line.split("#")[0].split("&&")[-1].strip()
    for block in re.findall(r"```sh\n(.*?)```", TEXT, flags=re.DOTALL)
    for line in block.splitlines()
]


def run(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "cli.py"), *words],
        cwd=cwd, env={**os.environ, "MOORING_STORE": str(cwd / "store")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("line", [one for one in LINES if " bench " in one])
def test_every_bench_is_understood(line: str, tmp_path: Path) -> None:
    words = shlex.split(line.removeprefix("python cli.py "))
    # One seed: what is understood of one is of all, and a plan looks every cell up.
    done = run(
        *words, "--seeds", "1", *([] if "--dry-run" in words else ["--dry-run"]), cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "to run" in done.stdout


def test_the_main_command_is_there() -> None:
    assert "python cli.py bench --attack aoa --defense mix" in LINES
    assert any(line == "make check" for line in LINES)


def test_a_run_can_be_shown_and_compared() -> None:
    example = str(readme.EXAMPLE)
    shown = run("show", example, cwd=ROOT / "tests")
    assert shown.returncode == 0, shown.stderr
    compared = run("compare", example, example, cwd=ROOT / "tests")
    assert compared.returncode == 0, compared.stderr
    assert re.search(r" 0 \[-0\.\d, 0\.\d\] +1 ", compared.stdout), "a run differs from itself"


@pytest.mark.parametrize("path", list(readme.pages()), ids=lambda path: path.name)
def test_the_generated_parts_are_what_the_records_say(path: Path) -> None:
    assert path.read_text() == readme.pages()[path], "run: python benchmarks/example/readme.py"


def test_every_finding_that_does_not_hold_is_explained() -> None:
    record = Reproduction.model_validate_json((readme.EXAMPLE / readme.PAPER).read_bytes())
    failing = [one for one in record.verdicts if one.verdict == "not held"]
    assert failing
    assert [one.id for one in failing if one.unlike != paper().unlike[one.id]] == []
    known = {one.id for one in [*read(FINDINGS), *paper().finding]}
    assert paper().unlike.keys() <= known


@pytest.mark.parametrize("package", ["attacks", "defenses", "eval.judges", "eval.elicitations"])
def test_everything_there_is_is_named(package: str) -> None:
    # A judge in `gpt_4.py` is called `gpt-4`.
    missing = [
        name for name in names(package) if not re.search(f"`{name.replace('_', '[-_]')}", TEXT)
    ]
    assert not missing


def test_the_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", TEXT):
        assert (ROOT / target).exists(), target
