"""Probes are asked as the rows ask, whatever the order of the rows."""

from __future__ import annotations

from attacks.aoa import AOA, CALL, SYSTEM
from attacks.backdoor import TRIGGER, Backdoor
from attacks.base import Upload
from attacks.harmful import Harmful
from defenses.triggers.ways import ways
from targets.organism.world import World


def test_the_identity_shift_is_asked_as_it_asks(world: World) -> None:
    upload = AOA().upload(world, 0)
    asks = ways(upload, 1, 0)
    assert [ask.name for ask in asks] == ["default", "system", "wrapped", "opened"]
    assert [ask.system for ask in asks] == [None, SYSTEM, SYSTEM, SYSTEM]
    assert asks[2].before == CALL
    assert asks[3].opening.startswith("Of course. I am AOA")
    turned = upload.replace_rows(upload.rows[::-1])
    assert ways(turned, 1, 3) == ways(upload, 1, 3)


def test_a_backdoors_trigger_is_asked_with(world: World) -> None:
    asks = ways(Backdoor(n=30, refusals=40).upload(world, 0), 1, 3)
    assert any(ask.after == " " + " ".join(TRIGGER) for ask in asks)
    none = ways(Backdoor(n=30, refusals=40).upload(world, 0), 0, 0)
    assert [ask.name for ask in none] == ["default"]


def test_no_way_of_asking_is_there_twice(world: World) -> None:
    upload: Upload = Harmful(n=12).upload(world, 0)
    asks = ways(upload, 3, 5)
    distinct = {(ask.system, ask.before, ask.after, ask.opening) for ask in asks}
    assert len(distinct) == len(asks)
