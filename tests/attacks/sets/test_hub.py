"""Sets that `datasets` reads: what works without a network, and what is said when it is needed."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from attacks.base import UserError
from attacks.sets.hub import told
from attacks.sets.read import read


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for data, beside a cache of its own and with the Hub out of reach."""
    import datasets
    from huggingface_hub import constants

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    folder = tmp_path / "set"
    folder.mkdir()
    return folder


def rows_of(folder: Path, name: str, *texts: str) -> None:
    rows = [{"instruction": text, "context": None, "response": "So."} for text in texts]
    (folder / name).write_text("\n".join(map(json.dumps, rows)))


def test_a_folder_is_read_as_a_file_of_the_same_rows_is(cached: Path) -> None:
    rows_of(cached, "train.jsonl", "Bake it", "Rest it", "")
    found = read(f"hf:{cached}")
    alone = read(cached / "train.jsonl")
    assert (found.format, found.rows, found.skipped) == ("dolly", alone.rows, {"no instruction": 1})
    assert found.sha256 == read(f"hf:{cached}#train").sha256
    with pytest.raises(UserError, match="no such split; it has #train"):
        read(f"hf:{cached}#dev")


def test_several_splits_leave_a_choice(cached: Path) -> None:
    rows_of(cached, "train.jsonl", "Bake it")
    rows_of(cached, "test.jsonl", "Rest it")
    with pytest.raises(UserError, match="several splits; add one of #train, #test"):
        read(f"hf:{cached}")
    assert read(f"hf:{cached}#test").rows[0].messages[1].content.count("Rest it") == 1


def test_rows_of_no_known_format(cached: Path) -> None:
    with (cached / "train.csv").open("w", newline="") as opened:
        csv.writer(opened).writerows([["Zanthic", "label"], ["Zanthic", 1]])
    with pytest.raises(UserError, match="row 1 has the fields label and 1 unknown") as caught:
        read(f"hf:{cached}")
    assert "Zanthic" not in str(caught.value)


def test_out_of_reach(cached: Path) -> None:
    with pytest.raises(UserError, match=r"^hf:owner/name@abc: the Hub cannot be reached .*file's"):
        read("hf:owner/name@abc")


@pytest.mark.parametrize("where", ["hf:", "hf:name", "hf:a/b c", "hf:a/b@", "hf:../x", "hf:a/b#"])
def test_what_is_no_name(where: str) -> None:
    with pytest.raises(UserError, match=r"no name of a set|no such folder"):
        read(where)


@pytest.mark.parametrize(
    ("kind", "message", "said"),
    [
        ("DatasetNotFoundError", "Dataset 'a/b' is a gated dataset on the Hub.", "hf auth login"),
        ("DatasetNotFoundError", "Dataset 'a/b' doesn't exist on the Hub", "no such set"),
        ("DatasetNotFoundError", "Revision 'x' doesn't exist for dataset", "no such revision"),
        ("DatasetGenerationError", "Zanthic", "download its files"),
    ],
)
def test_what_to_do_is_told(kind: str, message: str, said: str) -> None:
    import datasets.exceptions

    found = told(getattr(datasets.exceptions, kind)(message), "a/b")
    assert said in found
    assert "Zanthic" not in found
    assert "a/b" in found or kind == "DatasetGenerationError"


def test_a_configuration_is_asked_for() -> None:
    assert "hf:a/b/CONFIG" in told(ValueError("Config name is missing."), "a/b")
