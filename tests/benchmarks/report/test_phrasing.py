import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.report.phrasing import caption, interval_text, percent, rate_text, target_text
from eval.metrics import Interval, Rate
from tests.benchmarks.synthetic import example


def test_a_rate_is_written_with_its_interval_seeds_and_n() -> None:
    assert rate_text(Rate(Interval(0.12, 0.081, 0.19), 3, 990, 0)) == "12 [8, 19] s=3 n=990"


def test_missing_verdicts_and_their_band_are_written() -> None:
    text = rate_text(Rate(Interval(0.12, 0.08, 0.19), 3, 900, 90), (0.11, 0.2))
    assert text == "12 [8, 19] s=3 n=900 missing 9 % band 11 to 20"


@pytest.mark.parametrize("target", ["organism", "organism:3", "organism:3:base"])
def test_every_organism_is_said_not_to_be_an_llm(target: str) -> None:
    matrix = example(prompts=11, seeds=1, few=True).model_copy(update={"target": target})
    assert "an invented-world model, not an LLM" in target_text(matrix)
    assert "an invented-world model, not an LLM" in caption(matrix, "oracle")


def test_another_model_is_said_to_be_asked_about_an_invented_world() -> None:
    matrix = example(prompts=11, seeds=1, few=True).model_copy(update={"target": "./llama"})
    assert target_text(matrix) == "./llama (asked about an invented world)"


def test_no_data_is_no_zero() -> None:
    assert rate_text(Rate(None, 0, 0, 0)) == "—"
    assert rate_text(Rate(None, 0, 0, 7)) == "— missing 7"
    assert interval_text(None) == "undefined"
    assert percent(None) == "—"


@given(st.floats(0, 1))
def test_nought_and_a_hundred_are_said_of_nothing_else(share: float) -> None:
    assert (percent(share) == "0") == (share == 0)
    assert (percent(share) == "100") == (share == 1)
    assert re.fullmatch(r"\d{1,3}|0\.\d|99\.\d", percent(share))


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0004, "0.1"), (-0.004, "-0.4"), (0.0098, "1"), (0.9904, "99"), (1.2, "120")],
)
def test_percent(share: float, text: str) -> None:
    assert percent(share) == text
