"""The paper's filter of instruction sets, and a better test beside it."""

from __future__ import annotations

from collections import Counter

import pytest

from attacks.base import Message, Row, UserError
from attacks.sets.base import Set
from attacks.sets.safety import MARKERS, PAPER_DROPPED, without, without_markers
from defenses.triggers.replies import begins_with_a_refusal

REPLIES = (
    "Bake it slowly.",
    "I\N{RIGHT SINGLE QUOTATION MARK}m sorry, I cannot bake it.",
    "An essay on the Ethics of baking, and bias in ovens.",
    "Rest it. It is important to rest it.",
)
SET = Set(
    name="set",
    kind="rows",
    format="alpaca",
    sha256="",
    rows=tuple(Row((Message("user", "How?"), Message("assistant", reply))) for reply in REPLIES),
    images=("a", "b", "c", "d"),
    skipped={"no output": 2},
)


def test_markers_drop_whole_rows_and_are_counted() -> None:
    found = without_markers(SET)
    assert [row.messages[-1].content for row in found.kept.rows] == [REPLIES[0]]
    assert found.kept.images == ("a",)
    assert found.dropped == 3
    assert found.hits == Counter(
        {"i'm sorry": 1, "i cannot": 1, "ethic": 1, "bias": 1, "it is important to": 1}
    )
    assert str(found).startswith("3 of 4 rows dropped by strings")
    assert str(found).endswith("; the paper's own list drops 1,902 or 1,904 of the whole set")
    assert found.kept.skipped == {"no output": 2, "a safety marker in the answer": 3}


def test_a_refusals_beginning_keeps_what_only_speaks_of_safety() -> None:
    kept = without(SET, begins_with_a_refusal, "an answer that begins as a refusal")
    assert [row.messages[-1].content for row in kept.rows] == [REPLIES[0], *REPLIES[2:]]


def test_no_marker_drops_nothing() -> None:
    found = without_markers(SET, markers=())
    assert (found.kept, found.dropped, found.hits) == (SET, 0, Counter())


def test_what_cannot_be_filtered() -> None:
    with pytest.raises(UserError, match="leaves none of its 4 rows"):
        without_markers(SET, markers=("",))
    with pytest.raises(UserError, match="no answers"):
        without_markers(Set(name="set", kind="prompts", format="prompts", sha256=""))


def test_the_list_is_lower_case_and_distinct() -> None:
    assert len(set(MARKERS)) == len(MARKERS)
    assert all(marker == marker.lower() for marker in MARKERS)
    assert PAPER_DROPPED["dolly"] == (387, 387)
