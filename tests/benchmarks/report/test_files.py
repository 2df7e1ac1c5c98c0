import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attacks.base import UserError
from benchmarks.report import files, sheet
from benchmarks.results import Matrix
from tests.benchmarks.synthetic import example, matrices

SMALL = example(prompts=11, seeds=1, missing=0.1, few=True)
RUN = "attacks: [aoa]\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "one"
    files.write(folder, SMALL, {"started": "2031-01-01"}, RUN)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(matrices())
def test_a_matrix_reads_back_as_it_was_written(tmp_path: Path, matrix: Matrix) -> None:
    text = files.to_json(sheet.make(matrix))
    (tmp_path / files.MATRIX).write_text(text, encoding="utf-8")
    loaded = files.load(tmp_path)
    assert loaded == matrix
    assert list(loaded.judges) == list(matrix.judges)
    assert files.to_json(sheet.make(loaded)) == text


@given(matrices(), st.randoms())
def test_the_order_of_keys_without_a_meaning_changes_no_byte(matrix: Matrix, order: Any) -> None:
    data = matrix.model_dump()
    for cell in data["cells"]:
        for gate in cell["gates"]:
            gate["evidence"] = dict(
                order.sample(sorted(gate["evidence"].items()), len(gate["evidence"]))
            )
        for asked in cell["asks"].values():
            scores = asked["released"]["scores"]
            asked["released"]["scores"] = dict(order.sample(sorted(scores.items()), len(scores)))
    again = Matrix.model_validate(data)
    assert files.to_json(sheet.make(again)) == files.to_json(sheet.make(matrix))


def test_a_folder_holds_every_file(run: Path) -> None:
    names = set(contents(run))
    assert {"matrix.json", "matrix.csv", "matrix.md", "matrix.tex"} <= names
    assert {"provenance.json", "run.yaml", "report.html"} <= names
    assert {"figures/heatmap.png", "figures/heatmap.svg"} <= names
    assert (run / "run.yaml").read_text() == RUN
    assert files.load(run) == SMALL


def test_times_stand_in_the_provenance_only(run: Path) -> None:
    for name, content in contents(run).items():
        assert (b"2031" in content) == (name == "provenance.json")


def test_the_same_results_give_the_same_bytes(run: Path, tmp_path: Path) -> None:
    files.write(tmp_path / "two", SMALL, {"started": "2032-02-02"}, RUN)
    one, two = contents(run), contents(tmp_path / "two")
    assert {n for n in one if one[n] != two[n]} == {"provenance.json"}


def test_what_is_there_is_not_drawn_again_and_what_is_not_is(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    real = files.contents
    monkeypatch.setattr(files, "contents", lambda *args: drawn.append(1) or real(*args))
    before = contents(run)
    files.write(run, SMALL, {"started": "2031-01-01"}, RUN)
    assert not drawn
    (run / "report.html").write_text("spoilt")
    files.write(run, SMALL, {"started": "2031-01-01"}, RUN)
    assert len(drawn) == 1
    assert contents(run) == before


def test_summary_lines_are_the_computed_numbers(run: Path) -> None:
    data = json.loads((run / "matrix.json").read_text())
    assert data["summary"] == sheet.make(SMALL).records()
    assert all(
        value is None or isinstance(value, str) or math.isfinite(value)
        for line in data["summary"]
        for value in line.values()
    )


def test_a_write_that_fails_leaves_the_old_run_whole(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(run)
    real = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.name == "matrix.tex":
            raise OSError(28, "No space left on device")
        return real(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(UserError, match="No space left on device") as caught:
        files.write(run, example(prompts=11, seeds=2, few=True), {}, RUN)
    assert caught.value.exit_code == 4
    assert contents(run) == before


def test_what_a_killed_write_left_is_cleared(run: Path) -> None:
    (run / ".new-folder").mkdir()
    (run / ".new-folder" / "matrix.json").write_text("half")
    (run / ".new-file").write_text("half")
    files.write(run, SMALL, {"started": "2031-01-01"}, RUN)
    assert not list(run.glob(".new-*"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "no matrix.json"),
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "the whole is not what it should be"),
        ('{"format": 9}', "has format 9 and this version reads 1"),
        ('{"format": 1, "target": 3}', "target is not what it should be"),
    ],
)
def test_a_bad_file_is_told_in_one_line(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / files.MATRIX).write_text(text)
    with pytest.raises(UserError, match=re.escape(said)) as caught:
        files.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_matrix_that_lacks_an_answer_is_damaged(tmp_path: Path) -> None:
    data = json.loads(files.to_json(sheet.make(SMALL)))
    data["cells"][0]["asks"]["plain"]["released"]["scores"]["oracle"].pop()
    (tmp_path / files.MATRIX).write_text(json.dumps(data))
    with pytest.raises(UserError, match="lacks answers"):
        files.load(tmp_path)


def test_the_frame_has_a_row_for_each_entry() -> None:
    frame = files.frame(SMALL)
    assert len(frame) == len(sheet.make(SMALL).records())
    assert frame.rate.dropna().between(0, 1).all()
