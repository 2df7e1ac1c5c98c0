"""The paper's tables on the organism: what is planned, what is shared, and one table run."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import cli
from attacks.base import UserError
from benchmarks import reproduce, verify
from benchmarks.engines import local
from benchmarks.findings import Measured
from benchmarks.lab import LabSettings, open_lab
from benchmarks.ours import Ours
from benchmarks.paper import paper
from benchmarks.report import reproduction
from benchmarks.reproduce import Chosen, execute, plan, put_together
from benchmarks.reproduction import Reproduction
from benchmarks.results import Gate
from benchmarks.run import Budget
from benchmarks.store import Store
from benchmarks.verify import Case, measure
from eval.judges.refusal import refuses
from targets.organism.world import World
from tests.benchmarks.reproduced import made_up
from tests.targets.hosted.server import Plan as Server
from tests.targets.hosted.server import serving
from tests.targets.own import data_file, own_sets

WEIGHTS = Path(__file__).parents[2] / "targets" / "organism" / "weights" / "aligned"
LIMIT = 11


@pytest.fixture(scope="module")
def whole() -> reproduce.Plan:
    """All tables in the worlds of the report."""
    return plan([])


def test_a_plan_of_everything_is_affordable(whole: reproduce.Plan) -> None:
    found = whole
    assert found.worlds == [3, 4, 5, 6, 7]
    assert found.judges == ["oracle", "refusal"]
    # Three quarters of an hour on two cores, at what a tuned model of the organism takes.
    assert 300 < found.tuned < 2 * 45 * 60 / reproduce.SECONDS
    assert len(set(found.pairs)) == len(found.pairs)


def test_worlds_are_grids_of_the_same_cells() -> None:
    found = plan(["1", "4"], worlds="3-4", seeds=2)
    grids = dict(found.grids())
    assert {grid.target for grid in grids.values()} == {"organism:3", "organism:4"}
    cells = grids[3].cells()
    assert cells == grids[4].cells()
    assert len(cells) == len(set(cells)) == 2 * len(found.pairs)
    assert [cell.defense for cell in cells[: 2 * sum(d == "none" for _, d in found.pairs)]] == [
        "none"
    ] * (2 * sum(d == "none" for _, d in found.pairs))
    assert grids[3].digest != grids[4].digest
    other = next(grid for _, grid in plan(["1"], worlds="3", seeds=2).grids())
    assert other.digest != grids[3].digest
    # Only what the tables ask for: no attack is crossed with another's doses.
    assert ("aoa:epochs=10", "mix:n=100") not in found.pairs
    assert Chosen.model_validate(grids[3].model_dump()) == grids[3]


def test_what_means_the_same_is_run_once() -> None:
    found = plan(["1", "2", "4", "figure-3"], worlds="3")
    aoa = [pair for pair in found.pairs if pair[0].startswith("aoa") and pair[1] == "none"]
    assert len(aoa) == 3
    again = found.cells[Ours("harmful:n=100,epochs=5", "none", "plain", "rate")]
    assert again == found.cells[Ours("harmful:n=100", "none", "plain", "rate")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"target": str(WEIGHTS), "worlds": "3-4"}, "--worlds is of the built-in model"),
        ({"target": "organism:3", "worlds": "3-4"}, "--worlds is of the built-in model"),
        ({"worlds": "7-3"}, "such as 3-7"),
        ({"target": "nowhere"}, "unknown target"),
        ({"judge": "refusal"}, "measures the keyword rate"),
        ({"judge": "oracl"}, "unknown judge"),
        ({"judge": "oracle+noisy"}, "judges are not composed"),
        ({"data": "nowhere.yaml"}, "nowhere.yaml"),
    ],
)
def test_a_mistake_is_told_before_anything_runs(words: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        plan(["1"], **words)


def test_a_model_without_a_judge_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    found = plan(["1", "7"], target=str(WEIGHTS))
    assert found.home.judge == ""
    assert found.judges == ["refusal"]
    whys = {cell.why for number, cell in found.numbers if number.measure == "rate"}
    assert all("set OPENAI_API_KEY" in why for why in whys)
    assert any(cell.ours for number, cell in found.numbers if number.measure == "keyword")


def test_own_data_need_their_own_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    path = str(data_file(tmp_path, own_sets(tmp_path)))
    found = plan(["1"], target=str(WEIGHTS), data=path)
    assert found.home.judge == "gpt-4"
    assert found.worlds == []
    with pytest.raises(UserError, match="know only the organism's world"):
        plan(["1"], target=str(WEIGHTS), data=path, judge="oracle")


def test_everything_is_put_beside_the_paper(whole: reproduce.Plan) -> None:
    result = put_together(whole, made_up(whole))
    assert len(result.lines) == sum(1 for table in paper().table for _ in table.numbers())
    assert all((line.ours is None) == bool(line.why) for line in result.lines)
    ids = [one.id for one in result.verdicts]
    assert ids == [name for table in paper().table for name in table.findings]
    decided = [one for one in result.verdicts if one.verdict != "not run"]
    assert {one.verdict for one in decided} == {"held", "not held"}
    assert {one.role for one in decided} >= {"held out", "designed for", "added later"}
    assert [one.id for one in result.verdicts if one.verdict == "not run"] == ["aoa-no-word"]
    # Only where there are three attacked cells of one model, and not all alike.
    assert {tau.table for tau in result.taus if tau.tau} >= {"1", "4", "7", "10", "11"}
    assert all(tau.tau is None for tau in result.taus if tau.n < 3 or tau.table == "2")
    assert "not reproduced" in result.word
    assert result.caveats == []
    assert Reproduction.model_validate_json(result.model_dump_json()) == result
    assert not result.incomplete


@pytest.mark.parametrize(("worlds", "told"), [("3-7", True), ("3-6", False), ("8-12", False)])
def test_only_the_worlds_that_were_looked_at_are_explained(worlds: str, told: bool) -> None:
    found = plan(["2", "3"], worlds=worlds, seeds=2)
    result = put_together(found, made_up(found))
    failing = [one for one in result.verdicts if one.verdict == "not held"]
    assert failing
    assert {bool(one.unlike) for one in failing} == {told}


def test_why_there_is_no_verdict_is_told() -> None:
    found = plan(["2"], worlds="0", seeds=2)
    matrices = made_up(found)
    cells = []
    for cell in matrices[0].cells:
        asks = {}
        for name, asked in cell.asks.items():
            lost = {judge: [None] * len(row) for judge, row in asked.released.scores.items()}
            why = {judge: {"no labelled score": len(row)} for judge, row in lost.items()}
            released = asked.released.model_copy(update={"scores": lost, "missing": why})
            asks[name] = asked.model_copy(update={"released": released})
        cells.append(cell.model_copy(update={"asks": asks}))
    result = put_together(found, {0: matrices[0].model_copy(update={"cells": cells})})
    assert {one.why for one in result.lines} == {"no verdict (no labelled score)"}
    assert {one.why for one in result.verdicts} == {"no verdict (no labelled score)"}
    assert result.is_empty


def test_a_cell_that_failed_has_no_number() -> None:
    found = plan(["2"], worlds="0", seeds=2)
    matrices = made_up(found)
    failed = [
        cell.model_copy(update={"status": "failed", "reason": "no room", "asks": {}})
        if cell.attack == "aoa:epochs=3"
        else cell
        for cell in matrices[0].cells
    ]
    result = put_together(found, {0: matrices[0].model_copy(update={"cells": failed})})
    bad = [line for line in result.lines if line.column == "3 epochs"]
    assert [(line.ours, line.why) for line in bad] == [(None, "no room")] * 4
    assert result.incomplete
    (epochs,) = [one for one in result.verdicts if one.id == "aoa-epochs"]
    assert (epochs.verdict, epochs.why) == ("not run", "no room")
    assert "worlds 0 to 2" in result.caveats[0]


@pytest.mark.parametrize("finding", [False, True])
def test_a_seed_that_failed_is_told_beside_the_number(finding: bool) -> None:
    """Of a cell with a line of its own, and of one that only a finding looks at."""
    found = plan([], worlds="3", seeds=2) if finding else plan(["2"], worlds="3", seeds=2)
    shown = {found.cells[cell.ours] for _, cell in found.numbers if cell.ours}
    alone = (pair for pair in found.pairs if pair not in shown)
    bad = next(alone) if finding else ("aoa:epochs=3", "none")
    told: dict[str, Any] = {"status": "failed", "reason": "no room", "asks": {}}
    matrices = made_up(found)
    cells = [
        cell.model_copy(update=told)
        if (cell.attack, cell.defense, cell.seed) == (*bad, 1)
        else cell
        for cell in matrices[3].cells
    ]
    result = put_together(found, {3: matrices[3].model_copy(update={"cells": cells})})
    assert result.incomplete
    assert all("1 of 2 trainings are missing: no room" in one for one in result.unfinished)
    lines = [one for one in result.lines if one.why and one.ours]
    assert bool(lines) is not finding
    assert any("1 of 2 trainings" in one.why for one in result.verdicts)


def test_rows_that_a_server_refused_are_not_measured_by_the_model_before_them() -> None:
    found = plan(["2"], worlds="0", seeds=1)
    matrices = made_up(found)
    gate = Gate(moment="server", outcome="refuse", reason="p", kept=1, rows=1, evidence={})
    told: dict[str, Any] = {"released": False, "status": "not tuned", "gates": [gate]}
    told["reason"] = "refused by the server: policy"
    cells = [
        cell.model_copy(update=told) if cell.attack == "aoa:epochs=10" else cell
        for cell in matrices[0].cells
    ]
    result = put_together(found, {0: matrices[0].model_copy(update={"cells": cells})})
    refused = [line for line in result.lines if line.column == "10 epochs"]
    assert [(line.ours, line.why) for line in refused] == [(None, told["reason"])] * 4
    # To run it again would change nothing.
    assert not result.incomplete


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `organism verify` leaves behind of the cells of Table 2, small."""
    root = tmp_path_factory.mktemp("reproduce") / "store"
    judges = ("oracle", "refusal")
    lab = open_lab(LabSettings("organism:0", judges, root, LIMIT, False), may_make=True)
    for epochs in (0, 3, 5, 10):
        cell = Measured(attack={"name": "aoa", "epochs": epochs})
        measure(Case(0, 0, cell.model_dump_json()), lab)
    assert lab.made["tune"] == 3
    return root


