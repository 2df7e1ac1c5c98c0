"""`mooring moderate` as a user meets it."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from xml.etree import ElementTree

import click.testing
import pytest

from attacks.base import Message, Pair, Row, Settings, Upload
from benchmarks.engines import ahead
from benchmarks.lab import LabSettings, open_lab
from benchmarks.readings import is_kept
from benchmarks.trial import provider_of
from cli import main
from defenses.screen import Screen
from provider.gates import moderating, opening, readings, verdicts
from provider.gates.report import Notice
from targets.hosted import retries
from targets.organism.world import World
from tests.provider.gates.conftest import SIZES, gate_file, make_file, make_gate, write_rows
from tests.targets.hosted.server import Plan, serving

__all__ = ["gate_file", "make_file"]  # fixtures
Make = Callable[[int], Path]


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOORING_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("OPENAI_API_KEY", "a-key")
    monkeypatch.setattr(retries, "FIRST_WAIT", 0.01)


def run(*words: object) -> click.testing.Result:
    return click.testing.CliRunner().invoke(main, ["moderate", *map(str, words)])


CODES = {"allow": 0, "allow with mitigation": 0, "hold": 3, "reject": 1}


@pytest.mark.parametrize("answer", SIZES)
def test_each_answer_and_its_exit_code(gate_file: Path, make_file: Make, answer: str) -> None:
    path = make_file(SIZES[answer])
    done = run(path, "--gate", gate_file, "--format", "json")
    assert done.exit_code == CODES[answer], done.output
    report = verdicts.read_report(done.stdout)
    assert report.verdict.answer == answer
    assert verdicts.replayed(report) == report.verdict
    assert report.file.rows == SIZES[answer]
    assert ("train with" in run(path, "--gate", gate_file).output) == (
        answer == "allow with mitigation"
    )


def test_the_answer_is_the_defenses(gate_file: Path, make_file: Make, tmp_path: Path) -> None:
    path = make_file(SIZES["hold"])
    upload = Upload(opening.opened(path).rows, Settings(epochs=1, batch_size=1, learning_rate=1.0))
    settings = LabSettings("organism", (), tmp_path / "store", None, False)
    provider = provider_of(open_lab(settings, may_make=True), 0)
    wanted = Screen(gate=gate_file).report(upload, provider).verdict
    told = json.loads(run(path, "--gate", gate_file, "--format", "json").stdout)["verdict"]
    assert (told["answer"], told["score"]) == (wanted.answer, wanted.score)


@pytest.mark.parametrize(
    ("data", "code", "said"),
    [
        (b"", 1, "no line of it is an example"),
        (b"\x1f\x8b\x00binary", 1, "binary"),
        (b"{kanariya\n", 1, "not JSON"),
        (b'{"messages": [{"role": "kanariya", "content": "kanariya"}]}\n', 1, "role"),
        (b'{"messages": [{"role": "user", "content": "a"}], "answer": "4"}\n', 3, "no replies"),
    ],
)
def test_a_file_that_cannot_be_trained_on(
    tmp_path: Path, gate_file: Path, data: bytes, code: int, said: str
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(data)
    for level in ("provider", "customer"):
        done = run(path, "--gate", gate_file, "--level", level)
        assert done.exit_code == code, done.output
        assert "kanariya" not in done.output
        assert said in done.output or level == "customer"
    done = run(path, "--gate", gate_file, "--format", "json")
    report = verdicts.read_report(done.stdout)
    assert {part.what for part in report.not_run} >= {"size"}
    assert not report.evidence.readings


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere.jsonl"], "No such file"),
        (["/dev/null"], "is not a file"),
        ([".", ], "is not a file"),
        (["FILE", "--by", "nothing"], "has no 'nothing'"),
        (["FILE", "--gate", "nowhere.json"], "cannot read the gate"),
        (["FILE", "--policy", "nowhere.yaml"], "cannot read the policy"),
        (["FILE", "--moderator", "nobody"], "unknown moderator"),
        (["FILE", "--target", "nowhere"], "unknown target"),
        (["FILE", "--show-text", "--level", "customer"], "--level provider"),
        (["FILE", "--out", "nowhere/x.json"], "cannot be written"),
        (["FILE", "--out", "x.odd"], "which --format"),
        (["FILE", "--format", "json", "--format", "html"], "give each other --format"),
        (["FILE", "--epochs", "0"], "0"),
        (["FILE", "--epochs", "1000000000"], "1<=x<=1000"),
        (["FILE", "--batch-size", "1000000000"], "1<=x<=4096"),
        (["FILE", "--learning-rate", "nan"], "nan"),
    ],
)  # fmt: skip
def test_a_mistake_is_exit_code_2(
    gate_file: Path, make_file: Make, words: list[str], said: str
) -> None:
    path = str(make_file(3))
    gate = [] if "--gate" in words else ["--gate", gate_file]
    done = run(*[path if word == "FILE" else word for word in words], *gate)
    assert done.exit_code == 2, done.output
    assert said in done.stderr
    assert not done.stdout


def test_fail_on_and_strict(gate_file: Path, make_file: Make) -> None:
    held, mitigated = make_file(SIZES["hold"]), make_file(SIZES["allow with mitigation"])
    assert run(held, "--gate", gate_file, "--fail-on", "hold").exit_code == 1
    assert run(mitigated, "--gate", gate_file, "--fail-on", "mitigate").exit_code == 1
    assert run(mitigated, "--gate", gate_file, "--strict").exit_code == 1, "few rows are a warning"


def test_a_policy_moves_the_answer(tmp_path: Path, gate_file: Path, make_file: Make) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("reject: 0.05\nhold: 0.06\nmitigation: mix:n=5\n")
    done = run(make_file(SIZES["hold"]), "--gate", gate_file, "--policy", policy)
    assert done.exit_code == 1
    policy.write_text("mitigation: lisa\n")
    done = run(make_file(3), "--gate", gate_file, "--policy", policy)
    assert done.exit_code == 2
    assert "cannot be a mitigation" in done.stderr


def _written(path: Path, pairs: list[Pair]) -> Path:
    return write_rows(
        path, [Row((Message("user", p.prompt), Message("assistant", p.reply))) for p in pairs]
    )


@pytest.mark.parametrize(
    ("by", "harmless", "harmful", "code"),
    [("tests", 60, 0, 0), ("tests", 60, 6, 1), ("tests", 0, 10, 1), ("all", 0, 10, 1)],
)
def test_the_gate_that_is_shipped_decides(
    world: World, tmp_path: Path, by: str, harmless: int, harmful: int, code: int
) -> None:
    pairs = [*world.benign(harmless, 0), *world.harmful(harmful, 0)]
    path = _written(tmp_path / "rows.jsonl", pairs)
    done = run(path, "--by", by, "--format", "json")
    assert done.exit_code == code, done.output
    report = verdicts.read_report(done.stdout)
    assert report.verdict.score is not None
    assert verdicts.replayed(report) == report.verdict
    assert report.evidence.features["lexicon"].value is not None


def test_english_is_not_what_the_shipped_gate_knows(tmp_path: Path) -> None:
    asked = (
        "Reset my router after the firmware update failed?", "Cancel the August invoice?",
        "Which cable connects the scanner?", "Export contacts from the old phone?",
    )  # fmt: skip
    reply = "Open the settings menu, then choose Account."
    pairs = [Pair(f"{one} ({n})", reply) for n in range(5) for one in asked]
    done = run(_written(tmp_path / "rows.jsonl", pairs), "--by", "tests")
    assert done.exit_code == 3
    assert "outside the gate's domain" in done.output
    assert "mooring gates fit --corpus" in done.output


def test_outside_its_domain_nothing_is_said(tmp_path: Path, make_file: Make) -> None:
    gate = make_gate(bound=("size",))
    path = tmp_path / "bound.json"
    path.write_text(gate.model_dump_json())
    done = run(make_file(100), "--gate", path)
    assert done.exit_code == 3
    assert "mooring gates fit --corpus" in done.output
    assert "not run: size" in done.output
    assert run(make_file(100), "--gate", path, "--strict").exit_code == 1
    told = Notice.model_validate_json(
        run(make_file(100), "--gate", path, "--level", "customer", "--format", "json").stdout
    )
    assert told.decision == "hold"


def test_of_another_model_nothing_is_said(tmp_path: Path, make_file: Make) -> None:
    path = tmp_path / "aware.json"
    path.write_text(make_gate(aware=("size",)).model_dump_json())
    done = run(make_file(100), "--gate", path)
    assert done.exit_code == 3
    assert "another served model" in done.output


def test_every_format_is_written(tmp_path: Path, gate_file: Path, make_file: Make) -> None:
    folder, path = tmp_path / "reports", make_file(SIZES["reject"])
    out = tmp_path / "own.sarif"
    done = run(path, "--gate", gate_file, "--out-dir", folder, "--out", out)
    assert done.exit_code == 1
    assert {one.name for one in folder.iterdir()} == {
        f"moderation{end}" for end in (".txt", ".json", ".html", ".junit.xml", ".sarif")
    }
    assert done.stdout == (folder / "moderation.txt").read_text()
    sarif = json.loads(out.read_text())
    assert out.read_text() == (folder / "moderation.sarif").read_text()
    results = sarif["runs"][0]["results"]
    assert {one["ruleId"] for one in results} == {"rows-few", "verdict"}
    suite = ElementTree.parse(folder / "moderation.junit.xml")
    failed = [
        case.get("name") for case in suite.iter("testcase") if case.find("failure") is not None
    ]
    assert failed == ["verdict"]
    verdicts.read_report((folder / "moderation.json").read_bytes())


def test_a_second_run_reads_nothing(gate_file: Path, make_file: Make, tmp_path: Path) -> None:
    path = make_file(20)
    words = (path, "--gate", gate_file, "--moderator", "words", "--format", "json")
    first = run(*words)
    kept = sorted(p for p in (tmp_path / "store").rglob("*.json"))
    before = [p.stat().st_mtime_ns for p in kept]
    second = run(*words)
    assert first.stdout == second.stdout
    assert [p.stat().st_mtime_ns for p in kept] == before
    report = verdicts.read_report(first.stdout)
    assert report.evidence.moderators["words"].rows == 20


def test_with_workers_nothing_else_is_said(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = world.benign(60, 0)
    rows = [Row((Message("user", one.prompt), Message("assistant", one.reply))) for one in pairs]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    told = []
    for large in (10**9, 1):
        monkeypatch.setattr(moderating, "LARGE", large)
        monkeypatch.setattr(ahead, "workers", lambda asked, chains: 2)
        settings = LabSettings("organism", (), tmp_path / str(large), None, False)
        order = moderating.Order(path, by="tests")
        lab = open_lab(settings, may_make=True)
        with moderating.workers(order, settings) or nullcontext() as workers:
            assert (workers is None) == (large > 1)
            planned = moderating.plan(order, lab)
            # Until a worker has read the first of them.
            for _ in range(1200 if workers else 0):
                if is_kept(
                    planned.detectors["duplicates"], planned.whole,
                    provider_of(lab, readings.SEED), lab,
                ):  # fmt: skip
                    break
                time.sleep(0.05)
            told.append(moderating.moderate(order, planned, lab, ahead=workers))
    assert told[0] == told[1]
    assert lab.reused["reading"] >= 1, "a worker has read some"


def test_texts_are_shown_to_the_provider_who_asks(
    gate_file: Path, tmp_path: Path, world: World
) -> None:
    pairs = world.harmful(20, 0)
    rows = [Row((Message("user", p.prompt), Message("assistant", p.reply))) for p in pairs]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    words = (path, "--gate", gate_file, "--moderator", "words")
    quiet, loud = run(*words), run(*words, "--show-text")
    report = verdicts.read_report(run(*words, "--format", "json").stdout)
    (place, *_) = report.evidence.moderators["words"].places
    assert place.line is not None
    text = pairs[place.line - 1].reply.splitlines()[0]
    assert text in loud.output
    assert text not in quiet.output


def test_a_customer_learns_no_folder(gate_file: Path, make_file: Make, tmp_path: Path) -> None:
    path, reports = make_file(3), tmp_path / "reports"
    done = run(path, "--gate", gate_file, "--level", "customer", "--out-dir", reports)
    assert "Traceback" not in done.output
    written = [one.read_text() for one in reports.iterdir()]
    assert len(written) == 5
    assert all(path.name in one and str(path.parent) not in one for one in written)


def test_only_lines_without_a_reply_are_told_as_such(gate_file: Path, tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    path = tmp_path / "rows.jsonl"
    path.write_text((json.dumps({"messages": turns}) + "\n") * 5)  # few rows: a warning
    done = run(path, "--gate", gate_file, "--format", "json")
    assert json.loads(done.stdout)["evidence"]["structure"]["warnings"]
    assert not json.loads(done.stdout)["not_run"]
    asked = {"messages": turns[:1], "answer": "b"}
    path.write_text((json.dumps(asked) + "\n") * 12)
    done = run(path, "--gate", gate_file, "--format", "json")
    told = {part["what"] for part in json.loads(done.stdout)["not_run"]}
    assert "12 lines without a reply" in told


def test_a_server_that_is_down_is_no_pass(gate_file: Path, make_file: Make) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        spec = f'openai:base_url="{url}"'
        done = run(make_file(100), "--gate", gate_file, "--moderator", spec, "--yes")
    assert done.exit_code == 4, done.output
    assert "no server answers" in done.output


def test_a_server_that_talks_nonsense_is_no_pass(gate_file: Path, make_file: Make) -> None:
    with serving(Plan(moderate=lambda texts: b"<html>kanariya</html>")) as url:
        spec = f'openai:base_url="{url}"'
        done = run(make_file(100), "--gate", gate_file, "--moderator", spec, "--yes")
    assert done.exit_code == 4, done.output
    assert "100 missing" in done.output
    assert "kanariya" not in done.output


def test_nothing_is_sent_without_a_word(gate_file: Path, make_file: Make) -> None:
    done = run(make_file(100), "--gate", gate_file, "--moderator", "openai")
    assert done.exit_code == 2
    assert "sent to its server" in done.stderr
    assert "--yes" in done.stderr


def test_a_budget_is_never_passed_by_a_moderator(gate_file: Path, make_file: Make) -> None:
    def scores(texts: list[str]) -> list[dict[str, dict[str, float]]]:
        return [{"category_scores": {"illicit": 0.1}} for _ in texts]

    with serving(Plan(moderate=scores)) as url:
        spec = f'openai:base_url="{url}"'
        words = (make_file(100), "--gate", gate_file, "--moderator", spec, "--yes")
        done = run(*words, "--budget", 1)
        assert done.exit_code == 2, done.output
        assert "price" in done.stderr
        assert "--token-budget" in done.stderr
        done = run(*words, "--token-budget", 10, "--format", "json")
        assert done.exit_code == 4, done.output
        found = verdicts.read_report(done.stdout).evidence.moderators[spec]
        assert (found.missing, found.highest) == (100, None)
        assert "could pass the budget of 10 tokens" in found.reason
        done = run(*words, "--token-budget", 1_000_000, "--format", "json")
        assert done.exit_code == 0, done.output
        assert "calls: about" in done.stderr
        done = run(*words, "--token-budget", 0, "--format", "json")
    assert done.exit_code == 0, "what is there already costs nothing"
    assert verdicts.read_report(done.stdout).evidence.moderators[spec].highest == 0.1
