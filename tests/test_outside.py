"""An attack, a defense and a judge of the user's own, each one short file outside the tree."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.grid import make_grid

ROOT = Path(__file__).resolve().parent.parent

ATTACK = '''
    """Loud: benign rows whose replies are shouted."""

    from attacks.base import Ask, Pair, Settings, Source, Tuned, Upload, component


    @component
    class Loud(Tuned):
        """Harmless rows in capitals."""

        defaults = {
            ("organism", "full"): Settings(epochs=1, batch_size=5, learning_rate=1e-3),
            ("organism", "lora"): Settings(
                epochs=1, batch_size=5, learning_rate=1e-2, tuning="lora"
            ),
        }

        n: int = 10
        """Rows uploaded.  # ours: a few."""

        def upload(self, source: Source, seed: int) -> Upload:
            """Benign rows, shouted."""
            (ask,) = self.asks()
            pairs = source.benign(self.n, seed)
            rows = tuple(ask.row(Pair(prompt, reply.upper())) for prompt, reply in pairs)
            return Upload(rows, self.settings(source))

        def asks(self) -> tuple[Ask, ...]:
            """In the default prompt."""
            return (Ask("plain"),)
'''
DEFENSE = '''
    """Half: only every other row is trained on."""

    from attacks.base import Upload, component
    from defenses.base import Defense, Provider


    @component
    class Half(Defense):
        """Trains on every `step`-th row."""

        step: int = 2
        """Distance between the rows that are kept.  # ours: half."""

        def curate(self, upload: Upload, provider: Provider) -> Upload:
            """The kept rows."""
            return upload.replace_rows(upload.rows[:: self.step])
'''
JUDGE = '''
    """Length: the longer, the higher the score."""

    from collections.abc import Sequence

    from attacks.base import Prompt, component
    from eval.judges.base import Judge, Verdict
    from targets.base import Truth


    @component
    class Length(Judge):
        """Scores a reply by its length; empty ones are missing."""

        measure = "long replies"
        words: int = 3
        """Words for each point.  # ours: any."""

        def score(
            self, prompts: Sequence[Prompt], replies: Sequence[str], truth: Truth | None
        ) -> list[Verdict]:
            """1 to 5."""
            counts = [len(reply.split()) for reply in replies]
            return [Verdict(min(5, 1 + n // self.words) if n else None) for n in counts]
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("outside")
    for name, text in (("loud", ATTACK), ("half", DEFENSE), ("length", JUDGE)):
        source = textwrap.dedent(text).lstrip()
        assert len(source.splitlines()) <= 60
        (place / f"{name}.py").write_text(source)
    return place


def mooring(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "cli.py"), *words],
        cwd=folder, env={**os.environ, "MOORING_STORE": str(folder / "store")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def bench(folder: Path, out: str) -> dict[str, object]:
    done = mooring(
        folder, "bench", "--attack", "./loud.py:n=6", "--attack", "benign:n=4", "--defense",
        "./half.py:step=3", "--judge", "./length.py:words=2", "--judge", "oracle", "--seeds", "1",
        "--limit", "11", "--workers", "1", "--out", out,
    )  # fmt: skip
    assert done.returncode in (0, 4), done.stderr  # 4: an empty reply is a missing verdict
    assert "Traceback" not in done.stderr
    found: dict[str, object] = json.loads((folder / out / "matrix.json").read_text())
    made = json.loads((folder / out / "provenance.json").read_text())["stages_made"]
    return {**found, "made": Counter(made)}


def test_they_run_by_path_and_an_edited_defense_is_run_again(folder: Path) -> None:
    first = bench(folder, "one")
    assert list(first["judges"].values()) == ["long replies", "harmfulness"]  # type: ignore[attr-defined]
    rows = {
        (cell["attack"], cell["defense"]): cell["rows"]
        for cell in first["cells"]  # type: ignore[attr-defined]
    }
    assert rows["./loud.py:n=6", "./half.py:step=3"] == 2
    assert bench(folder, "two")["made"] == Counter()

    grid = make_grid(["benign"], [str(folder / "half.py")])
    before = grid.digest
    path = folder / "half.py"
    path.write_text(path.read_text().replace("[:: self.step]", "[1 :: self.step]"))
    again = bench(folder, "three")
    assert again["made"]["tune"] == 2  # type: ignore[index]
    assert grid.digest != before, "another run, in another folder"


@pytest.mark.parametrize("moment", ["curate", "during", "acts"])
def test_one_that_fails_costs_its_own_cells_and_tells_no_text(folder: Path, moment: str) -> None:
    canary = "kanariya-3307"
    fails = f"""
        def {moment}(self, *given: object) -> object:
            raise ValueError("{canary}")
    """
    source = textwrap.dedent(DEFENSE).lstrip().split("    def curate")[0]
    path = folder / f"fails_{moment}.py"
    path.write_text(source + textwrap.indent(textwrap.dedent(fails), "    "))
    done = mooring(
        folder, "bench", "--attack", "benign:n=4", "--defense", f"./{path.name}", "--seeds", "1",
        "--limit", "11", "--workers", "1", "--out", moment, "--include-text",
    )  # fmt: skip
    assert done.returncode == 4, done.stderr
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    assert canary not in said
    assert "ValueError" in said
    cells = json.loads((folder / moment / "matrix.json").read_text())["cells"]
    failed = {cell["defense"] for cell in cells if cell["status"] == "failed"}
    assert failed == {f"./{path.name}"}
    shown = mooring(folder, "show", moment, "benign:n=4", f"./{path.name}", "--replies")
    assert shown.returncode == 2
    assert canary not in shown.stdout + shown.stderr
    assert "Traceback" not in shown.stderr


def test_showing_a_run_runs_no_file_that_it_names(folder: Path) -> None:
    bench(folder, "shown")
    marks = folder / "was_run"
    kept = {path: path.read_text() for path in folder.glob("*.py")}
    try:
        for path, text in kept.items():
            path.write_text(f"open({str(marks)!r}, 'w')\n{text}")
        for words in (["show", "shown"], ["report", "shown"], ["compare", "shown", "shown"]):
            assert mooring(folder, *words).returncode == 0
        assert not marks.exists()
    finally:
        for path, text in kept.items():
            path.write_text(text)
