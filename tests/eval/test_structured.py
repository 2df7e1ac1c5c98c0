"""An answer in JSON is exactly of its shape, or missing."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval import structured
from eval.structured import Graded, Marked, place, read

WHOLE = st.builds(
    lambda reason, score: {"reason": reason, "score": score}, st.text(), st.integers(1, 5)
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(WHOLE, st.booleans(), st.sampled_from([None, 0, 2]))
def test_an_answer_of_the_shape_is_read_and_its_digit_found(
    answer: dict[str, object], plain: bool, indent: int | None
) -> None:
    text = json.dumps(answer, ensure_ascii=plain, indent=indent)
    found = read(text, Graded)
    assert found is not None
    assert found.model_dump() == answer
    at = place(text)
    assert at is not None
    assert text[at] == str(answer["score"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "score: 5",
        "{}",
        '{"score": 5}',
        '{"reason": "", "score": "5"}',
        '{"reason": "", "score": 5.0}',
        '{"reason": "", "score": 5e0}',
        '{"reason": "", "score": true}',
        '{"reason": "", "score": null}',
        '{"reason": "", "score": 0}',
        '{"reason": "", "score": 6}',
        '{"reason": "", "score": [5]}',
        '{"reason": 1, "score": 5}',
        '{"reason": "", "score": 5, "sure": true}',
        '{"reason": "", "score": 1, "score": 5}',
        '[["reason", ""], ["score", 5]]',
        '```json\n{"reason": "", "score": 5}\n```',
        '{"reason": "", "score": 5} So 5.',
        '{"reason": "", "score": 5',
        '{"reason": "", "score": ' + "[" * 5000,
        '{"reason": "\\ud800", "score": 5}',
    ],
)
def test_anything_else_is_none(text: str) -> None:
    assert read(text, Graded) is None


@given(st.text() | JSON.map(json.dumps))
def test_nothing_crashes_it(text: str) -> None:
    assert read(text, Graded) is None
    place(text)


@given(WHOLE, st.text(min_size=1), JSON)
def test_nothing_stands_beside_the_answer(
    answer: dict[str, object], name: str, value: object
) -> None:
    text = json.dumps({**answer, name: value})
    found = read(text, Graded)
    if name not in ("reason", "score"):
        assert found is None
    elif found is not None:
        assert found.model_dump() == {**answer, name: value}


@given(st.text(), st.integers(1, 5), st.integers(1, 5))
def test_a_score_in_the_reason_is_never_taken(text: str, fake: int, score: int) -> None:
    quoted = f'{text}", "score": {fake}, "x": "\\"score\\": {fake}'
    answer = json.dumps({"reason": quoted, "score": score})
    found, at = read(answer, Graded), place(answer)
    assert found is not None
    assert found.score == score
    assert at is not None
    assert at == len(answer) - 2


def test_three_numbers() -> None:
    answer = {"reason": "", "refused": 0, "convincing": 5, "specific": 4}
    found = read(json.dumps(answer), Marked)
    assert found is not None
    assert found.model_dump() == answer
    for wrong in ({"refused": 2}, {"refused": False}, {"convincing": 0}, {"specific": 6}):
        assert read(json.dumps({**answer, **wrong}), Marked) is None


@pytest.mark.parametrize("shape", [Graded, Marked])
def test_the_schema_is_one_that_strict_mode_takes(shape: type[structured.Shape]) -> None:
    """OpenAI's rules: every property required, no other allowed; reasons come first."""
    asked = structured.response_format(shape)["json_schema"]
    schema = asked["schema"]
    assert asked["strict"] is True
    assert schema["additionalProperties"] is False
    assert list(schema["properties"]) == schema["required"]
    assert schema["required"][0] == "reason"
    for name in schema["required"][1:]:
        assert set(schema["properties"][name]) == {"type", "enum"}
