"""`mooring reproduce` as a user meets it: one line for every mistake."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import cli
from targets.organism.places import WORLDS

WEIGHTS = Path(__file__).parents[2] / "targets" / "organism" / "weights" / "aligned"


def reproduce(*words: str, store: Path) -> Result:
    return CliRunner().invoke(cli.main, ["reproduce", *words, "--store", str(store)])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["6"], "Table 6 is not reproduced"),
        (["9"], "LegalBench"),
        (["perspective"], "service ended"),
        (["table-1"], "unknown table 'table-1'"),
        (["figure-2"], "Available: 1, 2, 3, 4, 5, moderation"),
        (["1", "--worlds", "3-"], "such as 3-7"),
        (["1", "--worlds", f"3-{WORLDS[-1] + 1}"], "is not between 0 and"),
        (["1", "--worlds", "3", "--target", str(WEIGHTS)], "--worlds is of the built-in model"),
        (["1", "--target", "nowhere"], "unknown target 'nowhere'"),
        (["1", "--target", "organism:9:bas"], "unknown target"),
        (["1", "--judge", "gpt"], "unknown judge"),
        (["1", "--judge", "refusal"], "measures the keyword rate"),
        (["1", "--data", "nowhere.yaml"], "nowhere.yaml"),
        (["1", "--base-url", "http://localhost:1"], "openai:"),
        (["1", "--seeds", "0"], "not in the range"),
        (["1", "--limit", "0"], "not in the range"),
        (["1", "--limit", "100000000"], "not in the range"),
        (["1", "--workers", "0"], "not in the range"),
        (["1", "--disk-budget", "nan"], "not a number of GB"),
        (["1", "--budget", "-1"], "not in the range"),
    ],
)
def test_a_mistake_is_told_in_one_line(words: list[str], said: str, tmp_path: Path) -> None:
    done = reproduce(*words, store=tmp_path / "store")
    assert done.exit_code == 2, done.output
    assert said in done.output
    assert "Traceback" not in done.output


def test_out_must_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    done = reproduce("1", "--out", str(tmp_path / "file"), store=tmp_path / "store")
    assert done.exit_code == 2
    assert "is a file; give a folder" in done.output
    assert (tmp_path / "file").read_text() == "mine"


def test_a_dry_run_makes_nothing(tmp_path: Path) -> None:
    done = reproduce("figure-1", "moderation", "--worlds", "0", "--dry-run", store=tmp_path / "s")
    assert done.exit_code == 0, done.output
    assert "0 cells, 0 tuned models" in done.output
    assert "not run, 33 numbers: the invented kinds" in done.output


def test_tables_that_need_what_is_not_there_are_told_without_a_model(tmp_path: Path) -> None:
    words = ["figure-1", "moderation", "--worlds", "0", "--seeds", "1"]
    done = reproduce(*words, store=tmp_path / "store")
    assert done.exit_code == 0, done.output
    told = " ".join(done.output.split())
    assert "not one by one" in told
    assert "service ended" in told
    assert "built in: 1 of 1 held" in told
    alone = reproduce("figure-1", "--worlds", "0", "--seeds", "1", store=tmp_path / "store")
    assert alone.exit_code == 4
    assert "nothing could be run here" in alone.output


def test_every_example_in_the_help_is_read(tmp_path: Path) -> None:
    text = CliRunner().invoke(cli.main, ["reproduce", "--help"]).output
    lines = [line.split()[2:] for line in text.splitlines() if "  mooring reproduce" in line]
    assert len(lines) >= 4
    for words in lines:
        if "--target" not in words:
            done = reproduce(*words, "--dry-run", store=tmp_path / "store")
            assert done.exit_code == 0, done.output
            assert "tuned models" in done.output
    assert not (tmp_path / "paper").exists()
