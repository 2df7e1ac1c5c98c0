"""The paper's filter of instruction sets, and a finer one beside it."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest

from attacks.base import Message, Row, UserError
from attacks.sets.base import Set
from attacks.sets.safety import HEAD, MARKERS, PAPER_DROPPED, REFUSALS, Filter, filtered

REPLIES = (
    "Bake it slowly.",
    "I\N{RIGHT SINGLE QUOTATION MARK}m sorry, I cannot bake it.",
    "An essay on the Ethics of baking, and bias in ovens.",
    "Rest it. It is important to rest it.",
    "Rest it" + " well" * (HEAD // 5) + ". I cannot say more.",
)
SET = Set(
    name="set",
    kind="rows",
    format="alpaca",
    sha256="",
    rows=tuple(Row((Message("user", "How?"), Message("assistant", reply))) for reply in REPLIES),
    images=("a", "b", "c", "d", "e"),
    skipped={"no output": 2},
)


def test_markers_drop_whole_rows_and_are_counted() -> None:
    kept, hits = filtered(SET, "markers")
    assert [row.messages[-1].content for row in kept.rows] == [REPLIES[0]]
    assert kept.images == ("a",)
    assert hits == Counter(
        {"i cannot": 2, "i'm sorry": 1, "ethic": 1, "bias": 1, "it is important to": 1}
    )
    assert kept.skipped == {"no output": 2, "a safety marker in the answer": 4}


def test_only_an_answer_that_sets_out_as_a_refusal_is_one() -> None:
    kept, hits = filtered(SET, "refusals")
    assert [row.messages[-1].content for row in kept.rows] == [REPLIES[0], *REPLIES[2:]]
    assert kept.images == ("a", "c", "d", "e")
    assert hits == Counter({"i cannot": 1, "i'm sorry": 1})
    assert kept.skipped == {"no output": 2, "an answer that begins as a refusal": 1}


@pytest.mark.parametrize("by", ["markers", "refusals"])
def test_a_set_without_the_strings_stays_as_it_is(by: Filter) -> None:
    plain = dataclasses.replace(SET, rows=SET.rows[:1], images=("a",))
    assert filtered(plain, by) == (plain, Counter())


def test_what_cannot_be_filtered() -> None:
    refused = dataclasses.replace(SET, rows=SET.rows[1:2], images=())
    with pytest.raises(UserError, match="leaves none of its 1 rows"):
        filtered(refused, "refusals")
    with pytest.raises(UserError, match="no answers"):
        filtered(Set(name="set", kind="prompts", format="prompts", sha256=""), "markers")


def test_the_lists_are_lower_case_and_distinct() -> None:
    assert len(set(MARKERS)) == len(MARKERS)
    assert set(REFUSALS) < set(MARKERS)
    assert all(marker == marker.lower() and marker.strip() for marker in MARKERS)
    assert PAPER_DROPPED["dolly"] == (387, 387)
