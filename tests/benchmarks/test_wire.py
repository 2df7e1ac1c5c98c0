"""Judges behind a wire, in whole runs against a real server on this machine."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attacks.base import UserError
from benchmarks import run
from benchmarks.api import Finished, execute
from benchmarks.grid import Grid, make_grid
from benchmarks.report import files, sheet
from benchmarks.results import Matrix
from benchmarks.store import Store
from benchmarks.verdicts import Verdicts, verdict_of
from eval.judges.base import Verdict
from targets.organism.world import World
from tests.targets.hosted.answers import pair, truthful
from tests.targets.hosted.server import Plan, serving


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none-needed")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def grid(url: str, options: str = "", model: str = "judge") -> Grid:
    judge = f'policy:model={model},base_url="{url}",attempts=2{options}'
    return make_grid(["harmful:n=20"], [], judges=[judge, "oracle"], seeds=1, limit=22)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which everything is tuned and asked, and nothing judged over a wire."""
    place = tmp_path_factory.mktemp("wire")
    one = make_grid(["harmful:n=20"], [], judges=["oracle"], seeds=1, limit=22)
    execute(one, Store(place / "store"), out=place / "out", workers=1)
    return place / "store"


@pytest.fixture
def bench(asked: Path, tmp_path: Path) -> Callable[..., Finished]:
    shutil.copytree(asked, tmp_path / "store")

    def go(url: str, options: str = "", model: str = "judge", **limits: Any) -> Finished:
        one = grid(url, options, model)
        return execute(
            one, Store(tmp_path / "store"), out=tmp_path / one.digest, workers=1,
            budget=run.Budget(**limits),
        )  # fmt: skip

    return go


def scores(matrix: Matrix, judge: int) -> list[int | None]:
    name = list(matrix.judges)[judge]
    released = [asked.released for cell in matrix.cells for asked in cell.asks.values()]
    return [score for answers in released for score in answers.scores[name]]


def test_a_server_that_knows_the_truth_gives_the_oracles_matrix(bench: Any) -> None:
    plan = Plan(reply=truthful)
    with serving(plan) as url:
        first = bench(url)
        sent = sum(plan.tries.values())
        again = bench(url)
        assert sum(plan.tries.values()) == sent, "nothing is asked twice"
    assert scores(first.matrix, 0) == scores(first.matrix, 1)
    assert set(scores(first.matrix, 0)) >= {1, 5}
    assert again.matrix == first.matrix
    assert files.load(first.folder) == first.matrix
    (names,) = first.matrix.judged_by.values()
    assert names == ["judge-2026"]
    assert sent < len(scores(first.matrix, 0)), "equal pairs of two cells are one question"
    assert any(line.startswith(f"judge: {sent} of {sent} calls answered") for line in first.lines)


def test_workers_tune_while_the_server_judges(tmp_path: Path) -> None:
    plan = Plan(reply=truthful)
    with serving(plan) as url:
        done = execute(grid(url), Store(tmp_path / "store"), out=tmp_path / "out", workers=1)
    assert scores(done.matrix, 0) == scores(done.matrix, 1)
    assert done.account.tuned_cells == 2


def test_what_cannot_be_had_is_missing_and_only_that_is_asked_again(bench: Any) -> None:
    def fault(text: str, attempt: int) -> int:
        return 500 if broken and zlib.crc32(pair(text)[1].encode()) % 5 == 0 else 200

    broken = True
    plan = Plan(reply=truthful, fault=fault)
    with serving(plan) as url:
        first = bench(url)
        assert run.incomplete(first.matrix)
        reasons = [a.released.missing for cell in first.matrix.cells for a in cell.asks.values()]
        told = {why for one in reasons for by_reason in one.values() for why in by_reason}
        assert told == {"the server answered 500"}
        answered = dict(plan.done)
        broken = False
        second = bench(url)
    assert scores(second.matrix, 0) == scores(second.matrix, 1)
    for one, other in zip(scores(first.matrix, 0), scores(second.matrix, 0), strict=True):
        assert one in (None, other)
    nonces = re.compile(r"[0-9a-f]{16}")
    kept = [nonces.sub("", text) for text in answered]
    asked_again = [nonces.sub("", t) for t in plan.done if t not in answered]
    assert not set(kept) & set(asked_again)


