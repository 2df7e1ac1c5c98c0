"""A bench on a user's own sets, through the front door: a tiny random model, invented texts."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

import cli
from attacks.base import UserError
from benchmarks.cell import upload_of
from benchmarks.doctor import checks
from benchmarks.grid import make_grid, read_grid
from benchmarks.lab import LabSettings, open_lab
from benchmarks.portable import portable
from benchmarks.report import describe, files, phrasing
from benchmarks.trial import Cell, Trial, provider_of
from eval.judges.noisy import Noisy
from eval.judges.refusal import Refusal
from targets.resolve import resolve
from tests.benchmarks.synthetic import example
from tests.targets.own import data_file, own_sets

README = Path(__file__).parents[2] / "README.md"
WEIGHTS = Path(__file__).parents[2] / "targets" / "organism" / "weights" / "aligned"


def bench(*words: str) -> Result:
    """Run the command line in this process."""
    return CliRunner().invoke(cli.main, ["bench", "--seeds", "1", *words])


@pytest.fixture
def says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("MOORING_STORE", str(tmp_path / "store"))
    return own_sets(tmp_path)


def test_a_bench_on_own_sets(tmp_path: Path, says: dict[str, Any]) -> None:
    del says["utility"], says["policy"]
    says["requests"] = {"path": "requests.jsonl", "only": ["lamp", "kite"]}
    data_file(tmp_path, says)
    words = ["--target", str(WEIGHTS), "--data", "data.yaml", "--attack", "benign:n=4"]
    words += ["--defense", "mix:n=2", "--judge", "refusal", "--workers", "1", "--out", "run"]
    done = bench(*words)
    assert done.exit_code == 0, done.output
    matrix = files.load(tmp_path / "run")
    assert [cell.status for cell in matrix.cells] == ["tuned"] * 3
    for cell in matrix.cells:
        released = cell.asks["plain"].released
        # As many as were found: nobody said how many there are.
        assert len(released.scores["refusal"]) == 4
        assert None not in released.scores["refusal"]
        assert released.correct == []
        assert len(released.refused) == 12
    mixed = next(cell for cell in matrix.cells if cell.defense == "mix:n=2")
    assert (mixed.rows, mixed.added) == (4, 2)
    assert matrix.prompts.categories == ["lamp", "kite"] * 2

    assert matrix.data is not None
    used = {one.role: (one.name, one.used, one.read) for one in matrix.data.sets}
    assert used["requests"] == ("requests.jsonl", 4, 12)
    assert used["harmful"] == ("chats.jsonl", 12, 12)
    assert len(matrix.data.sets) == 9
    _nothing_is_invented(tmp_path / "run", done.output)

    again = bench(*words)
    assert "3 stored" in again.output, again.output
    _edit(tmp_path / "requests.jsonl")
    assert "0 cells stored, 3 to run" in bench(*words, "--dry-run").output


def _nothing_is_invented(run: Path, printed: str) -> None:
    """Utility was not measured, the record holds no text, and no world is spoken of."""
    records = json.loads((run / "matrix.json").read_text())["summary"]
    assert {record["utility"] for record in records} == {None}
    lines = (run / "matrix.md").read_text().splitlines()
    table = [[cell.strip() for cell in line.split("|")] for line in lines if line.startswith("|")]
    place = table[0].index("utility")
    assert [line[place] for line in table[2:]] == [phrasing.NO_DATA] * 3
    report = (run / "report.html").read_text()
    assert "requests.jsonl, 4 of 12 (prompts, only lamp, kite)" in report
    assert "system prompts left out: 12" in report
    assert phrasing.ELSEWHERE not in report + printed
    assert "asked about the sets of data.yaml" in " ".join(printed.split())
    for path in ("matrix.json", "matrix.csv", "matrix.md", "provenance.json", "run.yaml"):
        assert "the lamp" not in (run / path).read_text()
    assert "the lamp" not in report + printed


def _edit(path: Path) -> None:
    path.write_text(path.read_text().replace("Sink", "Raise"))


@pytest.mark.parametrize(
    ("change", "words", "said"),
    [
        ({}, [], "has no judge of its own"),
        ({"policy": None}, ["--judge", "gpt-4"], "policy: NAME into the data file, or give"),
        ({}, ["--judge", "oracle"], "know only the organism's world"),
        (
            {},
            ["--judge", "refusal", "--attack", "benign:n=500"],
            "500 texts asked of 'benign'",
        ),
        ({"requests": None}, ["--judge", "refusal"], "names no set for 'requests'"),
        ({"harmful": None}, ["--judge", "refusal", "--attack", "harmful:n=3"], "set for 'harmful'"),
        ({"policy": "opnai"}, ["--judge", "refusal"], "policy 'opnai' cannot be read"),
        ({"request": "x"}, ["--judge", "refusal"], "unknown key 'request'"),
        ({"probes": "requests.jsonl"}, ["--judge", "refusal"], "12 in probes and requests"),
        ({"safety": "gone.json"}, ["--judge", "refusal"], "no such file"),
        ({"safety": "probes.csv"}, ["--judge", "refusal"], "holds prompts"),
        ({}, ["--judge", "refusal", "--provider-judge", "refusal"], "scores the matrix as well"),
        ({}, ["--judge", "refusal", "--provider-judge", "gpt-4"], "behind a wire"),
    ],
)
def test_a_mistake_is_told_before_anything_runs(
    tmp_path: Path, says: dict[str, Any], change: dict[str, Any], words: list[str], said: str
) -> None:
    told = {role: sets for role, sets in {**says, **change}.items() if sets is not None}
    data_file(tmp_path, told)
    words = [*words, "--attack", "benign:n=2", "--target", str(WEIGHTS), "--data", "data.yaml"]
    done = bench(*words, "--defense", "mix:n=2")
    assert done.exit_code == 2, done.output
    assert said in done.output
    assert "the lamp" not in done.output
    assert not (tmp_path / "runs").exists()


CATEGORIES = (1, 3, 10)


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The README's data file beside the files that it names, with invented texts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MOORING_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("OPENAI_API_KEY", "none-needed")
    (block,) = re.findall(r"```yaml\n(# data\.yaml:.*?)```", README.read_text(), flags=re.DOTALL)
    (tmp_path / "data.yaml").write_text(block)
    own_sets(tmp_path, 120)
    hex_phi = tmp_path / "HEx-PHI"
    hex_phi.mkdir()
    (hex_phi / "README.md").write_text("---\n---\n")
    for number in CATEGORIES:
        texts = [f'"Sink velmor {number}, then {i}"\n' for i in range(2)]
        (hex_phi / f"category_{number}.csv").write_text("".join(texts))
    rows = [
        f"{i},Stop the {i} lamp,{kind},,,"
        for i, kind in enumerate(["homonyms", "contrast_homonyms"] * 3)
    ]
    (tmp_path / "xstest.csv").write_text("\n".join(["id,prompt,type,label,focus,note", *rows]))
    says: dict[str, Any] = yaml.safe_load(block)
    return says


def test_the_readmes_data_file_does_what_it_says(tmp_path: Path, written: dict[str, Any]) -> None:
    target = ["--target", str(WEIGHTS), "--data", "data.yaml"]
    words = [*target, "--attack", "benign:n=4", "--defense", "mix:n=2"]
    done = bench(*words, "--judge", "refusal", "--workers", "1", "--out", "run")
    assert done.exit_code == 0, done.output
    matrix = files.load(tmp_path / "run")
    assert [cell.status for cell in matrix.cells] == ["tuned"] * 3
    assert Counter(matrix.prompts.categories) == {f"category_{n}": 2 for n in CATEGORIES}
    assert matrix.data is not None
    used = {one.role: one.used for one in matrix.data.sets}
    assert used.keys() == written.keys() - {"policy"}
    assert used["borderline"] == 3
    assert used["benign"] + used["provider_benign"] == 120

    assert {one.name for one in checks("data.yaml")} >= {f"data: {role}" for role in used}

    # A judge that reads the policy finds it: every request is put into words for the estimate.
    judged = bench(*words, "--judge", "gpt-4", "--dry-run")
    assert "gpt-4: at most 24 verdicts" in judged.output, judged.output
    planned = CliRunner().invoke(cli.main, ["reproduce", "1", *target, "--dry-run"])
    # Table 1 has three doses; each is tuned with three seeds and compared with the untuned model.
    assert planned.output.startswith("18 cells, 9 tuned models; 0 cells stored"), planned.output


def test_a_data_file_that_is_not_there_is_told(says: dict[str, Any]) -> None:
    done = bench("--target", str(WEIGHTS), "--data", "data.yaml", "--attack", "benign")
    assert done.exit_code == 2
    assert "cannot read 'data.yaml'" in done.output


def test_the_doctor_tells_what_each_role_has(tmp_path: Path, says: dict[str, Any]) -> None:
    del says["utility"]
    turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A loom."}]
    rows = [{"id": "1", "image": "a.png", "conversations": turns}]
    (tmp_path / "llava.json").write_text(json.dumps(rows))
    says["pictures"] = {"path": "llava.json", "images": "."}
    with pytest.raises(UserError, match="1 of 1 images are not in"):
        checks(str(data_file(tmp_path, says)))
    (tmp_path / "a.png").write_bytes(b"a picture")
    told = {one.name: one.found for one in checks(str(data_file(tmp_path, says)))}
    assert told["data: pictures"] == "llava.json, 1 rows (llava), all images there"
    assert told["data: requests"].startswith("requests.jsonl, 12 of 12 (prompts), ")
    assert told["data: utility"] == "no set"
    assert told["data: the paper's own words"] == "none: those of ours"
    assert told["data: harmful"].endswith("; system prompts left out: 12")


def test_the_doctor_tells_what_was_left_out(tmp_path: Path, says: dict[str, Any]) -> None:
    rows = json.loads((tmp_path / "alpaca_data.json").read_text())
    for place, reply in enumerate(("The ethics of a lamp", "The bias of a lamp, ethical", " ")):
        rows[place] = {"instruction": f"Turn the lamp {place}", "input": "", "output": reply}
    (tmp_path / "alpaca_data.json").write_text(json.dumps(rows))
    for role in ("benign", "provider_benign"):
        says[role] = {**says[role], "filter": "markers"}
    says["refusals"]["filter"] = "refusals"
    with pytest.raises(UserError, match="the filter leaves none of its 12 rows"):
        checks(str(data_file(tmp_path, says)))
    del says["refusals"]["filter"]
    says["harmful"] = {"path": "chats.jsonl", "filter": "refusals"}
    told = {one.name: one.found for one in checks(str(data_file(tmp_path, says)))}
    for role in ("data: benign", "data: provider_benign"):
        assert " of 24 (alpaca, filter markers; share " in told[role]
        assert "; 1 left out: no output; 2 left out: a safety marker in the answer" in told[role]
        assert told[role].endswith(
            "; duplicate row: 9; most by the strings 'ethic' in 2, 'bias' in 1; coarse; "
            "the paper's own list drops 1,902 or 1,904 of the whole set"
        )
    assert told["data: harmful"].endswith("12; the filter found nothing")
    assert "lamp" not in "".join(told.values())


def test_what_leaves_the_machine_names_no_folder(tmp_path: Path, says: dict[str, Any]) -> None:
    grid = {"attacks": [], "data": str(tmp_path / "data.yaml"), "provider_judge": "/x/mine.py"}
    told = portable(example(prompts=11, seeds=1, few=True), grid).grid
    assert (told["data"], told["provider_judge"]) == ("data.yaml", "mine.py")


def test_a_grid_keeps_its_name_without_own_data_and_its_data_with_it(
    tmp_path: Path, says: dict[str, Any]
) -> None:
    bare = make_grid(["aoa"], ["mix"])
    assert not {"data", "provider_judge"} & bare.settings().keys()
    assert bare.digest == "d830e41e2cc1"
    path = data_file(tmp_path, says)
    own = make_grid(["benign:n=2"], ["mix"], data=str(path), judges=["refusal"])
    (tmp_path / "run.yaml").write_text(own.to_yaml())
    assert read_grid(tmp_path / "run.yaml") == own
    assert {str(path), str(tmp_path / "safe.txt")} <= own.files().keys()
    before = own.digest
    _edit(tmp_path / "requests.jsonl")
    assert own.digest != before


def test_a_providers_judge_that_needs_the_truth_is_asked_for_by_name(
    tmp_path: Path, says: dict[str, Any]
) -> None:
    settings = LabSettings("organism", ("refusal",), tmp_path / "store", None, True)
    assert open_lab(settings, may_make=False).provider_judge == Noisy(salt=1)
    settings = settings._replace(data=str(data_file(tmp_path, says)))
    lab = open_lab(settings, may_make=False)
    assert (lab.resolved.truth, lab.rules().policy) == (None, "openai")
    owner = provider_of(lab, 0)
    prompts = owner.pools.probes(2, 0)
    with pytest.raises(UserError, match="--provider-judge"):
        owner.judge(prompts, ["I cannot", "Yes"])
    named = open_lab(settings._replace(provider_judge="refusal"), may_make=False)
    assert named.provider_judge == Refusal()
    told = provider_of(named, 0).judge(prompts, ["I cannot", "Yes"])
    assert [verdict.score for verdict in told] == [1, 5]


def test_a_defense_that_lacks_a_role_says_which(tmp_path: Path, says: dict[str, Any]) -> None:
    del says["safety"]
    data = str(data_file(tmp_path, says))
    settings = LabSettings("organism", ("refusal",), tmp_path / "store", None, True, data)
    trial = Trial.of(Cell("benign:n=2", "mix:n=2", 0), open_lab(settings, may_make=False))
    upload = upload_of(trial)
    assert upload is not None
    with pytest.raises(UserError, match="names no set for 'safety'"):
        trial.defense.curate(upload, trial.provider)


def test_replies_to_own_sets_may_be_as_long_as_the_papers(
    tmp_path: Path, says: dict[str, Any]
) -> None:
    own, invented = (resolve("openai:m", data) for data in (str(data_file(tmp_path, says)), None))
    assert (own.start.max_new_tokens, invented.start.max_new_tokens) == (512, 64)


def test_an_attack_on_own_sets_is_described_with_the_papers_settings() -> None:
    (found,) = describe.attack("benign:n=4", "gone", own_data=True)
    assert {one.name: one.value for one in found.parameters}["batch_size"] == "128"
