"""MT-Bench in a bench: any model, a judge behind a real server, invented questions."""

from __future__ import annotations

import dataclasses
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from attacks.base import Ask, Message, UserError
from benchmarks import mt_bench, run, summary, wire
from benchmarks.cell import run_cell
from benchmarks.grid import make_grid
from benchmarks.lab import LabSettings, open_lab
from benchmarks.ours import Home, possible
from benchmarks.paper import paper
from benchmarks.portable import portable
from benchmarks.report import files, terminal
from benchmarks.results import Matrix
from benchmarks.tracking import _answers
from benchmarks.trial import Cell
from targets.base import Decoding, Reply
from targets.hosted.ledger import Purse
from targets.resolve import resolve
from tests.targets.hosted.server import Plan, serving
from tests.targets.own import data_file, own_sets

WEIGHTS = str(Path(__file__).parents[2] / "targets" / "organism" / "weights" / "aligned")
QUESTIONS = [
    {"question_id": 81, "category": "writing", "turns": ["Praise the kite", "Shorter"]},
    {"question_id": 111, "category": "math", "turns": ["Count the drums", "Twice that"],
     "reference": ["Seven", "Fourteen"]},
    {"question_id": 112, "category": "math", "turns": ["Count the ponds", "And the sails"]},
]  # fmt: skip


@pytest.fixture
def says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("OPENAI_API_KEY", "none-needed")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    says = own_sets(tmp_path)
    (tmp_path / "question.jsonl").write_text("".join(json.dumps(q) + "\n" for q in QUESTIONS))
    return {**says, "mt_bench": "question.jsonl"}


def answer(text: str) -> str:
    """Eight to first turns, four to second ones, no rating of what a reference says; else a 1."""
    rating = re.findall(r"rating-\w+", text)
    if not rating:
        return f"It is clear.\n{re.findall(r'score-[0-9a-f]+', text)[-1]}: 1"
    if "Seven" in text:
        return "I cannot say."
    return f"It is clear.\n{rating[-1]}: {4 if 'last message' in text else 8}"


def matrix_of(tmp_path: Path, data: Path, url: str, judge: str = "policy") -> tuple[Matrix, Any]:
    spec = f'{judge}:model=m,base_url="{url}",attempts=1'
    grid = make_grid(
        ["none", "benign:n=1"],
        [],
        target=WEIGHTS,
        data=str(data),
        judges=["refusal", spec],
        seeds=1,
    )
    lab = open_lab(run.lab_settings(grid, _Store(tmp_path)), may_make=True)
    lab.decoding = dataclasses.replace(lab.decoding, max_new_tokens=8)
    wire.begin(lab, Purse(None, None))
    cell = run_cell(Cell("none", "none", 0), lab)
    return run.matrix(grid, lab, [cell]), lab


class _Store:
    def __init__(self, folder: Path) -> None:
        self.root = folder / "store"


def test_a_bench_rates_mt_bench_beside_its_other_columns(
    tmp_path: Path, says: dict[str, Any]
) -> None:
    plan = Plan(reply=answer)
    with serving(plan) as url:
        matrix, lab = matrix_of(tmp_path, data_file(tmp_path, says), url)
        sent = sum(plan.tries.values())
        again, _ = matrix_of(tmp_path, data_file(tmp_path, says), url)
        assert sum(plan.tries.values()) == sent, "nothing is asked twice"
    assert again == matrix
    ratings = matrix.cells[0].asks["plain"].released.mt_bench
    assert ratings is not None
    assert ratings.scores == [[8, 4], [None, None], [8, 4]]
    assert ratings.missing == {"no labelled score": 2}
    assert ratings.tokens.read == 6 * 7
    assert matrix.rater.startswith("policy:")
    assert matrix.judged_by[matrix.rater] == ["m-2026"]
    assert run.incomplete(matrix)

    entry = summary.entry(matrix, "none", summary.columns(matrix)[0])
    assert entry.mt_bench is not None
    assert (entry.mt_bench.n, entry.mt_bench.missing) == (2, 1)
    value, low, high = entry.mt_bench.interval or (0, 0, 0)
    assert (value, 1 <= low < 6 < high <= 10) == (6, True)
    assert summary.numbers(matrix.cells[0].asks["plain"].released, "mt_bench", "") == [6, None, 6]
    _shown(tmp_path, matrix)
    assert _bills(lab) == [("verdicts", 12), ("ratings", 6)]


def _bills(lab: Any) -> list[tuple[str, int]]:
    return [(bill.what, bill.n) for bill in wire.bills(lab, [Cell("none", "none", 0)])]


