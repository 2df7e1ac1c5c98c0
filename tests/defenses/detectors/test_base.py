from __future__ import annotations

import math

import pytest

from attacks.base import UserError
from defenses.detectors.base import Reading, detector, features
from defenses.detectors.size import Size


def test_a_detectors_numbers_go_by_its_spec() -> None:
    reading = Reading(2.0, {"rate": 0.5, "rows": 9})
    assert features("pilot", ("rate",), reading) == {"pilot": 2.0, "pilot rate": 0.5}
    assert features("pilot", (), reading) == {"pilot": 2.0}


def test_what_could_not_be_had_is_left_out_and_what_cannot_be_read_is_none() -> None:
    assert features("pilot", ("rate",), Reading(None, reason="lost", unfinished=True)) == {}
    unread = features("pilot", ("rate",), Reading(None, reason="diverged"))
    assert unread == {"pilot": None, "pilot rate": None}
    assert features("pilot", ("rate",), Reading(1.0)) == {"pilot": 1.0}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_no_finding(value: float) -> None:
    assert features("pilot", ("rate",), Reading(value, {"rate": 0.1})) == {"pilot rate": 0.1}
    assert features("pilot", ("rate",), Reading(1.0, {"rate": value})) == {"pilot": 1.0}


def test_a_spec_names_one_detector() -> None:
    assert detector("size") == Size()
    for spec in ("size+persona", "pilot:steps=1,2", "nonesuch"):
        with pytest.raises(UserError):
            detector(spec)
