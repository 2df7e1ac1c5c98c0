"""`mooring validate` as a user meets it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click.testing
import pytest

from cli import main

ROOT = Path(__file__).resolve().parents[2]
ROW = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
GOOD = (json.dumps(ROW) + "\n").encode() * 10
BAD = b'{"messages": [{"role": "kanariya", "content": "kanariya"}]}\n'
HIDDEN = GOOD.replace(b'"b"', b'"b\\u200b"')


def run(*words: str, data: bytes | None = None) -> click.testing.Result:
    return click.testing.CliRunner().invoke(main, ["validate", *words], input=data)


@pytest.mark.parametrize(
    ("data", "options", "code"),
    [
        (GOOD, (), 0),
        (GOOD, ("--profile", "openai", "--strict"), 0),
        (GOOD + BAD, (), 1),
        (HIDDEN, (), 0),
        (HIDDEN, ("--strict",), 1),
        (HIDDEN, ("--fail-on", "warning"), 1),
        (GOOD[:90], ("--profile", "openai"), 1),
        (b"", (), 1),
        (b"\x1f\x8b\0", (), 1),
    ],
)
@pytest.mark.parametrize("style", ["text", "json", "sarif", "junit"])
def test_the_exit_code_is_the_same_in_every_format(
    tmp_path: Path, data: bytes, options: tuple[str, ...], code: int, style: str
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(data)
    done = run(str(path), *options, "--format", style)
    assert done.exit_code == code, done.output
    assert "kanariya" not in done.output
    assert len(done.stdout.splitlines()) <= 20 or style != "text"
    piped = run("-", *options, "--format", style, data=data)
    assert piped.exit_code == code


def test_a_name_moves_no_cursor(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[31m\u202eb\n[bold]c.jsonl"
    path.write_bytes(GOOD)
    done = run(str(path))
    assert "a?[31m?b?[bold]c.jsonl: 10 of 10 lines" in done.stdout


def test_a_report_for_machines(tmp_path: Path) -> None:
    path, target = tmp_path / "rows.jsonl", tmp_path / "report.json"
    path.write_bytes(GOOD + BAD)
    done = run(str(path), "--format", "json", "--out", str(target))
    assert (done.exit_code, done.stdout) == (1, f"report: {target}\n")
    told: dict[str, Any] = json.loads(target.read_text())
    assert (told["rows"], told["lines"], told["passed"]) == (10, 11, False)
    assert told["bytes"] == path.stat().st_size
    assert {one["rule"] for one in told["findings"]} == {"role-unknown"}
    assert {one["line"] for one in told["findings"]} == {11}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere.jsonl"], "No such file"),
        (["."], "is a folder"),
        (["/dev/zero"], "device"),
        (["rows.jsonl", "--out", "rows.jsonl"], "overwritten"),
        (["rows.jsonl", "--out", "nowhere/x"], "cannot write"),
        (["rows.jsonl", "--format", "pdf"], "Invalid value"),
        ([], "Missing argument"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rows.jsonl").write_bytes(GOOD)
    done = run(*words)
    assert done.exit_code == 2
    assert said in done.output
    assert Path("rows.jsonl").read_bytes() == GOOD


def test_the_front_door_and_a_full_disk(tmp_path: Path) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("no device that is full")
    (tmp_path / "rows.jsonl").write_bytes(GOOD)
    done = subprocess.run(
        [sys.executable, str(ROOT / "cli.py"), "validate", "rows.jsonl", "--out", "/dev/full"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (4, "")
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr
