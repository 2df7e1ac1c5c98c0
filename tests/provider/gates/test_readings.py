"""Detectors that fail are told by kind and place, and never taken for a low score."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, Literal

import pytest

from attacks.base import Chat, Upload, UserError, component
from benchmarks.lab import Lab, LabSettings, open_lab
from benchmarks.trial import provider_of
from defenses.base import Need, Provider
from defenses.detectors.base import Detector, Finding, Reading
from eval.moderators.base import Moderator, Owner, Scored
from provider.gates import readings
from provider.gates.readings import Whole
from targets.hosted.ledger import Stopped


@component
class Faulty(Detector):
    """Fails as it is told."""

    how: str = "none"
    """Which way."""
    tries: ClassVar[list[str]] = []

    def needs(self) -> frozenset[Need]:
        return frozenset({"base"} if self.how == "needs" else ())

    def read(self, upload: Upload, provider: Provider) -> Reading:
        self.tries.append(self.how)
        if self.how == "raises":
            raise ValueError("kanariya")
        if self.how == "disk":
            raise OSError(5, "Input/output error")
        if self.how == "server":
            raise Stopped("no server answers")
        if self.how == "interrupted":
            raise KeyboardInterrupt
        if self.how == "later":
            return Reading(None, reason="busy", unfinished=True)
        scores = {"nan": math.nan, "infinite": math.inf, "missing": None}
        found = (Finding("odd-row", 1, 0, 0.5), Finding("no-row", 99))
        return Reading(scores.get(self.how, 1.5), {"a": 1.0, "b": math.nan}, found, passes=3)


@component
class Odd(Moderator):
    """Scores some rows, or none."""

    how: str = "some"
    """Which."""

    def scored(self, chats: Sequence[Chat], owner: Owner) -> list[Scored]:
        if self.how == "mistake":
            raise UserError("give a key")
        if self.how == "down":
            raise Stopped("no server answers")
        return [Scored({"x": 0.9}), Scored(None, "filtered", self.how == "again")] * (
            len(chats) // 2
        )


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    settings = LabSettings("organism", (), tmp_path / "store", None, False)
    return open_lab(settings, may_make=True)


LINES = readings.Lines([2, 4, 6, 8, 10, 12])


@pytest.mark.parametrize(
    ("how", "score", "fault", "said"),
    [
        ("none", 1.5, "", ""),
        ("missing", None, "", "no reason is given"),
        ("nan", None, "detector", "no finite number"),
        ("infinite", None, "detector", "no finite number"),
        ("raises", None, "detector", "ValueError"),
        ("disk", None, "infrastructure", "Input/output error"),
        ("server", None, "infrastructure", "no server answers"),
        ("later", None, "infrastructure", "busy"),
    ],
)
def test_a_reading_or_why_there_is_none(
    lab: Lab, make_upload: Callable[..., Upload], how: str, score: float | None,
    fault: Literal["", "detector", "infrastructure"], said: str,
) -> None:  # fmt: skip
    upload, provider = make_upload(6), provider_of(lab, readings.SEED)
    found = readings.read("faulty", Faulty(how=how), Whole.of(upload), provider, lab, LINES)
    assert (found.score, found.fault) == (score, fault)
    assert said in found.reason
    assert "kanariya" not in found.model_dump_json()
    if score is not None:
        assert found.evidence == {"a": 1.0}
        assert [place.line for place in found.places] == [4, None]
    Faulty.tries.clear()
    readings.read("faulty", Faulty(how=how), Whole.of(upload), provider, lab, LINES)
    assert bool(Faulty.tries) == bool(fault), "what failed is tried again, and nothing else"


def test_an_interruption_keeps_what_was_read(lab: Lab, make_upload: Callable[..., Upload]) -> None:
    upload, provider = make_upload(6), provider_of(lab, readings.SEED)
    readings.read("faulty", Faulty(), Whole.of(upload), provider, lab, LINES)
    with pytest.raises(KeyboardInterrupt):
        readings.read("faulty", Faulty(how="interrupted"), Whole.of(upload), provider, lab, LINES)
    Faulty.tries.clear()
    assert readings.read("faulty", Faulty(), Whole.of(upload), provider, lab, LINES).score == 1.5
    assert not Faulty.tries


def test_what_a_detector_needs_and_is_not_there(
    lab: Lab, make_upload: Callable[..., Upload], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(lab.resolved.start), "has", frozenset())
    provider = provider_of(lab, readings.SEED)
    found = readings.read(
        "faulty", Faulty(how="needs"), Whole.of(make_upload(6)), provider, lab, LINES
    )
    assert found.score is None
    assert "needs base" in found.reason


@pytest.mark.parametrize(
    ("how", "missing", "fault"), [("some", 3, ""), ("again", 3, "infrastructure"),
                                  ("down", 6, "infrastructure")],
)  # fmt: skip
def test_rows_of_a_moderator(
    lab: Lab, make_upload: Callable[..., Upload], how: str, missing: int, fault: str
) -> None:
    provider, ticks = provider_of(lab, readings.SEED), []
    found = readings.moderated(
        "odd", Odd(how=how), make_upload(6), provider, lab, LINES, lambda: ticks.append(1)
    )
    assert (found.rows, found.missing, found.fault) == (6, missing, fault)
    assert len(ticks) == readings.pieces(0, 1, 6) == 1
    if how == "some":
        assert (found.flagged, found.highest, found.by_category) == (3, 0.9, {"x": 3})
        assert [place.line for place in found.places] == [2, 6, 10]
        assert found.reason == "filtered (3 rows)"


def test_a_users_mistake_is_told_at_once(lab: Lab, make_upload: Callable[..., Upload]) -> None:
    with pytest.raises(UserError, match="give a key"):
        readings.moderated(
            "odd", Odd(how="mistake"), make_upload(6), provider_of(lab, readings.SEED), lab, LINES,
            lambda: None,
        )  # fmt: skip
