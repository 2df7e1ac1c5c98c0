"""MT-Bench's questions as FastChat writes them, and what is none of them; invented texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attacks.base import UserError
from attacks.sets import mt_bench

WRITING = {"question_id": 81, "category": "writing", "turns": ["Praise the kite", "Shorter"]}
MATH = {
    "question_id": 111, "category": "math", "turns": ["Count the drums", "Twice that"],
    "reference": ["Seven", None],
}  # fmt: skip


def written(folder: Path, *values: Any) -> str:
    path = folder / "question.jsonl"
    path.write_text("".join(json.dumps(value) + "\n" for value in values))
    return str(path)


def test_questions_are_read_with_their_references(tmp_path: Path) -> None:
    found = mt_bench.read(written(tmp_path, WRITING, MATH)).all
    assert [q.turns for q in found] == [tuple(WRITING["turns"]), tuple(MATH["turns"])]
    assert [(q.id, q.category) for q in found] == [("81", "writing"), ("111", "math")]
    assert [q.references for q in found] == [("", ""), ("Seven", "")]
    assert "kite" not in repr(found)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"turns": ["One"]}, "not two texts"),
        ({"turns": ["One", " "]}, "not two texts"),
        ({"turns": ["One", None]}, "not two texts"),
        ({"turns": "One"}, "turns is not a list of texts"),
        ({"turns": None}, "not two texts"),
        ({"category": " "}, "no category"),
        ({"category": 3}, "category is not a text"),
        ({"question_id": None}, "question_id is no number"),
        ({"question_id": True}, "question_id is no number"),
        ({"reference": "Seven"}, "reference is not a list"),
        ({"reference": ["a", "b", "c"]}, "more references than turns"),
        ({"question_id": 111}, "1 of its questions have the id of another"),
        ({"turns": MATH["turns"]}, "1 of its questions have the turns of another"),
    ],
)
def test_what_is_no_question_is_told_with_its_line(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError, match=said) as told:
        mt_bench.read(written(tmp_path, MATH, {**WRITING, **change}))
    assert "line 2" in str(told.value) or "another" in str(told.value)
    assert "kite" not in str(told.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "empty"), ("[]", "holds no questions"), ("Praise the kite\n", "no object")],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "question.jsonl").write_text(text)
    with pytest.raises(UserError, match=said):
        mt_bench.read(str(tmp_path / "question.jsonl"))
    with pytest.raises(UserError, match="no such file"):
        mt_bench.read(str(tmp_path / "gone.jsonl"))


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: (
    st.lists(inner) | st.dictionaries(st.sampled_from([*MATH, "x"]), inner)
), max_leaves=8))  # fmt: skip
def test_any_value_is_a_question_or_refused(tmp_path_factory: Any, value: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_text(json.dumps(value))
    try:
        found = mt_bench.read(str(path)).all
    except UserError:
        return
    assert found
    assert all(turn.strip() for question in found for turn in question.turns)
