"""The command line as a user meets it: one clear line for every mistake, light where it can be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def mooring(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a folder of its own, with a store of its own."""
    return subprocess.run(
        [sys.executable, str(ROOT / "cli.py"), *words],
        cwd=cwd,
        env={**os.environ, "MOORING_STORE": str(cwd / "store"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["bench", "--attack", "ao"], "Did you mean 'aoa'"),
        (["bench", "--attack", "aoa", "--defense", "mx"], "Did you mean 'mix'"),
        (["bench", "--attack", "aoa", "--defense", "mix:m=3"], "unknown parameter 'm'"),
        (["bench", "--attack", "aoa", "--defense", "mix:n=-3"], "greater than or equal to 0"),
        (["bench", "--attack", "aoa", "--judge", "gpt"], "unknown judge 'gpt'"),
        (["bench", "--attack", "aoa", "--target", "nowhere"], "unknown target"),
        (["bench", "--attack", "aoa", "--seeds", "0"], "seeds=0"),
        (["bench", "--attack", "aoa", "--seeds", "1000000000"], "at least 1 and at most 100"),
        (["bench", "--attack", "aoa:epochs=1000000000"], "at least 1 and at most 1,000"),
        (["bench", "--attack", "aoa:batch_size=1000000000"], "at least 1 and at most 4,096"),
        (["bench", "--attack", "aoa", "--limit", "0"], "limit=0"),
        (["bench", "--attack", "file:nowhere.jsonl"], "nowhere.jsonl"),
        (["bench"], "nothing to run"),
        (["bench", "--config", "nowhere.yaml"], "nowhere.yaml"),
        (["bench", "--config", "x.yaml", "--attack", "aoa"], "give it alone"),
        (["bench", "--attacks", "aoa"], "No such option"),
        (["bench", "--attack", "aoa", "--disk-budget", "nan"], "not a number of GB"),
        (["bench", "--attack", r'file:"a\q.jsonl"'], "write a backslash twice"),
        (["store", "gc", "--keep", "nan"], "not a number of GB"),
        (["store", "gc", "--keep", "inf"], "not a number of GB"),
        (["store", "gc", "--keep", "-1"], "not in the range"),
        (["organism", "build", "--world", "5000"], "between 0 and 999"),
        (["organism", "build", "--world", "0"], "is shipped"),
        (["organism", "chat", "--target", "organism:9:ignorant"], "--world 9 --ignorant"),
        (["organism", "build", "--world", "3", "--alignment-seed", "-1"], "below 0"),
        (["organism", "chat", "--target", "organism:9:alignment-2"], "--alignment-seed 2"),
        (["organism", "verify", "--worlds", "3-5000"], "between 0 and 999"),
        (["organism", "verify", "--worlds", "7-3"], "such as 3-7"),
        (
            ["organism", "verify", "--record", "nowhere/x.json"],
            "cannot write into its folder",
        ),
        (["show", "nowhere"], "does not exist"),
        (["list", "defenses", "mx"], "Did you mean 'mix'"),
        (["benhc"], "No such command"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(tmp_path: Path, words: list[str], said: str) -> None:
    done = mooring(*words, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout
    assert not (tmp_path / "runs").exists()


def test_the_folder_of_another_grid_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "run.yaml").write_text("attacks: [aoa, benign]\ndefenses: [mix]\nseeds: 7\n")
    done = mooring("bench", "--attack", "aoa", "--defense", "mix", "--out", "out", cwd=tmp_path)
    assert done.returncode == 2
    assert "another grid" in done.stderr
    assert "seeds: 7" in (out / "run.yaml").read_text()


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("dear")
    done = mooring("bench", "--attack", "aoa", "--out", "letters", cwd=tmp_path)
    assert done.returncode == 2
    assert "not a run" in done.stderr
    assert [p.name for p in (tmp_path / "letters").iterdir()] == ["dear.txt"]


def test_two_benches_into_one_folder(tmp_path: Path) -> None:
    import filelock

    out = tmp_path / "out"
    out.mkdir()
    with filelock.FileLock(out / ".lock"):
        done = mooring("bench", "--attack", "aoa", "--out", "out", cwd=tmp_path)
    assert done.returncode == 2
    assert "another bench" in done.stderr


def test_a_store_of_another_version(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "format.json").write_text('{"format": 99}')
    done = mooring("bench", "--attack", "aoa", cwd=tmp_path)
    assert done.returncode == 2
    assert "format 99" in done.stderr


def test_a_model_folder_without_a_chat_template(tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "model"
    shutil.copytree(ROOT / "targets/organism/weights/aligned", folder)
    (folder / "chat_template.jinja").unlink()
    done = mooring(
        "bench", "--attack", "none", "--target", "model", "--judge", "oracle", "--seeds", "1",
        "--limit", "1", "--workers", "1", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 4
    assert "no chat template" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_another_target_has_no_default_judge(tmp_path: Path) -> None:
    target = str(ROOT / "targets/organism/weights/aligned")
    done = mooring("bench", "--attack", "aoa", "--target", target, cwd=tmp_path)
    assert done.returncode == 2
    assert "choose with --judge" in done.stderr
    assert "refusal" in done.stderr


def test_what_a_person_must_look_at_exits_with_3(tmp_path: Path) -> None:
    (tmp_path / "ask_me.py").write_text(
        "from attacks.base import component\n"
        "from defenses.base import Decision, Defense\n"
        "@component\n"
        "class AskMe(Defense):\n"
        "    def screen(self, upload, provider):\n"
        "        return Decision('review', reason='unsure')\n"
    )
    done = mooring(
        "bench", "--attack", "benign:n=4,epochs=1", "--defense", "./ask_me.py", "--seeds", "1",
        "--limit", "2", "--workers", "1", "--no-counterfactual", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "in 1 cell" in done.stderr
    assert (next((tmp_path / "runs").iterdir()) / "matrix.json").is_file()


def test_a_worker_that_dies_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "dies.py").write_text(
        "import os\n"
        "from attacks.base import component\n"
        "from defenses.base import Defense\n"
        "@component\n"
        "class Dies(Defense):\n"
        "    def screen(self, upload, provider):\n"
        "        os._exit(9)\n"
    )
    done = mooring(
        "bench", "--attack", "benign:n=4,epochs=1", "--defense", "./dies.py", "--seeds", "1",
        "--limit", "2", "--workers", "1", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 4, done.stderr
    assert "a worker process ended" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_full_disk_is_told_in_one_line_and_exits_with_4(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, str(ROOT / "cli.py"), "list", "attacks"],
            cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 4, done.stderr
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [["--help"], ["bench", "--help"], ["moderate", "--help"], ["audit", "--help"],
     ["reproduce", "--help"], ["list"], ["--version"]],
)  # fmt: skip
def test_help_and_list_import_no_torch(tmp_path: Path, words: list[str]) -> None:
    done = _modules(tmp_path, words)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stderr.splitlines()[-1]) == []


def test_a_dry_run_runs_nothing(tmp_path: Path) -> None:
    done = mooring("bench", "--attack", "aoa", "--defense", "mix", "--explain", cwd=tmp_path)
    assert done.returncode == 0
    assert "0 cells stored, 18 to run" in done.stdout
    assert "first missing stage: tune" in done.stdout
    assert not (tmp_path / "runs").exists()


def test_every_example_in_the_help_is_read(tmp_path: Path) -> None:
    text = mooring("bench", "--help", cwd=tmp_path).stdout
    examples = [
        line.split()[1:] for line in text.splitlines() if line.strip().startswith("mooring bench")
    ]
    assert len(examples) >= 3
    for words in examples:
        if "--config" not in words:
            done = mooring(
                *words, *(["--dry-run"] if "--dry-run" not in words else []), cwd=tmp_path
            )
            assert done.returncode == 0, done.stderr


def test_a_run_whose_results_are_all_stored_imports_no_torch(tmp_path: Path) -> None:
    words = ["bench", "--attack", "none", "--seeds", "1", "--limit", "11", "--workers", "1"]
    first = mooring(*words, "--attack", "benign:n=4", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    again = _modules(tmp_path, [*words, "--attack", "benign:n=4"])
    assert again.returncode == 0, again.stderr
    assert "torch" not in json.loads(again.stderr.splitlines()[-1])
    assert first.stdout.splitlines()[:10] == again.stdout.splitlines()[:10]


def _modules(folder: Path, words: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command, then print on standard error which heavy modules it imported."""
    program = (
        f"import sys, json; sys.argv = ['mooring', *{words!r}]; sys.path.insert(0, {str(ROOT)!r})\n"
        "import cli\n"
        "try:\n    cli.main()\n"
        "finally:\n    heavy = {'torch', 'transformers', 'trl', 'sklearn', 'wandb', 'matplotlib'}\n"
        "    print(json.dumps(sorted(heavy & set(sys.modules))), file=sys.stderr)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "MOORING_STORE": str(folder / "store")},
    )  # fmt: skip
