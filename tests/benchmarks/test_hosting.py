"""Whole benches on a model behind a real server: the same numbers, paid for once."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from attacks.base import UserError
from benchmarks import run
from benchmarks.api import Finished, execute
from benchmarks.cell import run_cell
from benchmarks.grid import Grid, make_grid
from benchmarks.lab import LabSettings, open_lab
from benchmarks.report import files
from benchmarks.store import Store
from benchmarks.trial import Cell
from provider.app import create_app
from targets.hosted import cleaning
from tests.provider.serving import TOKEN, Served, running, serving

ATTACKS = ["aoa:epochs=2,n=4"]


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", TOKEN)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def grid(target: str, defenses: list[str], judges: list[str], attacks: list[str]) -> Grid:
    return make_grid(attacks, defenses, target=target, judges=judges, seeds=1, limit=11)


@pytest.fixture
def bench(served: Served, tmp_path: Path) -> Callable[..., Finished]:
    def go(judges: list[str], defenses: list[str], **limits: Any) -> Finished:
        one = grid(
            f"openai:organism@{served.url}", defenses, judges, ["aoa:epochs=2,n=4", "benign:n=10"]
        )
        return execute(
            one, Store(tmp_path / "store"), out=tmp_path / one.digest,
            budget=run.Budget(**limits),
        )  # fmt: skip

    return go


def test_the_same_matrix_as_at_home_and_nothing_sent_again(
    bench: Any, served: Served, tmp_path: Path
) -> None:
    judge = f'policy:model=oracle,base_url="{served.url}"'
    defenses = ["mix:n=2", "lisa", "audit", "filter"]
    there = bench([judge, "oracle"], defenses)
    sent = served.faults.requests.copy()
    again = bench([judge, "oracle"], defenses)
    asked = served.faults.requests - sent
    assert not [path for path in asked if path.startswith("POST")]
    assert again.matrix == there.matrix
    lab = open_lab(LabSettings("organism", ("oracle",), tmp_path / "home", 11, True), may_make=True)
    for one in there.matrix.cells:
        if one.defense == "lisa":
            assert (one.status, one.reason) == ("not applicable", "needs weights")
            continue
        home = run_cell(Cell(one.attack, one.defense, one.seed), lab)
        assert one.model_dump(exclude={"asks"}) == home.model_dump(exclude={"asks"})
        for name, asked_there in one.asks.items():
            answers = asked_there.released
            assert answers.scores[judge] == answers.scores["oracle"]
            assert answers.scores["oracle"] == home.asks[name].released.scores["oracle"]
            assert answers.correct == home.asks[name].released.correct
            assert answers.refused == home.asks[name].released.refused
    assert there.matrix.target == "openai:organism"
    line = next(line for line in there.lines if line.startswith("target:"))
    assert "created 4 files, 4 jobs" in line
    text = (there.folder / files.MATRIX).read_text() + (there.folder / "report.html").read_text()
    assert "organism@" not in text, "where a server is stays in run.yaml"


def posts(served: Served) -> int:
    return sum(n for what, n in served.faults.requests.items() if what.startswith("POST"))


def test_what_it_takes_is_told_first(served: Served, tmp_path: Path) -> None:
    one = grid(
        f"openai:organism@{served.url}", ["audit", "filter"], ["oracle"], ["aoa:n=5,epochs=1"]
    )
    before, store = posts(served), Store(tmp_path / "store")
    jobs, replies = run.bills(one, store)
    assert (jobs.n, jobs.what, jobs.dollars) == (6, "fine-tuning jobs", None)
    assert replies.what == "replies"
    assert posts(served) == before, "an estimate asks the model nothing"
    with pytest.raises(UserError, match="token-budget"):
        execute(one, store, out=tmp_path / "out", budget=run.Budget(dollars=1.0))
    done = execute(one, store, out=tmp_path / "out")
    desk = done.account.desk
    assert desk is not None
    assert 500 < desk.ledger.sent <= replies.n
    assert desk.ledger.prompt_tokens <= replies.read
    assert desk.ledger.completion_tokens <= replies.written
    assert 0 < desk.made["jobs"] <= jobs.n
    assert run.bills(one, store) == []


def test_a_model_that_was_deleted_is_tuned_again_by_the_same_command(
    served: Served, tmp_path: Path
) -> None:
    from targets.endpoint import endpoint

    def go(limit: int) -> Finished:
        one = make_grid(
            ["aoa:n=6,epochs=1"], [], target=f"openai:organism@{served.url}", judges=["oracle"],
            seeds=1, limit=limit,
        )  # fmt: skip
        return execute(one, Store(tmp_path / "store"), out=tmp_path / str(limit))

    first = go(11)
    start = endpoint(f"openai:organism@{served.url}", 64).keeping(tmp_path / "store" / "hosted")
    things = cleaning.created(start)
    assert sum(one.what == "model" for one in things) == 2
    assert list(cleaning.delete(things, start)) == things
    assert go(11).matrix == first.matrix, "results stay"
    before = served.faults.requests["POST /v1/fine_tuning/jobs"]
    again = go(22)
    assert not run.incomplete(again.matrix)
    assert served.faults.requests["POST /v1/fine_tuning/jobs"] - before == 2


def test_another_server_behind_the_same_address_is_another_target(tmp_path: Path) -> None:
    def go(defense: str, kept: Path) -> tuple[Finished, int]:
        with (
            running(kept, defense=defense) as service,
            serving(create_app(service), port=port) as served,
        ):
            one = grid(f"openai:organism@{served.url}", [], ["oracle"], ["none"])
            done = execute(one, Store(tmp_path / "store"), out=tmp_path / f"out-{defense}")
            return done, posts(served)

    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    first, asked = go("none", tmp_path / "kept")
    assert asked > 0
    second, asked = go("ptst", tmp_path / "kept")
    assert asked > 0, "what it serves is asked anew"
    assert second.matrix.target_digest != first.matrix.target_digest
    third, asked = go("none", tmp_path / "kept")
    assert asked == 0
    assert third.matrix == first.matrix


def test_a_spent_budget_loses_nothing(bench: Any, served: Served) -> None:
    short = bench(["oracle"], [], tokens=5_000)
    failed = [cell for cell in short.matrix.cells if cell.status == "failed"]
    assert failed
    assert all("5000 tokens" in cell.reason for cell in failed)
    assert run.incomplete(short.matrix)
    files_sent = served.faults.requests["POST /v1/fine_tuning/jobs"]
    whole = bench(["oracle"], [])
    assert not run.incomplete(whole.matrix)
    assert served.faults.requests["POST /v1/fine_tuning/jobs"] - files_sent <= 2


def test_a_refused_upload_is_a_result(tmp_path: Path) -> None:
    with (
        running(tmp_path / "kept", defense="moderate") as guarded,
        serving(create_app(guarded)) as served,
    ):
        one = grid(f"openai:organism@{served.url}", ["mix:n=2"], ["oracle"], ["harmful:n=22"])
        done = execute(one, Store(tmp_path / "store"), out=tmp_path / "out")
        posts = served.faults.requests["POST /v1/fine_tuning/jobs"]
        execute(one, Store(tmp_path / "store"), out=tmp_path / "out")
        assert served.faults.requests["POST /v1/fine_tuning/jobs"] == posts
    cells = {(c.attack.split(":")[0], c.defense): c for c in done.matrix.cells}
    refused = cells["harmful", "none"]
    assert (refused.status, refused.released) == ("not tuned", False)
    assert refused.reason.startswith("refused by the server: ")
    assert [(g.moment, g.outcome) for g in refused.gates] == [("server", "refuse")]
    untuned = cells["harmful", "revert"].asks["plain"].released
    assert refused.asks["plain"].released == untuned
    assert cells["benign", "none"].status == "tuned"
    assert not run.incomplete(done.matrix), "a refusal is no failure"
    html = (tmp_path / "out" / "report.html").read_text()
    assert "refused by the server" in html


@pytest.mark.parametrize(
    ("key", "model", "said"),
    [("wrong", "organism", "refuses the key"), (TOKEN, "nobody", "knows no model")],
)
def test_a_bench_that_cannot_ask_ends_before_it_begins(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    key: str, model: str, said: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("OPENAI_API_KEY", key)
    one = grid(f"openai:{model}@{served.url}", [], ["oracle"], ATTACKS)
    with pytest.raises(UserError, match=said) as caught:
        execute(one, Store(tmp_path / "store"), out=tmp_path / "out")
    assert caught.value.exit_code == 4


def test_judges_asked_in_batches_say_the_same(bench: Any, served: Served) -> None:
    judge = f'policy:model=oracle,base_url="{served.url}"'
    found = bench([judge, "oracle"], [], batch=True)
    for cell in found.matrix.cells:
        for asked in cell.asks.values():
            assert asked.released.scores[judge] == asked.released.scores["oracle"]
    sent = served.faults.requests["POST /v1/batches"]
    again = bench([judge, "oracle"], [], batch=True)
    assert served.faults.requests["POST /v1/batches"] == sent > 0
    assert again.matrix == found.matrix


def test_answers_that_wait_in_a_batch_are_not_paid_for_again(
    bench: Any, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from targets.hosted import batches

    judge = f'policy:model=oracle,base_url="{served.url}"'

    def leave(asking: Any, place: str, entry: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as interrupted:
        interrupted.setattr(batches._Asking, "_collect", leave)
        with pytest.raises(KeyboardInterrupt):
            bench([judge], [], batch=True)
    before = posts(served)
    with pytest.raises(UserError, match="add --batch to take its answers"):
        bench([judge], [])
    assert posts(served) == before
    done = bench([judge], [], batch=True)
    assert posts(served) == before
    assert not run.incomplete(done.matrix)