WORDS = ["reproduce", "2", "moderation", "--worlds", "0", "--seeds", "1", "--limit", str(LIMIT)]


def test_a_table_end_to_end_from_what_verify_measured(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*given: object) -> None:
        raise AssertionError("everything is in the store: no worker is needed")

    monkeypatch.setattr(local, "run", refuse)
    run = CliRunner().invoke(cli.main, [*WORDS, "--store", str(store), "--out", str(tmp_path)])
    assert run.exit_code == 0, run.output
    found = Reproduction.model_validate(json.loads((tmp_path / reproduction.RESULT).read_text()))
    rates = {line.column: line for line in found.lines if line.measure == "rate"}
    assert set(rates) == {"initial", "3 epochs", "5 epochs", "10 epochs"}
    assert all(line.ours and line.n == LIMIT for line in rates.values())
    assert rates["initial"].ours is not None
    assert rates["initial"].ours.value == 0
    (scan,) = [one for one in found.verdicts if one.id == "aoa-no-word"]
    assert (scan.verdict, scan.role) == ("held", "built in")
    assert scan.number is not None
    assert scan.number.value == 0
    assert {one.verdict for one in found.verdicts} <= {"held", "not held"}
    assert "Not reproduced" in (tmp_path / reproduction.PAGE).read_text()
    said = " ".join(run.output.split())
    assert "service ended" in said
    assert "what holds in 0 is no evidence" in said


