"""Moderation tools on one's own harmful rows: each half read once, nothing tuned, what is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from attacks.base import UserError
from benchmarks import reproduce
from benchmarks.paper import paper
from benchmarks.reproduce import execute, plan
from benchmarks.run import Budget
from benchmarks.store import Store
from eval import metrics
from tests.targets.hosted.server import Plan, serving
from tests.targets.own import data_file, own_sets

WEIGHTS = Path(__file__).parents[2] / "targets" / "organism" / "weights" / "aligned"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Plan, str]]:
    """A moderation endpoint that flags what was painted, where it is about a lamp or a kite."""
    monkeypatch.setenv("OPENAI_API_KEY", "none-needed")
    high = Plan(moderate=lambda texts: [
        {"category_scores": {"x": 0.1 + 0.8 * ("lamp" in t or ("kite" in t and "red" in t))}}
        for t in texts
    ])  # fmt: skip
    with serving(high) as url:
        yield high, f'openai:base_url="{url}"'


def planned(tmp_path: Path, spec: str, *tables: str, **change: Any) -> reproduce.Plan:
    path = str(data_file(tmp_path, {**own_sets(tmp_path), **change}))
    return plan(
        tables or ["moderation"], target=str(WEIGHTS), data=path, moderators=[spec], seeds=1
    )


def test_both_halves_of_ones_own_rows(tmp_path: Path, server: tuple[Plan, str]) -> None:
    high, spec = server
    found, store = planned(tmp_path, spec), Store(tmp_path / "store")
    assert found.pairs == []
    told = reproduce.bills(found, store)
    assert [(bill.n, bill.dollars) for bill in told] == [(12, None), (12, None)]
    result = execute(found, store)
    lines = {one.column: one for one in result.lines if one.row == "OpenAI moderation"}
    # Two of twelve rows are about a lamp; the replies of two more about a red kite.
    for column, k in (("instructions", 2), ("answers", 4)):
        line = lines[column]
        assert line.ours == metrics.rate([[i < k for i in range(12)]]).interval
        assert (line.measured, line.n, line.missing, line.cell) == ("flagged", 12, 0, None)
        assert line.differs[0] == "12 rows of chats.jsonl (100 of the paper's own)"
    assert {one.why for one in result.lines if one.row.startswith("Perspective")} == {
        "service ended"
    }
    texts = [text for body in high.bodies for text in body["input"]]
    assert len(texts) == 24
    assert not any("Be brief" in text for text in texts)
    assert not result.incomplete
    assert reproduce.bills(found, store) == []
    assert execute(found, store) == result
    assert len([text for body in high.bodies for text in body["input"]]) == 24


def test_what_a_budget_does_not_allow_is_missing(tmp_path: Path, server: tuple[Plan, str]) -> None:
    _, spec = server
    found, store = planned(tmp_path, spec), Store(tmp_path / "store")
    result = execute(found, store, budget=Budget(tokens=0))
    lines = [one for one in result.lines if one.row == "OpenAI moderation"]
    assert [(one.ours, one.n, one.missing) for one in lines] == [(None, 0, 12)] * 2
    assert result.incomplete
    assert result.unfinished[0] == "harmful:n=12, instructions: 12 verdicts are missing"
    rows = found.of_rows(Store(tmp_path / "other"))
    measured, left = rows.measured(Budget(tokens=10_000))
    assert all(None not in one.values[0, 0] for one in measured.values())
    assert left.tokens is not None
    assert 9_000 < left.tokens < 10_000
    assert left.dollars is None


def test_a_server_that_is_not_there_stops_before_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    found = planned(tmp_path, 'openai:base_url="http://127.0.0.1:9/v1"')
    with pytest.raises(UserError, match="set OPENAI_API_KEY"):
        execute(found, Store(tmp_path / "store"))


def test_without_rows_or_tool_it_is_told_what_is_missing(tmp_path: Path) -> None:
    def whys(found: reproduce.Plan) -> dict[str, str]:
        return {number.row: cell.why for number, cell in found.numbers}

    found = whys(plan(["moderation"], moderators=["openai"]))
    assert found["OpenAI moderation"] == (
        "needs a harmful set of --data: the paper's own was never released"
    )
    assert found["Detoxify, 0.7 and above"] == paper().tools["classifier"].lacks
    assert "mooring moderate FILE" in found["GPT-4 judge, score 5"]
    own = own_sets(tmp_path)
    del own["harmful"]
    path = str(data_file(tmp_path, own))
    lacking = whys(plan(["moderation"], target=str(WEIGHTS), data=path, moderators=["openai"]))
    assert lacking["OpenAI moderation"] == found["OpenAI moderation"]


@pytest.mark.parametrize(
    ("specs", "tables", "said"),
    [
        (["openai"], ["1"], "--moderator is of tables 7 and moderation"),
        (["words"], ["7"], "no tool of the paper's; give openai or classifier"),
        (["openai", "openai:in_flight=2"], ["7"], "give one openai"),
        (["nonesuch"], ["7"], "unknown moderator"),
        (["classifier"], ["7"], "model"),
        (["openai:threshold=1"], ["7"], "unknown parameter 'threshold'"),
    ],
)
def test_a_moderator_that_stands_for_no_number(
    specs: list[str], tables: list[str], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        plan(tables, moderators=specs)
