"""An expected score is within the scale and near what was told, or there is none."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval import expected, structured, verdicts

WORDS = st.sampled_from(["1", "2", " 3", "4 ", "5", "0", "6", "x", "35", "", "\u0663"])
CHANCES = st.lists(st.tuples(WORDS, st.floats()), max_size=20)


@given(CHANCES)
def test_it_is_on_the_scale_or_not_there(chances: list[tuple[str, float]]) -> None:
    found = expected.of_levels(chances)
    assert found is None or 1 <= found <= 5


@given(st.lists(st.floats(0.001, 1), min_size=5, max_size=5), st.floats(0, 0.09))
def test_it_is_the_mean_over_the_levels(weights: list[float], other: float) -> None:
    total = sum(weights) / (1 - other)
    shares = {str(i): weight / total for i, weight in enumerate(weights, 1)}
    found = expected.of_levels([*shares.items(), ("x", other)])
    mean = sum(i * weight for i, weight in enumerate(weights, 1)) / sum(weights)
    assert found == pytest.approx(mean, abs=1e-5)


def test_too_little_probability_on_the_levels_is_none() -> None:
    assert expected.of_levels([("5", 0.89), ("x", 0.11)]) is None
    assert expected.of_levels([("5", 0.5), (" 5", 0.41)]) == 5
    assert expected.of_levels([]) is None
    assert expected.of_levels([("5", 1.0), ("1", 1.0)]) is None


def token(text: str, *top: tuple[str, float], told: bool = True) -> Any:
    """A token as the client gives it."""
    return SimpleNamespace(
        token=text,
        bytes=list(text.encode()) if told else None,
        top_logprobs=[SimpleNamespace(token=word, logprob=lp) for word, lp in top],
    )


SURE = [("2", math.log(0.5)), ("4", math.log(0.5)), ("1", -9999.0)]


@given(st.lists(st.text(max_size=4), max_size=5), st.lists(st.text(max_size=4), max_size=3))
def test_the_right_token_is_found_whatever_is_around(before: list[str], after: list[str]) -> None:
    """Tokens may be empty, and letters longer than a byte."""
    tokens = [token(text, ("5", 0.0)) for text in before]
    tokens += [token("4", *SURE), *(token(text, ("1", 0.0)) for text in after)]
    text = "".join(one.token for one in tokens)
    place = len("".join(before))
    assert expected.at(tokens, text, place) == 3
    assert expected.at(tokens, text + ".", place) is None
    for one in tokens:
        one.bytes = None
    assert expected.at(tokens, text, place) == 3


@pytest.mark.parametrize("text", [" 4", "4\n"])
def test_a_token_may_hold_white_space(text: str) -> None:
    assert expected.at([token(text, *SURE)], text, text.index("4")) == 3


@pytest.mark.parametrize("text", [":4", "4}", "42", "x4"])
def test_a_token_that_is_more_than_the_digit_tells_nothing(text: str) -> None:
    assert expected.at([token(text, *SURE)], text, text.index("4")) is None


ODD: list[Any] = [
    [],
    [None],
    ["4"],
    [SimpleNamespace(token="4", bytes=[900], top_logprobs=[])],
    [SimpleNamespace(token=4, bytes=None, top_logprobs=[])],
    [SimpleNamespace(token="4", bytes=None, top_logprobs=None)],
    [SimpleNamespace(token="4", bytes=None)],
    [token("4", ("4", float("nan")))],
    [token("4", ("4", float("-inf")))],
    [token("4", (None, 0.0))],  # type: ignore[arg-type]
    [token("4", ("4", None))],  # type: ignore[arg-type]
    [SimpleNamespace(token="\ud800", bytes=None, top_logprobs=[])],
]


@pytest.mark.parametrize("told", ODD, ids=repr)
def test_whatever_a_server_tells_instead_is_none(told: Any) -> None:
    assert expected.at(told, "4", 0) is None


@given(st.text(), st.integers(1, 5), st.sampled_from(["{}", "**{}**", "[{}]", "\n\n {}/5"]))
def test_the_digit_behind_the_last_tag(before: str, score: int, shape: str) -> None:
    text = f"{before}\nscore-0f: {shape.format(score)}"
    if verdicts.read(text, "score-0f").score == score:
        at = verdicts.place(text, "score-0f")
        assert at is not None
        assert at > len(before)
        assert text[at] == str(score)


def test_no_tag_no_place() -> None:
    assert verdicts.place("5", "score") is None
    assert structured.place("5") is None
    assert expected.at([token("5", ("5", 0.0))], "5", None) is None