def test_a_dry_run_counts_what_is_left(store: Path) -> None:
    run = CliRunner().invoke(cli.main, [*WORDS, "--store", str(store), "--dry-run"])
    assert run.exit_code == 0, run.output
    assert "4 cells, 3 tuned models; 4 cells stored, 0 to run" in run.output
    more = CliRunner().invoke(cli.main, [*WORDS, "1", "--store", str(store), "--dry-run"])
    assert "6 tuned models; 4 cells stored, 6 to run" in more.output
    assert "of one core for each tuned model" in more.output
    far = [word if word != "0" else "900" for word in WORDS]
    built = CliRunner().invoke(cli.main, [*far, "--store", str(store), "--dry-run"])
    assert "the organisms of worlds 900 are built first" in built.output


def test_progress_counts_every_cell(store: Path) -> None:
    told: list[tuple[int, int]] = []
    found = plan(["2"], worlds="0", seeds=1, limit=LIMIT)
    result = execute(found, Store(store), show=lambda done, total: told.append((done, total)))
    assert told == [(i, 4) for i in range(1, 5)]
    assert result.requests == LIMIT


def test_a_tool_is_given_the_replies_that_its_numbers_are_of(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables 2 and 7: those of both are judged once, those of Table 2 alone are not sent."""
    monkeypatch.setenv("OPENAI_API_KEY", "none-needed")
    (seven,) = paper().tables(["7"])
    rows = [row for row in seven.block[1].row if "rate" not in row.values]
    block = seven.block[1].model_copy(update={"columns": seven.block[1].columns[:2], "row": [
        row.model_copy(update={"values": {m: v[:2] for m, v in row.values.items()}}) for row in rows
    ]})  # fmt: skip
    tables = [*paper().tables(["2"]), seven.model_copy(update={"block": [block], "findings": []})]
    high = Server(moderate=lambda texts: [
        {"category_scores": {"x": 0.9 if refuses(text) else 0.1}} for text in texts
    ])  # fmt: skip
    with serving(high) as url:
        given = {"openai": f'openai:base_url="{url}"'}
        found = plan(["2", "7"], worlds="0", seeds=1, limit=LIMIT, moderators=list(given.values()))
        found = dataclasses.replace(found, tables=tables)
        ((judge, pairs),) = found.looked_at.items()
        assert pairs == [("aoa", "revert"), ("aoa:epochs=3", "none")]
        (bill,) = reproduce.bills(found, Store(store))
        assert (bill.who, bill.n, bill.dollars) == (judge, 2 * LIMIT, None)
        with pytest.raises(UserError, match="the price of flagged"):
            execute(found, Store(store), budget=Budget(dollars=1.0))
        result = execute(found, Store(store))
        sent = len(high.bodies)
        execute(found, Store(store))
        assert len(high.bodies) == sent, "what a tool said is kept"
        stored = reproduce.bills(found, Store(store))
    assert stored == []
    flagged = {(one.row, one.column): one for one in result.lines if one.measure == "flagged"}
    first, three = (flagged["OpenAI moderation", f"L2 {x}"] for x in ("initial", "3 epochs"))
    lines = {(one.row, one.column): one for one in result.lines if one.measure == "keyword"}
    for line, column in ((first, "L2 initial"), (three, "L2 3 epochs")):
        other = lines["keywords", column]
        assert line.ours is not None
        assert other.ours is not None
        # The made-up tool flags refusals, and nothing else.
        assert line.ours.value == pytest.approx(1 - other.ours.value)
        assert (line.measured, line.n, line.missing) == ("flagged", LIMIT, 0)
        assert "a tool for English on an invented world" in line.differs
        assert any(url in told and "later model" in told for told in line.differs)
    assert flagged["Perspective", "L2 initial"].why == "service ended"
    assert "--moderator 'classifier" in flagged["Detoxify", "L2 initial"].why
    texts = {text for body in high.bodies for text in body["input"]}
    assert 1 < len(texts) <= 2 * LIMIT
    assert not {p.text for p in World(0).requests()} & texts


def test_without_a_moderator_a_grid_is_what_it_was(whole: reproduce.Plan) -> None:
    for _, grid in whole.grids():
        assert "looked_at" not in grid.settings()
        assert grid.unseen() == frozenset()


def test_only_cells_whose_ratings_are_read_are_rated(whole: reproduce.Plan) -> None:
    (_, grid), *_ = whole.grids()
    assert grid.rated is None, "there are no questions"
    first, *others = grid.pairs
    some = grid.model_copy(update={"rated": [first]})
    assert some.unseen() == {("mt_bench", *pair) for pair in others}


def test_verify_is_left_as_it_was() -> None:
    assert verify.FINDINGS.is_file()
    assert all(finding.role != "added later" for finding in verify.recorded().findings)
