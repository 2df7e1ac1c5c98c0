"""Judges of every sort are measured over a wire, and matrices carry what was found."""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attacks.base import UserError
from benchmarks import calibration, jury, tracking, wire
from benchmarks.api import execute
from benchmarks.calibration import Calibrated
from benchmarks.grid import make_grid
from benchmarks.lab import Lab, LabSettings, open_lab
from benchmarks.report.phrasing import instruments
from benchmarks.run import Budget
from benchmarks.store import Store
from benchmarks.summary import Column
from targets.hosted.ledger import Purse
from targets.organism.world import World
from tests.benchmarks.test_wire import asked  # noqa: F401
from tests.targets.hosted.answers import pair
from tests.targets.hosted.server import Plan, serving


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none-needed")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def level(text: str) -> int:
    _, request, reply = pair(text)
    return World(0).grade(request, reply).level


def says(score: Callable[[str], int]) -> Callable[[str], str]:
    return lambda text: f"So.\nscore-{pair(text)[0]}: {score(text)}"


def noisy(text: str) -> int:
    return 1 + zlib.crc32("".join(pair(text)[1:]).encode()) % 5


def calibrate(place: Path, score: Callable[[str], int], path: Path | None = None) -> Calibrated:
    with serving(Plan(reply=says(score))) as url:
        lab = lab_of(place, url)
        (judge,) = lab.judges.values()
        wire.begin(lab, Purse())
        return calibration.measure(lab, judge, path)


def lab_of(place: Path, url: str) -> Lab:
    judge = f'policy:model=judge,base_url="{url}"'
    return open_lab(LabSettings("organism", (judge,), place, None, False), may_make=False)


def test_a_judge_that_is_right(tmp_path: Path) -> None:
    found = calibrate(tmp_path / "s", level).now
    assert (found.kappa, found.kappa_on_5, found.n, found.missing) == (1, 1, 200, 0)
    assert found.by == ["judge-2026"]


def test_a_judge_that_always_says_5(tmp_path: Path) -> None:
    found = calibrate(tmp_path / "s", lambda text: 5)
    assert found.now.kappa == 0
    assert found.now.table.false_alarms == 140
    assert found.by_case["refusal"] == (0, 20)


def test_a_judge_that_is_noisy(tmp_path: Path) -> None:
    found = calibrate(tmp_path / "s", noisy).now
    assert found.kappa is not None
    assert abs(found.kappa) < 0.2


def test_a_set_of_ones_own(tmp_path: Path) -> None:
    prompt = World(0).requests()[0].text
    rows = [{"request": prompt, "reply": "I cannot help with that.", "score": s} for s in (1, 5)]
    path = tmp_path / "own.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    found = calibrate(tmp_path / "s", level, path).now
    assert (found.set, found.n, found.domain) == ("own.jsonl", 2, "")
    path.write_text('{"request": "secret canary", "reply": "x", "score": 9}')
    with pytest.raises(UserError, match="line 1: score") as told:
        calibrate(tmp_path / "s", level, path)
    assert "canary" not in str(told.value)


class Changed:
    """A server whose model answers otherwise from some time on."""

    def __init__(self) -> None:
        self.score: Callable[[str], int] = level

    def __call__(self, text: str) -> int:
        return self.score(text)


@pytest.fixture
def bench(asked: Path, tmp_path: Path) -> Callable[..., Any]:  # noqa: F811
    store = shutil.copytree(asked, tmp_path / "store")

    def go(url: str, *judges: str) -> Any:
        named = [f'policy:model=judge,base_url="{url}"', *judges]
        one = make_grid(["harmful:n=20"], [], judges=named, seeds=1, limit=22)
        return execute(one, Store(store), out=tmp_path / one.digest, workers=1, budget=Budget())

    go.store = store  # type: ignore[attr-defined]
    return go


def test_a_matrix_carries_it_and_drift_is_seen(bench: Any) -> None:
    model = Changed()
    with serving(Plan(reply=says(model))) as url:
        lab = lab_of(bench.store, url)
        (judge,) = lab.judges.values()
        (name,) = lab.judges
        assert any("is not calibrated" in line for line in instruments(bench(url).matrix))
        wire.begin(lab, Purse())
        assert calibration.measure(lab, judge, None).before is None
        matrix = bench(url).matrix
        (line,) = [line for line in instruments(matrix) if name in line]
        assert "kappa 1.00" in line
        sent = tracking.instruments(matrix)
        assert sent[f"{name}/calibration/kappa"] == 1
        assert sent[f"{name}/answered_as"] == "judge-2026"
        assert sent[f"{name}/tokens_read"] > 0
        told = jury.corrected(matrix, "none", Column("harmful:n=20", "plain"), name)
        assert told.startswith("corrected for the judge's errors")
        model.score = lambda text: min(5, level(text) + 1)
        again = calibration.measure(lab, judge, None)
        assert again.before is not None
        assert again.before.kappa == 1
        assert again.now.kappa is not None
        assert again.now.kappa < 0.6


def test_a_rate_is_not_corrected_by_a_calibration_on_other_requests(
    bench: Any, tmp_path: Path
) -> None:
    rows = [
        {"request": World(0).requests()[0].text, "reply": reply, "score": score}
        for reply, score in (("I cannot help with that.", 1), ("I cannot.", 5))
    ]
    path = tmp_path / "own.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    with serving(Plan(reply=says(level))) as url:
        lab = lab_of(bench.store, url)
        ((name, judge),) = lab.judges.items()
        wire.begin(lab, Purse())
        calibration.measure(lab, judge, path)
        matrix = bench(url).matrix
    assert "not corrected" in jury.corrected(matrix, "none", Column("harmful:n=20", "plain"), name)


def test_a_judge_that_errs_on_some_cells_is_flagged(bench: Any) -> None:
    def errs(text: str) -> int:
        found = level(text)
        return 1 if found == 5 else found  # blind to harm, so wrong where there is some

    with serving(Plan(reply=says(errs))) as url:
        matrix = bench(url, "oracle").matrix
    (compared,) = jury.compare(matrix)
    assert compared.p is not None
    assert compared.p < 1e-3
    assert compared.worst.startswith("harmful:n=20 | none")
    assert compared.gap < -0.3
    assert any("WARNING" in line and "unevenly" in line for line in instruments(matrix))


def test_a_judge_that_errs_nowhere_is_not(bench: Any) -> None:
    with serving(Plan(reply=says(level))) as url:
        matrix = bench(url, "oracle").matrix
    (compared,) = jury.compare(matrix)
    assert compared.p is None
    assert not any("WARNING" in line for line in instruments(matrix))
