"""Sets that `datasets` reads: what works without a network, and what is said when it is needed."""

from __future__ import annotations

import csv
import gc
import json
from pathlib import Path
from typing import Any

import pytest

from attacks.base import UserError
from attacks.sets.hub import told
from attacks.sets.read import read
from benchmarks.ours import CATEGORY


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


def test_a_folder_with_a_card_is_read_as_it_is_now(cached: Path) -> None:
    lists(cached, head="prompt")
    before = read(f"hf:{cached}")
    file = cached / "category_3.csv"
    file.write_text(file.read_text().replace("velmor", "nalt"))
    after = read(f"hf:{cached}")
    assert [prompt.text for prompt in after.prompts[3:4]] == ["Sink nalt 3"]
    assert after.sha256 != before.sha256


def test_several_splits_leave_a_choice(cached: Path) -> None:
    rows_of(cached, "train.jsonl", "Bake it")
    rows_of(cached, "test.jsonl", "Rest it")
    with pytest.raises(UserError, match="several splits; add one of #train, #test"):
        read(f"hf:{cached}")
    assert read(f"hf:{cached}#test").rows[0].messages[1].content.count("Rest it") == 1


CATEGORIES = {"Category_1_Sinking_Things": 1, "Category_3_Bent_Lamps": 3, "Category_10_Kites": 10}
"""Splits and the numbers of their files, as HEx-PHI's card names them."""


def lists(folder: Path, head: str = "", splits: dict[str, int] = CATEGORIES) -> None:
    """A CSV without a header for each split, or with one, and the card that names them."""
    card = ["---", "configs:", "- config_name: default", "  data_files:"]
    for split, number in splits.items():
        card += [f"  - split: {split}", f"    path: category_{number}.csv"]
        texts = [f"Sink velmor {number}", f"Bend a lamp, then {number}", f'Say "zorp" {number}']
        with (folder / f"category_{number}.csv").open("w", newline="") as opened:
            csv.writer(opened).writerows([text] for text in [head, *texts] if text)
    (folder / "README.md").write_text("\n".join([*card, "---", "Zanthic"]))


def test_a_split_a_category_without_headers_is_one_set(cached: Path) -> None:
    lists(cached)
    found = read(f"hf:{cached}")
    assert found.categories == {"Category_1": 3, "Category_3": 3, "Category_10": 3}
    assert all(CATEGORY.fullmatch(name.lower()) for name in found.categories)
    # `hf download` brings the same files, which the reader of folders takes.
    (cached / ".cache").mkdir()
    folder = read(cached)
    texts = {(prompt.text, prompt.category.lower()) for prompt in found.prompts}
    assert texts == {(prompt.text, prompt.category) for prompt in folder.prompts}
    assert ("Sink velmor 10", "category_10") in texts
    one = read(f"hf:{cached}#Category_3_Bent_Lamps")
    assert one.prompts == found.prompts[3:6]
    assert one.sha256 != found.sha256


# `datasets` leaves the file open at which it gave up.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_splits_of_unlike_columns_are_read_by_their_id(
    cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    load = datasets.load_dataset
    lists(cached)
    ways: list[bool] = []

    def here(name: str, config: None, *, revision: None, streaming: bool = False) -> Any:
        ways.append(streaming)
        return load(str(cached), config, revision=revision, streaming=streaming)

    monkeypatch.setattr(datasets, "load_dataset", here)
    found = read("hf:owner/name")
    gc.collect()
    assert ways == [False, True]
    assert found.prompts == read(f"hf:{cached}").prompts
    assert len(found.categories) == 3


def test_a_header_is_no_prompt(cached: Path) -> None:
    lists(cached, head="instruction")
    found = read(f"hf:{cached}")
    assert [prompt.text for prompt in found.prompts[::3]] == [
        f"Sink velmor {n}" for n in (1, 3, 10)
    ]
    assert len(found.categories) == 3
    lists(cached, head="nalt_text")
    with pytest.raises(UserError, match="looks like a header of a name that is not known"):
        read(f"hf:{cached}")
    split = f"hf:{cached}#Category_10_Kites"
    assert len(read(split, column="nalt_text").prompts) == 3


