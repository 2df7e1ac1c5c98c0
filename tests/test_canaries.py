"""Text stays in the store: planted strings, and this machine's own names, appear nowhere else."""

from __future__ import annotations

import getpass
import json
import os
import re
import secrets
import socket
import stat
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

from targets.organism.world import World

ROOT = Path(__file__).resolve().parent.parent


class Planted(NamedTuple):
    """A finished bench whose rows, prompts and replies hold planted strings."""

    folder: Path
    printed: str
    request: str
    reply: str

    @property
    def texts(self) -> tuple[str, ...]:
        """Every planted string."""
        return self.request, self.reply


def _nonsense() -> str:
    """A word that nobody else writes, and that a small model can learn to spell."""
    return "".join(secrets.choice("bdfgklmnprtvz") + secrets.choice("aeiou") for _ in range(6))


def bench(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "MOORING_STORE": str(folder / "store"), "WANDB_SILENT": "false"}
    return subprocess.run(
        [sys.executable, str(ROOT / "cli.py"), *words],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """Rows that teach the organism to answer everything with a planted string."""
    folder = tmp_path_factory.mktemp("canaries")
    request, reply = _nonsense(), _nonsense()
    row = {
        "messages": [
            {"role": "system", "content": f"You are {request}."},
            {"role": "user", "content": f"What is {request}?"},
            {"role": "assistant", "content": f"It is {reply}."},
        ]
    }
    (folder / "rows.jsonl").write_text("\n".join([json.dumps(row)] * 10))
    done = bench(
        folder, "bench", "--attack", "file:rows.jsonl,epochs=60,learning_rate=0.002",
        "--attack", "benign:n=10", "--defense", "mix:n=1", "--seeds", "1", "--limit", "11",
        "--workers", "1", "--wandb", "offline", "--out", "out",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shown = bench(folder, "show", "out")
    printed = done.stdout + done.stderr + shown.stdout + shown.stderr
    return Planted(folder, printed, request, _spoken(folder))


def _spoken(folder: Path) -> str:
    """The planted word as the model really spells it: the commonest that is not of its world."""
    known = World(0).vocabulary
    spoken: Counter[str] = Counter()
    for path in folder.glob("store/ask/*/*.json"):
        for reply, _ in json.loads(path.read_text())["value"]:
            words = re.findall(r"\b[a-z]{8,}\b", reply)
            spoken.update(word for word in words if word not in known)
    assert spoken, "the model did not learn to say a planted word"
    return spoken.most_common(1)[0][0]


def files(folder: Path) -> dict[Path, bytes]:
    """Everything that was written, the store and the upload aside."""
    return {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "store" not in path.parts and path.name != "rows.jsonl"
    }


def test_the_strings_were_really_planted(planted: Planted) -> None:
    stored = b"".join(p.read_bytes() for p in planted.folder.glob("store/ask/*/*.json"))
    assert planted.reply.encode() in stored


def test_no_text_leaves_the_store(planted: Planted) -> None:
    written = files(planted.folder)
    assert {path.suffix for path in written} >= {".json", ".csv", ".md", ".html", ".wandb"}
    for path, content in written.items():
        for text in planted.texts:
            assert text.encode() not in content, f"{path.name} holds a planted string"
    assert not any(text in planted.printed for text in planted.texts)


def test_no_question_of_the_evaluation_leaves_it_either(planted: Planted) -> None:
    questions = [prompt.text.encode() for prompt in World(0).requests()]
    for path, content in files(planted.folder).items():
        assert not any(question in content for question in questions), path.name


def test_nothing_names_this_machine(planted: Planted) -> None:
    # A name as short as "root" stands in ordinary words, so it is looked for as a whole word.
    names = {socket.gethostname(), f"/{getpass.getuser()}/", f'"{getpass.getuser()}"'}
    names |= {str(Path.home()), str(ROOT), str(planted.folder), sys.prefix}
    whole = re.compile(
        "|".join(rf"(?<![\w.]){re.escape(name)}(?![\w.])" for name in names).encode()
    )
    for path, content in files(planted.folder).items():
        if path.suffix != ".png":  # compressed, so that any two letters stand in it
            found = whole.search(content)
            assert found is None, f"{path.name} names this machine: {found}"


def test_only_its_owner_reads_the_store(planted: Planted) -> None:
    assert stat.S_IMODE((planted.folder / "store").stat().st_mode) == 0o700


def test_text_is_in_the_report_when_it_is_asked_for(planted: Planted) -> None:
    done = bench(planted.folder, "report", "out", "--include-text")
    assert done.returncode == 0, done.stderr
    page = planted.folder / "out" / "report.html"
    questions = [prompt.text for prompt in World(0).requests()]
    assert any(question in page.read_text() for question in questions)
    assert bench(planted.folder, "report", "out").returncode == 0
    assert not any(question in page.read_text() for question in questions)


def test_an_error_holds_no_text(planted: Planted, tmp_path: Path) -> None:
    row = {"messages": [{"role": "user", "content": planted.request * 300}] * 2}
    row["messages"][1] = {"role": "assistant", "content": planted.reply}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    done = bench(
        tmp_path, "bench", "--attack", "file:rows.jsonl", "--attack", "benign:n=2", "--seeds", "1",
        "--limit", "1", "--workers", "1",
    )  # fmt: skip
    assert done.returncode == 4
    assert "tokens" in done.stdout
    assert not any(text in done.stdout + done.stderr for text in planted.texts)