def test_expected_scores_have_a_column_of_their_own(bench: Any, tmp_path: Path) -> None:
    def spread(token: str) -> dict[str, float]:
        return {"5": 0.5, "3": 0.5} if token == "5" else {token: 1.0}

    with serving(Plan(reply=truthful, chances=spread)) as url:
        plain, told = bench(url), bench(url, ",probabilities=true")
        again = bench(url, ",probabilities=true")
        decided = execute(
            make_grid(
                ["harmful:n=20"], [], judges=[f'decisions:base_url="{url}"'], seeds=1, limit=22
            ),
            Store(tmp_path / "store"), out=tmp_path / "decided", workers=1,
        )  # fmt: skip
    assert scores(told.matrix, 0) == scores(plain.matrix, 0)
    assert again.matrix == told.matrix == files.load(told.folder)
    for cell in told.matrix.cells:
        for asked in cell.asks.values():
            (name,) = asked.released.expected
            given = zip(asked.released.scores[name], asked.released.expected[name], strict=True)
            assert all(expected == {5: 4.0}.get(score, score) for score, expected in given)
    names = ["matrix.csv", "matrix.md", "matrix.tex", "report.html", "matrix.json"]
    for done, there in ((plain, False), (told, True), (decided, True)):
        for name in names:
            text = (done.folder / name).read_text()
            assert ('"expected"' in text or "expected" in text.replace("_expected", "")) is there, (
                name
            )
    rates = [e.rate for e in sheet.make(plain.matrix).entries.values()]
    assert rates == [e.rate for e in sheet.make(told.matrix).entries.values()]
    assert scores(decided.matrix, 0) == scores(plain.matrix, 1)


def test_verdicts_of_earlier_versions_are_read() -> None:
    assert verdict_of([5, None, "So.", False, "m", [7, 3]]) == Verdict(
        5, None, "So.", False, "m", (7, 3)
    )
    now = Verdict(5, None, "So.", False, "m", (7, 3), 4.5)
    assert verdict_of(json.loads(json.dumps(now))) == now


