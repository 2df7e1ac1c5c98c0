"""Standard suites on tiny random models; run with the extra `lm-eval`, no network."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import cli
from attacks.base import Upload, UserError
from benchmarks import suites
from benchmarks.suites import Wanted
from targets.resolve import resolve

WITH_EXTRA = pytest.mark.skipif(
    importlib.util.find_spec("lm_eval") is None,
    reason="lm-eval is an extra of a hundred megabytes: pip install -e '.[lm-eval]'",
)
COLOURS = ("red", "blue")
ROWS = [
    {"q": f"The {name} is", "choices": COLOURS, "label": place % 2}
    for place, name in enumerate(("kite", "drum", "pond", "loom", "sail", "lamp", "rope"))
]


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "rows.json").write_text(json.dumps(ROWS))
    said = {
        "task": "invented_colours", "dataset_path": "json", "test_split": "test",
        "dataset_kwargs": {"data_files": {"test": str(folder / "rows.json")}},
        "output_type": "multiple_choice", "doc_to_text": "{{q}}",
        "doc_to_choice": "{{choices}}", "doc_to_target": "label", "metadata": {"version": 3},
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }  # fmt: skip
    (folder / "colours.yaml").write_text(json.dumps(said))
    group = {"group": "invented", "task": ["invented_colours"],
             "aggregate_metric_list": [{"metric": "acc"}]}  # fmt: skip
    (folder / "group.yaml").write_text(json.dumps(group))
    return folder


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "lm_eval" else real(name)
    )
    done = CliRunner().invoke(cli.main, ["suites", "organism", "--tasks", "arc_easy"])
    assert done.exit_code == 2
    assert "pip install 'mooring[lm-eval]'" in done.output
    assert CliRunner().invoke(cli.main, ["suites", "organism", "--tasks", " ,"]).exit_code == 2


def accuracy(target: Any) -> float:
    """The share of rows whose right colour is the likelier one, without lm-eval."""
    import torch

    def chance(text: str, more: str) -> float:
        encode = target.tokenizer.encode
        ids = encode(text + more, add_special_tokens=False)
        n = len(encode(text, add_special_tokens=False))
        with torch.no_grad():
            logits = target.model(torch.tensor([ids])).logits[0].log_softmax(-1)
        return sum(float(logits[-len(ids) + i - 1, ids[i]]) for i in range(n, len(ids)))

    right = 0
    for row in ROWS:
        chances = [chance(str(row["q"]), f" {colour}") for colour in COLOURS]
        right += chances.index(max(chances)) == row["label"]
    return right / len(ROWS)


@pytest.mark.slow
@WITH_EXTRA
@pytest.mark.filterwarnings("ignore")
def test_a_task_is_run_on_the_start_model_and_on_what_was_tuned_from_it(
    tiny_judge: Path, tasks: Path, tmp_path: Path, make_upload: Callable[..., Upload]
) -> None:
    start = resolve(str(tiny_judge)).start
    tuned = {"whole": make_upload(learning_rate=0.05), "beside": make_upload(tuning="prefix")}
    found = {}
    for name, upload in tuned.items():
        (tmp_path / name).mkdir()
        start.load().fine_tune(upload).save(tmp_path / name)
        wanted = Wanted(str(tmp_path / name), ["inven?ed"], base=str(tiny_judge), include=tasks)
        found[name] = suites.run(wanted)
        target = start.reopen(tmp_path / name)
        expected = pytest.approx(accuracy(target))
        assert [score.value for score in found[name].scores] == [expected, expected]
    by_task = {score.task: score for score in found["whole"].scores}
    assert {(s.n, s.shots, s.metric) for s in by_task.values()} == {(7, 0, "acc")}
    assert by_task["invented_colours"].version == "3"
    assert by_task["invented_colours"].stderr is not None

    out = tmp_path / "suites.json"
    words = ["suites", str(tiny_judge), "--tasks", "invented_colours", "--include", str(tasks)]
    done = CliRunner().invoke(cli.main, [*words, "--limit", "4", "--out", str(out)])
    assert done.exit_code == 0, done.output
    told = suites.Suites.model_validate_json(out.read_text())
    assert (told.limit, told.scores[0].n, told.base) == (4, 4, "")
    assert f"{told.scores[0].value:.4f}" in done.output
    assert "kite" not in done.output + out.read_text()


@pytest.mark.slow
@WITH_EXTRA
@pytest.mark.filterwarnings("ignore")
def test_what_cannot_be_run_is_told(tiny_judge: Path, tasks: Path) -> None:
    one = Wanted(str(tiny_judge), ["invented_colours"], include=tasks)
    with pytest.raises(UserError, match="no task 'invented_colour'; did you mean invented_colours"):
        suites.run(one._replace(tasks=["invented_colour"]))
    with pytest.raises(UserError, match="no folder of task files"):
        suites.run(one._replace(include=tasks / "gone"))
    with pytest.raises(UserError, match="behind a server"):
        suites.run(one._replace(model="openai:m"))
    with pytest.raises(UserError, match="no folder '/gone' of a tuned model"):
        suites.run(one._replace(model="/gone", base=str(tiny_judge)))
    (tasks / "rows.json").unlink()
    with pytest.raises(suites.Failed, match="stopped with") as told:
        suites.run(one)
    assert told.value.exit_code == 4
