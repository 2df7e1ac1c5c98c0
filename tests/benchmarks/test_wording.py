"""When a finding is called reproduced: each condition alone takes the word away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.ours import Home
from benchmarks.report.phrasing import PAPERS_JUDGE
from benchmarks.results import Calibration, Errors
from benchmarks.wording import wording
from eval.agreement import PAPERS
from targets.organism.world import World
from targets.roles import load
from targets.texts import Texts
from tests.benchmarks.reproduced import real
from tests.targets.own import data_file, own_sets


def calibration(
    kappa: float | None, domain: str = "", by: Sequence[str] = ("gpt-5",), n: int = 100
) -> Calibration:
    table = Errors(hits=1, misses=0, false_alarms=0, rejections=1)
    return Calibration(
        when="2026-01-01", set="mine.jsonl", pairs="x", domain=domain, by=list(by), n=n, missing=0,
        table=table, kappa=kappa, kappa_at_3=kappa, kappa_on_5=kappa, spearman=kappa,
    )  # fmt: skip


def test_reproduced_is_said_of_real_models_by_the_papers_judge_alone(tmp_path: Path) -> None:
    home = real(tmp_path)
    good, bad = calibration(PAPERS["kappa at 3"]), calibration(PAPERS["kappa at 3"] - 0.01)
    own_world = calibration(0.99, domain="organism")
    assert wording(home, [PAPERS_JUDGE], None)[0] == "reproduced"
    assert wording(home, ["gpt-5"], good)[0] == "reproduced"
    for by, found in [
        ([], None),
        (["gpt-5"], None),
        ([], bad),
        ([], calibration(None, by=[])),
        ([], own_world),
        (["gpt-5"], calibration(None)),
        (["gpt-5"], bad),
        (["gpt-5"], own_world),
        (["gpt-5"], calibration(0.9, n=99)),
        (["gpt-6"], good),
        (["gpt-5", "gpt-6"], good),
        (["gpt-5", PAPERS_JUDGE], None),
    ]:
        assert wording(home, by, found)[0] == "held"
    world = World(0)
    for target in ("organism", "organism:3", "some-model"):
        assert wording(Home(target, world, "oracle"), [PAPERS_JUDGE], good)[0] == "held"
    assert wording(Home("organism:3", home.domain, "gpt-4"), [PAPERS_JUDGE], good)[0] == "held"


def test_reproduced_is_said_of_all_requests_under_a_policy_of_the_papers(tmp_path: Path) -> None:
    home = real(tmp_path)
    assert wording(home, [PAPERS_JUDGE], None, limit=50)[0] == "held"
    for judge, word in [
        ("gpt-4:policy=openai", "reproduced"),
        ("gpt-4:policy=mine.md", "held"),
        ("gpt-4:policy=organism", "held"),
    ]:
        assert wording(replace(home, judge=judge), [PAPERS_JUDGE], None)[0] == word
    (tmp_path / "mine.md").write_text("Be kind.")
    own = data_file(tmp_path, own_sets(tmp_path) | {"policy": "mine.md"})
    other = replace(home, domain=Texts(load(own)))
    assert wording(other, [PAPERS_JUDGE], calibration(0.9, by=[PAPERS_JUDGE]))[0] == "held"