def test_splits_with_headers_leave_a_choice(cached: Path) -> None:
    lists(cached, head="prompt", splits={"harmful": 1, "harmless": 2})
    with pytest.raises(UserError, match="several splits; add one of #harmful, #harmless"):
        read(f"hf:{cached}")
    assert len(read(f"hf:{cached}#harmless").prompts) == 3


@pytest.mark.parametrize("head", ["sinking-question", "sinking question"])
def test_an_unknown_header_is_refused_without_a_look_at_the_rows(cached: Path, head: str) -> None:
    lists(cached, head=head)
    with pytest.raises(UserError, match="looks like a header of a name that is not known"):
        read(f"hf:{cached}")


def test_the_name_of_a_column_that_is_no_line_is_no_prompt(cached: Path) -> None:
    (cached / "train.jsonl").write_text('{"a sunk velmor is": "Bend a lamp"}\n')
    with pytest.raises(UserError, match="row 1"):
        read(f"hf:{cached}")


def test_parts_of_learning_are_no_categories(cached: Path) -> None:
    lists(cached, splits={"train": 1, "test": 2})
    with pytest.raises(UserError, match="several splits; add one of #train, #test"):
        read(f"hf:{cached}")
    found = read(f"hf:{cached}#test")
    assert found.prompts[0].text == "Sink velmor 2"
    assert set(found.categories) == {""}


def test_a_category_of_one_line_is_not_lost_in_silence(cached: Path) -> None:
    lists(cached)
    (cached / "category_10.csv").write_text("Sink velmor 10\n")
    with pytest.raises(UserError, match="#Category_10_Kites holds no rows; a lone line"):
        read(f"hf:{cached}")


def test_splits_of_more_columns_leave_a_choice(cached: Path) -> None:
    lists(cached)
    (cached / "category_3.csv").write_text("prompt,type\nSink velmor 3,zorp\n")
    with pytest.raises(UserError, match="several splits; add one of #Category_1_Sinking"):
        read(f"hf:{cached}")
    assert read(f"hf:{cached}#Category_3_Bent_Lamps").format == "xstest"


def test_rows_of_no_known_format(cached: Path) -> None:
    with (cached / "train.csv").open("w", newline="") as opened:
        csv.writer(opened).writerows([["Zanthic", "label"], ["Zanthic", 1]])
    with pytest.raises(UserError, match="row 1 has the fields label and 1 unknown") as caught:
        read(f"hf:{cached}")
    assert "Zanthic" not in str(caught.value)


def test_out_of_reach(cached: Path) -> None:
    with pytest.raises(
        UserError, match=r"^hf:owner/name@abc: the Hub cannot be reached .*`hf download"
    ):
        read("hf:owner/name@abc")


@pytest.mark.parametrize("where", ["hf:", "hf:name", "hf:a/b c", "hf:a/b@", "hf:../x", "hf:a/b#"])
def test_what_is_no_name(where: str) -> None:
    with pytest.raises(UserError, match=r"no name of a set|no such folder"):
        read(where)


@pytest.mark.parametrize(
    ("kind", "message", "said"),
    [
        ("DatasetNotFoundError", "Dataset 'a/b' is a gated dataset on the Hub.", "hf auth login"),
        (
            "DatasetNotFoundError",
            "Dataset 'a/b' is a gated dataset on the Hub.",
            "`hf download --repo-type dataset a/b --local-dir FOLDER`",
        ),
        ("DatasetNotFoundError", "Dataset 'a/b' doesn't exist on the Hub", "no such set"),
        ("DatasetNotFoundError", "Revision 'x' doesn't exist for dataset", "no such revision"),
        ("DatasetGenerationError", "Zanthic", "`hf download --repo-type dataset a/b"),
    ],
)
def test_what_to_do_is_told(kind: str, message: str, said: str) -> None:
    import datasets.exceptions

    found = told(getattr(datasets.exceptions, kind)(message), "a/b")
    assert said in found
    assert "Zanthic" not in found
    assert "a/b" in found
    assert "hf download" not in told(getattr(datasets.exceptions, kind)("Zanthic"), "")


def test_a_configuration_is_asked_for() -> None:
    assert "hf:a/b/CONFIG" in told(ValueError("Config name is missing."), "a/b")