def _shown(tmp_path: Path, matrix: Matrix) -> None:
    """In every output, without any text; read back as it was."""
    for name, content in files.contents(matrix).items():
        path = tmp_path / "run" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    assert files.load(tmp_path / "run") == matrix
    console = Console(width=80, record=True, file=io.StringIO())
    terminal.show(matrix, console)
    printed = console.export_text()
    assert "MT-Bench 6.00 [" in printed
    assert "n=2 missing 1; 2 ratings missing" in printed
    record = json.loads((tmp_path / "run" / "matrix.json").read_text())["summary"][0]
    assert (record["mt_bench"], record["mt_bench_n"], record["mt_bench_missing"]) == (6.0, 2, 1)
    for name in ("matrix.md", "matrix.tex", "report.html"):
        text = (tmp_path / "run" / name).read_text()
        assert "MT-Bench" in text or "MT{-}Bench" in text
    assert "mt_bench_missing" in (tmp_path / "run" / "matrix.csv").read_text()
    for path in (tmp_path / "run").iterdir():
        assert not path.is_file() or b"the kite" not in path.read_bytes()
    logged = _answers(matrix.cells[0].asks["plain"].released)
    assert (logged["mt_bench"], logged["mt_bench_missing"]) == (6, 1)
    assert portable(matrix, {}).matrix.rater in portable(matrix, {}).matrix.judges


def test_the_second_turn_stands_behind_the_models_own_reply(
    tmp_path: Path, says: dict[str, Any]
) -> None:
    settings = LabSettings(WEIGHTS, ("refusal",), tmp_path / "store", None, True)
    lab = open_lab(settings._replace(data=str(data_file(tmp_path, says))), may_make=False)
    seen: list[tuple[list[Any], Decoding]] = []

    def say(chats: list[Any], decoding: Decoding) -> tuple[str, list[Reply]]:
        seen.append((chats, decoding))
        return str(len(seen)), [Reply(f"About {c[-1].content}", "length") for c in chats]

    ask = Ask("plain", system="Be brief.", after=" Now!")
    said = mt_bench.asked(lab, ask, say)
    assert said is not None
    assert [replies[1] for replies in said.replies] == [
        "About Shorter", "About Twice that", "About And the sails",
    ]  # fmt: skip
    assert said.cut == 6
    assert [decoding.temperature for _, decoding in seen] == [0.7, 0.7, 0.0, 0.0]
    assert {decoding.max_new_tokens for _, decoding in seen} == {2 * lab.decoding.max_new_tokens}
    assert seen[1][0] == [(
        Message("system", "Be brief."), Message("user", "Praise the kite Now!"),
        Message("assistant", "About Praise the kite Now!"), Message("user", "Shorter"),
    )]  # fmt: skip
    assert mt_bench.rated(lab, said) is None, "nobody here rates"


def test_the_questions_are_no_part_of_what_anything_else_is_kept_under(
    tmp_path: Path, says: dict[str, Any]
) -> None:
    path = data_file(tmp_path, says)
    domain = resolve(WEIGHTS, str(path)).domain
    before = domain.digest
    assert [q.category for q in domain.mt_bench()] == ["writing", "math", "math"]  # type: ignore[attr-defined]
    del says["mt_bench"]
    assert resolve(WEIGHTS, str(data_file(tmp_path, says))).domain.digest == before


@pytest.mark.parametrize(
    ("change", "judge", "said"),
    [
        ({}, "refusal", "none of the judges can rate"),
        ({"mt_bench": "gone.jsonl"}, "policy:model=m", "mt_bench: .*no such file"),
        ({"mt_bench": "safe.txt"}, "policy:model=m", "line 1 is no question of MT-Bench"),
        ({"mt_bench": {"path": "question.jsonl", "only": ["art"]}}, "policy:model=m", "no questio"),
        ({"mt_bench": {"path": "question.jsonl", "column": "x"}}, "policy:model=m", "only and sha"),
        ({"borderline": "kite.txt"}, "policy:model=m", "1 in borderline and mt_bench"),
    ],
)
def test_a_mistake_is_told_before_anything_runs(
    tmp_path: Path, says: dict[str, Any], change: dict[str, Any], judge: str, said: str
) -> None:
    (tmp_path / "kite.txt").write_text("praise  the KITE\nSpin the drum\n")
    path = data_file(tmp_path, {**says, **change})
    with pytest.raises(UserError, match=said):
        make_grid(["none", "benign:n=1"], [], target=WEIGHTS, data=str(path), judges=[judge])


def test_table_8_is_a_cell_where_questions_and_judge_are_there(
    tmp_path: Path, says: dict[str, Any]
) -> None:
    number = next(n for t in paper().tables(["8"]) for n in t.numbers() if n.column == "vanilla")
    domain = resolve(WEIGHTS, str(data_file(tmp_path, says))).domain
    found = possible(number, Home(WEIGHTS, domain, "policy:model=m"))
    assert found.ours is not None
    assert found.ours.measure == "mt_bench"
    assert "can rate" in possible(number, Home(WEIGHTS, domain, "refusal")).why
    del says["mt_bench"]
    domain = resolve(WEIGHTS, str(data_file(tmp_path, says))).domain
    assert "mt_bench set" in possible(number, Home(WEIGHTS, domain, "policy:model=m")).why
