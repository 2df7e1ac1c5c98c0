from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from attacks.base import Chat, Upload, UserError
from defenses.base import Provider
from defenses.detectors.rows import Rows
from eval.moderators.base import Moderator, Owner, Scored
from targets.organism.world import World

Written = Callable[..., Upload]


def test_violating_rows_stand_out(world: World, written: Written, owner: Provider) -> None:
    harmless, some = world.benign(90, 6), world.harmful(10, 6)
    low = Rows().read(written([*harmless]), owner)
    high = Rows().read(written([*harmless, *some]), owner)
    assert low.score is not None
    assert high.score is not None
    assert low.score < 0.3 < 0.5 < high.score
    assert high.findings
    assert sum(one.row >= 90 for one in high.findings) > len(high.findings) / 2
    assert high.passes == 100


class Given(Moderator):
    """Scores that are known."""

    def __init__(self, *known: float | None) -> None:
        self.known = known

    def scored(self, chats: Sequence[Chat], owner: Owner) -> list[Scored]:
        return [
            Scored(None, "a lost reply", again=True) if s is None else Scored({"a": s / 2, "b": s})
            for s in self.known
        ]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes every spec name a moderator whose scores are known."""

    def give(*known: float | None) -> None:
        monkeypatch.setattr("defenses.detectors.rows.moderator", lambda spec: Given(*known))

    return give


def test_the_worst_tenth_is_the_score(
    written: Written, owner: Provider, given: Callable[..., None]
) -> None:
    upload = written([("Hello.", str(i)) for i in range(20)])
    given(0.9, 0.7, *[0.1] * 18)
    found = Rows().read(upload, owner)
    assert found.score == pytest.approx(0.8)
    assert found.evidence["flagged share"] == pytest.approx(0.1)
    assert [(one.row, one.category) for one in found.findings] == [(0, "b"), (1, "b")]


def test_missing_rows_leave_no_score(
    written: Written, owner: Provider, given: Callable[..., None]
) -> None:
    upload = written([("Hello.", str(i)) for i in range(20)])
    given(None, *[0.1] * 19)
    found = Rows().read(upload, owner)
    assert found.score is None
    assert found.unfinished
    assert "5.0%" in found.reason
    assert "a lost reply" in found.reason


def test_the_moderator_is_known_at_once() -> None:
    with pytest.raises(UserError, match="nonesuch"):
        Rows(by="nonesuch")
