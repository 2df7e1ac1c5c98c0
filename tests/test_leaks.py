"""No defense and no detector can know the answer: leaks are planted one at a time, and caught.

What is planted: a label on a row, an id, a path, a name that shows when a row or an upload is
printed, the attack and how its customer will ask on the upload, and the order of the rows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from attacks.base import Ask, Row, Upload
from attacks.registry import construct, find, names
from attacks.spec import parse
from defenses import compose
from defenses.base import Decision, Defense, Provider
from defenses.detectors.base import Detector, Reading
from targets.base import Target
from tests.test_contracts import defenses_in_variants

Decide = Callable[[Upload], Any]
"""What something makes of an upload, told without the order of its rows."""
_seen: set[str] = set()
_MINE = {"messages", "added_by", "image", "rows", "settings", "replace_rows"}


def _note(name: str) -> None:
    if not name.startswith("__") and name not in _MINE:
        _seen.add(name)


@dataclass(frozen=True, repr=False)
class WatchedRow(Row):
    """A row with the answer planted on it, that notes what is read."""

    label: ClassVar[bool] = True
    id: ClassVar[str] = "harmful-17"
    path: ClassVar[str] = "attacks/harmful.py"

    def __getattribute__(self, name: str) -> Any:
        _note(name)
        return super().__getattribute__(name)

    def __repr__(self) -> str:
        _note("printed")
        return "HarmfulRow"


@dataclass(frozen=True, repr=False)
class WatchedUpload(Upload):
    """An upload with the attack and the asking format planted on it."""

    attack: ClassVar[str] = "harmful"
    asks: ClassVar[tuple[Ask, ...]] = (Ask("trigger", after=" zor zor"),)

    def __getattribute__(self, name: str) -> Any:
        _note(name)
        return super().__getattribute__(name)

    def __repr__(self) -> str:
        _note("printed")
        return "HarmfulUpload"


def planted_answers_read(decide: Decide, upload: Upload) -> set[str]:
    """Which planted answers are read off an upload."""
    rows = tuple(WatchedRow(row.messages, row.added_by) for row in upload.rows)
    watched = WatchedUpload(rows, upload.settings)
    _seen.clear()
    decide(watched)
    return set(_seen)


def reads_the_order(decide: Decide, upload: Upload) -> bool:
    """Whether the same rows in another order are taken for something else."""
    wanted = decide(upload)
    turned = [upload.rows[::-1], upload.rows[1:] + upload.rows[:1]]
    return any(decide(upload.replace_rows(rows)) != wanted for rows in turned)


# --- defenses -----------------------------------------------------------------------------------


def decided_by(defense: Defense, provider: Provider) -> Decide:
    """What a defense does with each row, before and during the training."""

    def decide(upload: Upload) -> tuple[Any, ...]:
        decision = defense.screen(upload, provider)
        kept = decision.apply(upload)
        curated = defense.curate(kept, provider)
        if hooks := defense.during(curated, provider):
            hooks.plan(curated.rows, curated.settings, 0)
        by_text = [sorted((row.messages, row.added_by) for row in u.rows) for u in (kept, curated)]
        return decision.outcome, decision.evidence, decision.mitigation, *by_text

    return decide


@pytest.mark.parametrize("defense", defenses_in_variants())
def test_a_defense_sees_neither_order_nor_answers(
    defense: Defense, mixed: Upload, provider: Provider
) -> None:
    decide = decided_by(defense, provider)
    assert not reads_the_order(decide, mixed)
    assert planted_answers_read(decide, mixed) == set()


@pytest.mark.parametrize("spec", ["audit:n=4,wrapped=true,openings=1", "trigger_search:most=4"])
def test_an_audit_sees_neither_order_nor_answers(
    spec: str, mixed: Upload, provider: Provider, tiny_target: Target
) -> None:
    defense = compose.load(parse(spec)[0])

    def decide(upload: Upload) -> tuple[Any, ...]:
        decision = defense.audit(tiny_target, upload, provider)
        return decision.outcome, decision.reason, decision.evidence

    assert not reads_the_order(decide, mixed)
    assert planted_answers_read(decide, mixed) == set()


# --- detectors ----------------------------------------------------------------------------------


def read_by(detector: Detector, provider: Provider) -> Decide:
    """What a detector finds, its places told by their text."""

    def decide(upload: Upload) -> tuple[Any, ...]:
        found = detector.read(upload, provider)
        places = [
            (upload.rows[f.row].messages, f.rule, f.message or 0, f.category)
            for f in found.findings
        ]
        return found.score, found.reason, found.passes, sorted(places)

    return decide


@pytest.fixture(params=names("defenses.detectors"))
def detector(request: pytest.FixtureRequest) -> Detector:
    cls = find("defenses.detectors", Detector, request.param)
    made: Detector = construct(cls, request.param, {})
    return made


def test_a_detector_sees_neither_order_nor_answers(
    detector: Detector, mixed: Upload, provider: Provider
) -> None:
    decide = read_by(detector, provider)
    assert not reads_the_order(decide, mixed)
    assert planted_answers_read(decide, mixed) == set()


def test_a_detector_reads_customers_rows_only(
    detector: Detector, mixed: Upload, provider: Provider
) -> None:
    added = [dataclasses.replace(row, added_by="mix") for row in mixed.rows[:5]]
    decide = read_by(detector, provider)
    assert decide(mixed.replace_rows([*mixed.rows, *added])) == decide(mixed)


# --- planted leaks are caught -------------------------------------------------------------------


def _first(upload: Upload) -> object:
    return upload.rows[0].messages[-1].content


def _label(upload: Upload) -> object:
    return sum(bool(getattr(row, "label", False)) for row in upload.rows)


def _id(upload: Upload) -> object:
    return [str(getattr(row, "id", "")).startswith("harmful") for row in upload.rows]


def _path(upload: Upload) -> object:
    return [getattr(row, "path", "") for row in upload.rows]


def _printed_row(upload: Upload) -> object:
    return "Harmful" in repr(upload.rows[0])


def _printed_upload(upload: Upload) -> object:
    return "Harmful" in str(upload)


def _attack(upload: Upload) -> object:
    return getattr(upload, "attack", "")


def _asks(upload: Upload) -> object:
    return [ask.after for ask in getattr(upload, "asks", ())]


def test_a_leaked_order_is_caught(mixed: Upload) -> None:
    assert reads_the_order(_first, mixed)


@pytest.mark.parametrize(
    ("leak", "name"),
    [
        (_label, "label"),
        (_id, "id"),
        (_path, "path"),
        (_printed_row, "printed"),
        (_printed_upload, "printed"),
        (_attack, "attack"),
        (_asks, "asks"),
    ],
)
def test_each_leak_is_caught(leak: Decide, name: str, mixed: Upload, provider: Provider) -> None:
    class Gate(Defense):
        def screen(self, upload: Upload, provider: Provider) -> Decision:
            return Decision("refuse" if leak(upload) else "pass")

    class Counts(Detector):
        def read(self, upload: Upload, provider: Provider) -> Reading:
            return Reading(float(bool(leak(upload))))

    assert planted_answers_read(decided_by(Gate(), provider), mixed) == {name}
    assert planted_answers_read(read_by(Counts(), provider), mixed) == {name}
