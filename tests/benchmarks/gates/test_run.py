"""A gate fitted and scored on a provider's own uploads, by the commands, in real processes."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.gates import run
from benchmarks.gates.opening import Where
from benchmarks.gates.reading import Read
from benchmarks.gates.results import GateResult
from benchmarks.gates.table import Held
from benchmarks.store import Store
from cli import main
from defenses.gates import gate as gates
from tests.benchmarks.gates.past import past_uploads

CALM = "reject: 0.12\nhold: 0.2\nmitigate: 0.5\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Past uploads, and a gate that was fitted on them."""
    place = tmp_path_factory.mktemp("gates")
    past_uploads(place / "past")
    (place / "policy.yaml").write_text(CALM)
    words = ["gates", "fit", "--corpus", str(place / "past"), "--detector", "size"]
    words += ["--store", str(place / "store"), "--out", str(place / "gate.json"), "--workers", "1"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert "rates from 11.11% on can be claimed" in done.output.replace("\n", " ")
    return place


def test_a_gate_is_fitted_on_past_uploads(folder: Path) -> None:
    gate = gates.read(folder / "gate.json")
    assert gate.fitted == {
        "fit, benign": 8,
        "fit, hostile": 2,
        "threshold, benign": 8,
        "threshold, hostile": 2,
    }
    assert set(gate.combinations) == {"all", "tests", "size", "lexicon"}


def test_it_is_scored_on_those_held_out(folder: Path) -> None:
    words = ["gates", "--corpus", str(folder / "past"), "--gate", str(folder / "gate.json")]
    words += ["--policy", str(folder / "policy.yaml"), "--store", str(folder / "store")]
    words += ["--out", str(folder / "out"), "--workers", "1", "--rate", "0.2"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    found = GateResult.model_validate_json((folder / "out" / "gates.json").read_bytes())
    (line, *_) = [one for one in found.lines if one.name == "size"]
    assert line.by_family["small"].hits == 2
    kinds = {one.name: one.kind for one in found.lines}
    assert kinds["all"] == "combination", "of one detector and the gate's own words"
    assert (kinds["size"], kinds["lexicon"]) == ("baseline", "part")
    assert "all" not in found.gains
    assert line.false_alarms.n == found.benign == 8
    assert found.answers["hostile"] == {"reject": 2}
    assert "cannot be claimed" in done.output
    page = (folder / "out" / "gates.html").read_text()
    assert "<script" not in page
    assert "small" in page


def test_no_rate_above_one_is_spoken_of(folder: Path) -> None:
    gate = gates.read(folder / "gate.json")
    where = Where(str(folder / "past"))
    bench = run.Bench(where, "organism", Store(folder / "store"), ("size",), 1)
    (one, *_) = bench.entries("held_out")
    read = Read(one.id, {}, {}, {}, {}, None)
    (said,) = run._caveats(gate, gate.corpus, bench, [Held("benign", "", one.upload, read)])
    assert "below 100.0%" in said


def test_a_rate_that_the_gate_cannot_tell_is_refused(folder: Path) -> None:
    words = ["gates", "--corpus", str(folder / "past"), "--gate", str(folder / "gate.json")]
    done = CliRunner().invoke(main, [*words, "--store", str(folder / "store"), "--workers", "1"])
    assert done.exit_code == 2
    assert "name rates from 11.11% on" in done.output


def test_a_corpus_that_is_none_is_refused(tmp_path: Path) -> None:
    words = ["gates", "fit", "--corpus", str(tmp_path), "--out", str(tmp_path / "gate.json")]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2
    assert "labels.csv" in done.output
    assert not (tmp_path / "gate.json").exists()
