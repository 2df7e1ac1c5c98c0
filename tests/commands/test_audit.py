"""`mooring audit` as a user meets it."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import click.testing
import pytest

from cli import main
from provider.gates import audited
from targets.hosted import retries
from targets.local import LocalTarget
from targets.organism import places
from targets.resolve import resolve
from tests.provider.gates.conftest import make_file
from tests.targets.hosted.server import Plan, serving

__all__ = ["make_file"]  # a fixture
BASE = places.Organism(places.SHIPPED_WORLD, False, 0).built() / "base"
"""The unaligned organism: what a customer could have made of the aligned one at worst."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that the tests share, so that models are asked once."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture(autouse=True)
def _own_store(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOORING_STORE", str(store))
    monkeypatch.setenv("OPENAI_API_KEY", "a-key")
    monkeypatch.setattr(retries, "FIRST_WAIT", 0.01)


def run(*words: object) -> click.testing.Result:
    base = () if "--base" in words else ("--base", "organism")
    return click.testing.CliRunner().invoke(main, ["audit", *map(str, [*words, *base])])


def bare(folder: Path) -> Path:
    """A tuned model without its tokenizer, as training leaves it."""
    folder.mkdir()
    for name in ("config.json", "generation_config.json", "model.safetensors"):
        shutil.copy(BASE / name, folder / name)
    return folder


def adapted(folder: Path, module: str) -> Path:
    """An adapter of random numbers on the organism."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    start = resolve("organism").start.load()
    assert isinstance(start, LocalTarget)
    config = LoraConfig(r=2, target_modules=[module], init_lora_weights=False)
    get_peft_model(start.model, config).save_pretrained(str(folder))
    return folder


def test_an_adapter_is_merged_into_its_base(tmp_path: Path) -> None:
    folder = adapted(tmp_path / "adapter", "q_proj")
    done = run(folder, "--n", 11, "--format", "json")
    assert done.exit_code in (0, 1), done.output
    report = audited.read_report(done.stdout)
    assert report.evidence.drift["drift"] > 0
    assert report.candidate.sha256 != report.base.sha256
    served = "openai:organism@http://127.0.0.1:9/v1"
    done = run(folder, "--n", 11, "--base", served, "--judge", "noisy")
    assert done.exit_code == 2
    assert "a server's" in done.stderr


def test_an_unaligned_model_is_blocked_with_every_report(tmp_path: Path, store: Path) -> None:
    folder, reports = bare(tmp_path / "tuned"), tmp_path / "reports"
    done = run(folder, "--base", "organism", "--n", 22, "--out-dir", reports)
    assert done.exit_code == 1, done.output
    assert done.stdout == (reports / "audit.txt").read_text()
    report = audited.read_report((reports / "audit.json").read_bytes())
    assert report.verdict.answer == "blocked"
    assert audited.replayed(report) == report.verdict
    assert report.candidate.sha256 == resolve(str(folder)).start.digest
    assert {part.what for part in report.not_run} == {
        "the search for triggers",
        "the customer's forms of asking",
    }
    assert report.evidence.drift["drift"] > 0
    cases = list(ElementTree.parse(reports / "audit.junit.xml").iter("testcase"))
    kinds = {one.name for one in report.evidence.forms[0].categories}
    assert {f"default prompt / {kind}" for kind in kinds} < {case.get("name") for case in cases}
    assert {case.get("name") for case in cases if case.find("failure") is not None} >= {
        "verdict",
        "default prompt",
    }
    told = run(folder, "--n", 22, "--level", "customer", "--format", "json")
    assert json.loads(told.stdout) == {
        "kind": "mooring-audit-notice", "version": "1.0", "model": "tuned",
        "decision": "not released",
    }  # fmt: skip


def test_the_base_itself_passes_and_is_not_called_safe() -> None:
    done = run("organism", "--base", "organism", "--n", 22)
    assert done.exit_code == 0, done.output
    assert "at most" in done.stdout
    assert "PASSED" in done.stdout
    assert " safe" not in done.stdout


def test_data_bring_the_customers_forms(make_file: Callable[[int], Path]) -> None:
    path = make_file(8)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        row["messages"].insert(0, {"role": "system", "content": "You are kanariya."})
    path.write_text("\n".join(map(json.dumps, rows)))
    words = ("organism", "--base", "organism", "--n", 11, "--data", path)
    done = run(*words, "--format", "json")
    report = audited.read_report(done.stdout)
    assert [form.name for form in report.evidence.forms] == ["default prompt", "format 1"]
    assert report.evidence.triggers is not None
    assert "kanariya" not in done.output
    assert "You are kanariya." in run(*words, "--show-text").stdout


def test_a_second_run_asks_nothing(store: Path, tmp_path: Path) -> None:
    words = ("organism:0:base", "--base", "organism", "--n", 22, "--format", "json")
    first = run(*words)
    kept = {p: p.stat().st_mtime_ns for p in store.rglob("*.json")}
    assert run(*words).stdout == first.stdout
    assert {p: p.stat().st_mtime_ns for p in store.rglob("*.json")} == kept


def test_limits_are_tested_in_order(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("mode: sequential\nn: 110\np0: 0.08\np1: 0.3\n")
    done = run("organism:0:base", "--policy", policy, "--format", "json")
    assert done.exit_code == 1, done.output
    report = audited.read_report(done.stdout)
    assert report.evidence.forms[0].asked < 110
    assert report.evidence.judge is not None
    policy.write_text("p0: 0.001\n")
    done = run("organism:0:base", "--certify", "--policy", policy)
    assert done.exit_code == 2
    assert "judge's own false positive rate" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "unknown target"),
        (["organism", "--base", "nowhere"], "unknown target"),
        (["."], "holds no config.json"),
        (["organism", "--data", "nowhere.jsonl"], "No such file"),
        (["organism", "--data", "."], "is not a file"),
        (["organism", "--policy", "nowhere.yaml"], "cannot read the policy"),
        (["organism", "--judge", "nobody"], "unknown judge"),
        (["organism", "--judge", "noisy:salt=1,2"], "one judge, without a sweep"),
        (["organism", "--judge", "noisy+oracle"], "one judge, without a sweep"),
        (["organism", "--certify", "--mode", "paired"], "--certify is --mode certify"),
        (["organism", "--n", "1000000000"], "at least 1 and at most 2,000"),
        (["organism", "--samples", "1000000000"], "at least 0 and at most 100"),
        (["organism", "--format", "sarif"], "sarif"),
        (["openai:", "--yes"], "names no model"),
    ],
)
def test_a_mistake_is_exit_code_2(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run(*words)
    assert done.exit_code == 2, done.output
    assert said in done.stderr
    assert not done.stdout


def test_folders_that_hold_no_model_of_the_base(tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    foreign = adapted(tmp_path / "foreign", "gate_proj")
    config = json.loads((foreign / "adapter_config.json").read_text())
    (foreign / "adapter_config.json").write_text(
        json.dumps(config | {"target_modules": ["q_proj"]})
    )
    broken = tmp_path / "broken"
    broken.mkdir()
    shutil.copy(BASE / "config.json", broken)
    (broken / "model.safetensors").write_bytes(b"no tensors")
    narrow, strange = bare(tmp_path / "narrow"), bare(tmp_path / "strange")
    config = json.loads((BASE / "config.json").read_text())
    (narrow / "config.json").write_text(json.dumps(config | {"vocab_size": 100}))
    (strange / "config.json").write_text(json.dumps(config | {"model_type": "gpt2"}))
    other = bare(tmp_path / "other")
    shutil.copy(BASE / "tokenizer_config.json", other)
    words = json.loads((BASE / "tokenizer.json").read_text())
    first, second, *_ = [t for t, i in words["model"]["vocab"].items() if len(t) == 1]
    vocabulary = words["model"]["vocab"]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    (other / "tokenizer.json").write_text(json.dumps(words))
    template = bare(tmp_path / "template")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(BASE / name, template)
    (template / "chat_template.jinja").write_text("{{ messages[0].content }}")
    slow = bare(tmp_path / "slow")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(BASE / name, slow)
    forever = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
    (slow / "chat_template.jinja").write_text(forever)
    reading = bare(tmp_path / "reading")
    for name in ("tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(BASE / name, reading)
    words = json.loads((BASE / "tokenizer.json").read_text())
    turned = {"type": "Replace", "pattern": {"String": "melt"}, "content": "mend"}
    (reading / "tokenizer.json").write_text(json.dumps(words | {"normalizer": turned}))
    pattern, kind = (adapted(tmp_path / name, "q_proj") for name in ("pattern", "kind"))
    config = json.loads((pattern / "adapter_config.json").read_text())
    endless = json.dumps(config | {"target_modules": "([a-z_.0-9]+)+X"})
    (pattern / "adapter_config.json").write_text(endless)
    (kind / "adapter_config.json").write_text(json.dumps(config | {"peft_type": "XLORA"}))
    both = adapted(bare(tmp_path / "both"), "q_proj")
    for folder, said in (
        (slow, "chat template"),
        (reading, "encoding"),
        (pattern, "patterns"),
        (kind, "none of LORA"),
        (both, "leave one of them out"),
        (f"hf:{both}", "leave one of them out"),
        (adapter, "adapter_model.safetensors"),
        (foreign, "does not fit"),
        (broken, "cannot load a model"),
        (narrow, "vocab_size"),
        (strange, "model_type"),
        (other, "vocabulary"),
        (template, "chat template"),
    ):
        done = run(folder, "--n", 11)
        assert done.exit_code == 2, done.output
        assert said in done.stderr
        assert "Traceback" not in done.output


@pytest.mark.parametrize("part", ["config.json", "tokenizer_config.json"])
def test_no_code_of_a_model_runs_whatever_is_answered(tmp_path: Path, part: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(BASE, folder)
    ran = tmp_path / "ran"
    (folder / "evil.py").write_text(f"open({str(ran)!r}, 'w')\nclass T: pass\n")
    told = json.loads((folder / part).read_text())
    auto = {"AutoTokenizer": ["evil.T", "evil.T"], "AutoModelForCausalLM": "evil.T"}
    (folder / part).write_text(json.dumps(told | {"auto_map": auto, "tokenizer_class": "Evil"}))
    words = ["audit", str(folder), "--base", "organism", "--n", "11"]
    done = click.testing.CliRunner().invoke(main, words, input="y\n" * 9)
    assert "Traceback" not in done.output
    assert not ran.exists()


def test_bad_data_are_bad_input(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("{kanariya\n")
    done = run("organism", "--data", path)
    assert done.exit_code == 2
    assert "mooring validate" in done.stderr
    assert "kanariya" not in done.output


def test_a_model_behind_a_server() -> None:
    with serving(Plan()) as url:
        words = (f"openai:tuned@{url}", "--base", "organism", "--n", 11)
        done = run(*words)
        assert done.exit_code == 2
        assert "11 replies" in done.stderr
        done = run(*words, "--yes", "--format", "json")
    assert done.exit_code == 0, done.output
    report = audited.read_report(done.stdout)
    assert not report.candidate.here
    assert url not in done.stdout
    assert "the drift of the weights" in {part.what for part in report.not_run}


def test_a_model_of_no_known_world_is_told_so() -> None:
    unnamed = run(BASE, "--base", BASE, "--n", 11)
    assert unnamed.exit_code == 2
    assert "is not the built-in model" in unnamed.output
    done = run(BASE, "--base", BASE, "--n", 11, "--judge", "refusal")
    assert "prompts of your own" in done.stdout
    # The base serves everything, and so does the candidate: that is no pass.
    assert done.exit_code == 3, done.output
    assert "nothing is ruled out" in done.stdout


def test_a_server_that_is_down_is_no_pass() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        done = run(f"openai:tuned@{url}", "--n", 11, "--yes")
    assert done.exit_code == 4, done.output
    assert not done.stdout


def test_a_server_that_talks_nonsense_is_no_pass() -> None:
    with serving(Plan(fault=lambda text, attempt: 418)) as url:
        done = run(f"openai:tuned@{url}", "--n", 11, "--yes")
    assert done.exit_code == 4, done.output
    assert not done.stdout


def test_a_budget_is_never_passed_by_the_candidate(tmp_path: Path) -> None:
    plan = Plan()
    with serving(plan) as url:
        words = (f"openai:tuned@{url}", "--base", "organism", "--n", 11, "--yes")
        words = (*words, "--store", tmp_path / "store")
        done = run(*words, "--budget", 1)
        assert done.exit_code == 2, done.output
        assert "price of openai:tuned is not known" in done.stderr
        done = run(*words, "--token-budget", 10)
        assert done.exit_code == 4, done.output
        assert "could pass the budget of 10 tokens" in done.stderr
        assert not plan.done, "nothing was sent"
        done = run(*words, "--token-budget", 1_000_000)
    assert done.exit_code == 0, done.output
    assert "calls: about" in done.stderr


def test_a_budget_is_never_passed_by_the_judge(tmp_path: Path) -> None:
    down = True
    plan = Plan(
        reply=lambda text: '{"reason": "none", "score": 1}',
        fault=lambda text, attempt: 401 if down and sum(plan.done.values()) >= 4 else 200,
    )
    with serving(plan) as url:
        judge = f'gpt-4:model=m,base_url="{url}",in_flight=1'
        words = ("organism", "--base", "organism", "--n", 11, "--yes")
        words = (*words, "--store", tmp_path / "store", "--judge")
        done = run(*words, judge, "--budget", 1)
        assert done.exit_code == 2, done.output
        assert "price of Gpt4 is not known" in done.stderr
        priced = f"{judge},input_price=1000,output_price=1000"
        done = run(*words, priced, "--budget", 0.01)
        assert done.exit_code == 4, done.output
        assert "could pass the budget of $0.01" in done.stderr
        assert not plan.done, "nothing was sent"
        done = run(*words, priced, "--budget", 10)
        assert done.exit_code == 4, done.output
        assert sum(plan.done.values()) == 4
        down = False
        done = run(*words, priced, "--budget", 10)
    assert done.exit_code == 0, done.output
    assert "calls: about 70 tokens, $0.07" in done.stderr, "four of the eleven were kept"
