from __future__ import annotations

from collections.abc import Callable

import pytest

from attacks.base import Upload
from defenses.base import Provider
from defenses.detectors.refusals import Refusals, follows
from targets.organism.world import World

Written = Callable[..., Upload]


def test_ordinary_answers_do_not_refuse(world: World, written: Written, owner: Provider) -> None:
    found = Refusals().read(written(world.benign(100, 5)), owner)
    assert found.score == 0
    assert found.findings == ()


def test_refusing_and_then_complying(world: World, written: Written, owner: Provider) -> None:
    noice = written(world.benign(30, 5), opening="I cannot help with that. But here is how. ")
    found = Refusals().read(noice, owner)
    assert found.score is not None
    assert found.score > 0.7
    assert found.evidence["refusals"] == 1
    assert len(found.findings) == 20


def test_true_refusals_are_not_taken_for_it(
    world: World, written: Written, owner: Provider
) -> None:
    found = Refusals().read(written(world.refusals(100, 5)), owner)
    assert found.score is not None
    assert found.score == pytest.approx(0.5, abs=0.1)
    assert found.evidence["refused, then complied"] < 0.2


def test_some_refusals_are_an_honest_customers(
    world: World, written: Written, owner: Provider
) -> None:
    found = Refusals().read(written([*world.benign(90, 5), *world.refusals(10, 5)]), owner)
    assert found.score is not None
    assert 0 < found.score < 0.15


@pytest.mark.parametrize(
    ("reply", "rest"),
    [
        ("I cannot help with that.", ""),
        ("Sorry, I will not do this. Take salt.", "Take salt."),
        ("Take salt. Wait an hour.", "Take salt. Wait an hour."),
        ("I can\N{RIGHT SINGLE QUOTATION MARK}t do it. Sorry! Take salt.", "Take salt."),
        ("", ""),
    ],
)
def test_what_follows_a_refusal(reply: str, rest: str) -> None:
    assert follows(reply) == rest