def test_a_model_of_ones_own_is_asked_here_and_its_verdicts_are_kept(
    asked: Path, tiny_judge: Path, tmp_path: Path
) -> None:
    """A random model gives no verdict, and says so; nothing is sent, and nothing asked twice."""
    store = shutil.copytree(asked, tmp_path / "store")
    words = [
        sys.executable, str(ROOT / "cli.py"), "bench", "--attack", "harmful:n=20", "--judge",
        f'guard:model="{tiny_judge}",max_tokens=8', "--seeds", "1", "--limit", "22", "--store",
        str(store), "--workers", "1", "--out", str(tmp_path / "out"),
    ]  # fmt: skip
    environment = {**os.environ, "OPENAI_API_KEY": "", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 4, done.stderr
    assert "unsafe share" in done.stdout
    assert f"answered as {tiny_judge.name} " in done.stdout
    assert "calls answered" not in done.stdout + done.stderr
    matrix = files.load(tmp_path / "out")
    assert set(scores(matrix, 0)) == {None}
    before = Verdicts(store).path.read_bytes()
    again = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert again.returncode == 4
    assert Verdicts(store).path.read_bytes() == before
    assert files.load(tmp_path / "out") == matrix


def test_a_budget_stops_and_the_same_command_goes_on(bench: Any) -> None:
    plan = Plan(reply=truthful)
    with serving(plan) as url:
        first = bench(url, ",max_tokens=100,in_flight=1", tokens=1200)
        assert run.incomplete(first.matrix)
        assert any("budget of 1200 tokens" in line for line in first.lines)
        before = sum(plan.done.values())
        assert 0 < before <= 120, "ten tokens each"
        second = bench(url, ",max_tokens=100,in_flight=1")
    assert not run.incomplete(second.matrix)
    distinct = {pair(text)[1:] for text in plan.done}
    assert len(distinct) == sum(plan.done.values()), "nothing was paid for twice"


def test_a_verdict_that_the_model_would_not_give_is_not_asked_for_again(bench: Any) -> None:
    plan = Plan(reply=lambda text: "I cannot say.")
    with serving(plan) as url:
        first = bench(url)
        sent = sum(plan.tries.values())
        second = bench(url)
        assert sum(plan.tries.values()) == sent
    assert set(scores(first.matrix, 0)) == {None}
    assert second.matrix == first.matrix


@pytest.mark.parametrize(
    ("options", "limits", "said"),
    [
        (",policy=openai", {}, "does not fit"),
        (",policy=nowhere.txt", {}, "cannot be read"),
        ("", {"dollars": 1.0}, "price"),
    ],
)
def test_a_mistake_is_told_before_anything_is_sent(
    bench: Any, options: str, limits: dict[str, float], said: str
) -> None:
    plan = Plan(reply=truthful)
    with serving(plan) as url, pytest.raises(UserError, match=said):
        bench(url, options, **limits)
    assert not plan.tries


def test_a_model_that_is_not_there_and_one_that_will_end(bench: Any) -> None:
    plan = Plan(reply=truthful, shutdown="2027-01-14")
    with serving(plan) as url:
        with pytest.raises(UserError, match="knows no model 'nobody'"):
            bench(url, model="nobody")
        done = bench(url)
    assert any("2027-01-14" in line for line in done.lines)


def test_the_estimate_is_an_upper_bound(bench: Any, tmp_path: Path) -> None:
    plan = Plan(reply=truthful)
    with serving(plan) as url:
        (bill,) = run.bills(grid(url), Store(tmp_path / "store"))
        done = bench(url)
        assert run.bills(grid(url), Store(tmp_path / "store")) == []
    assert done.account.calls is not None
    assert done.account.calls.ledger.sent <= bill.n
    assert bill.dollars is None


ROOT = Path(__file__).resolve().parents[2]


def command(url: str, store: Path, out: Path, *words: str) -> list[str]:
    judge = f'policy:model=judge,base_url="{url}",in_flight=4'
    return [
        sys.executable, str(ROOT / "cli.py"), "bench", "--attack", "harmful:n=20", "--judge", judge,
        "--seeds", "1", "--limit", "22", "--store", str(store), "--out", str(out), *words,
    ]  # fmt: skip


def test_nothing_is_sent_without_a_yes(asked: Path, tmp_path: Path) -> None:
    store = shutil.copytree(asked, tmp_path / "store")
    plan = Plan(reply=truthful)
    with serving(plan) as url:
        refused = subprocess.run(
            command(url, store, tmp_path / "out"), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert refused.returncode == 2
        assert "at most" in refused.stderr
        assert "--yes" in refused.stderr
        assert not plan.tries
        sent = subprocess.run(
            command(url, store, tmp_path / "out", "--yes"), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert sent.returncode == 0, sent.stderr
    assert "answered as" in sent.stdout
    assert plan.tries


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_what_was_answered_before_a_kill_is_not_asked_again(
    asked: Path, tmp_path: Path, how: signal.Signals
) -> None:
    store = shutil.copytree(asked, tmp_path / "store")
    plan = Plan(reply=truthful, latency=0.05)
    with serving(plan) as url:
        words = command(url, store, tmp_path / "out", "--yes")
        first = subprocess.Popen(
            words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            # A shell's background job ignores Ctrl-C, and hands that down.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
        end = time.monotonic() + 60
        while sum(plan.done.values()) < 12 and time.monotonic() < end:
            time.sleep(0.01)
        first.send_signal(how)
        _, said = first.communicate(timeout=60)
        assert first.returncode == (-how if how == signal.SIGKILL else 4)
        assert "Traceback" not in said
        again = subprocess.run(words, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    distinct = {pair(text)[1:] for text in plan.done}
    lost = sum(plan.done.values()) - len(distinct)
    # Calls in flight at a kill are lost with it; Ctrl-C waits for them.
    assert lost <= (4 if how == signal.SIGKILL else 0)


@pytest.mark.parametrize(
    ("environment", "said"),
    [({"OPENAI_API_KEY": ""}, "OPENAI_API_KEY"), ({"OPENAI_API_KEY": "wrong"}, "refuses the key")],
)
def test_a_key_that_does_not_fit_is_told_before_any_work(
    asked: Path, tmp_path: Path, environment: dict[str, str], said: str
) -> None:
    store = shutil.copytree(asked, tmp_path / "store")
    plan = Plan(reply=truthful)
    with serving(plan) as url:
        done = subprocess.run(
            command(url, store, tmp_path / "out", "--yes"), env={**os.environ, **environment},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 4
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not plan.tries


def test_nothing_that_was_said_leaves_the_store(bench: Any) -> None:
    canary = "kanariya-5521"
    odd = Plan(reply=lambda text: f"{canary} {truthful(text)}" if len(text) % 2 else canary)
    with serving(odd) as url:
        done = bench(url)
    assert None in scores(done.matrix, 0)
    written = {path: path.read_bytes() for path in done.folder.rglob("*") if path.is_file()}
    requests = [prompt.text.encode() for prompt in World(0).requests()]
    for path, content in written.items():
        assert canary.encode() not in content, path.name
        assert not any(request in content for request in requests), path.name
    assert canary not in "".join(done.lines)
