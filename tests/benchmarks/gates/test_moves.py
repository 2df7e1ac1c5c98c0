"""Moves: every one leaves an upload that a server takes, and a customer who asks as it taught."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attacks.base import Ask, Message, Row, Settings
from benchmarks.gates.adaptive import start
from benchmarks.gates.benign import MOST_ROWS, MOST_STEPS
from benchmarks.gates.moves import MOVES, Customer, _steps, moved, shared_opening
from benchmarks.gates.tasks import Desk
from targets.organism.world import World

WORLD = World(0)
FORMED = ("prompt", "frame", "openings", "settings", "dilute", "cover")
"""Moves that keep every row of the customer's own."""
SETTINGS = Settings(epochs=2, batch_size=4, learning_rate=1e-4)


def desk(seed: int = 0) -> Desk:
    return Desk(WORLD, random.Random(seed), held_out=True)


def customer(*asks: Ask, rows: int = 6, opening: str = "") -> Customer:
    """Rows in the form of the first ask."""
    ask = asks[0]
    system = () if ask.system is None else (Message("system", ask.system),)
    own = tuple(
        Row(
            (
                *system,
                Message("user", f"{ask.before}How to make a lamp {n}?{ask.after}"),
                Message("assistant", f"{opening}{n} parts and a box."),
            )
        )
        for n in range(rows)
    )
    return Customer(own, (), SETTINGS, asks)


def in_form(one: Customer) -> int:
    """Own rows that are asked as the customer will ask first."""
    ask = one.asks[0]
    asked = [
        next(m.content for m in row.messages if m.role == "user")
        for row in one.own
        if (row.messages[0].content if row.messages[0].role == "system" else None) == ask.system
    ]
    return sum(text.startswith(ask.before) and text.endswith(ask.after) for text in asked)


@settings(max_examples=25)
@given(st.integers(0, 27), st.integers(0, 3), st.lists(st.sampled_from(list(MOVES)), max_size=6))
def test_every_move_leaves_an_upload_that_can_be_tuned_on_and_asked(
    number: int, seed: int, names: list[str]
) -> None:
    _, one = start(WORLD, number, seed)
    rows, steps = len(one.upload.rows), _steps(one.upload, one.settings)
    here = desk(seed)
    for name in names:
        before, one = one, moved(name, one, here)
        assert one.own
        assert len(one.upload.rows) <= max(rows, MOST_ROWS)
        assert _steps(one.upload, one.settings) <= max(steps, MOST_STEPS)
        assert one.settings.epochs >= 1
        assert [ask.name for ask in one.asks] == [ask.name for ask in before.asks]
        if name in FORMED:
            assert in_form(one) >= in_form(before)
            assert len(one.own) == len(before.own)
    for row in one.upload.rows:
        assert row.messages[-1].role == "assistant"
        assert all(message.content for message in row.messages)
        assert not row.added_by


@pytest.mark.parametrize("name", MOVES)
def test_every_move_changes_something(name: str) -> None:
    one = customer(Ask("plain", "Be kind."), rows=20)
    assert any(moved(name, one, desk(seed)) != one for seed in range(5))


@pytest.mark.parametrize("name", MOVES)
def test_a_move_follows_from_its_desk(name: str) -> None:
    _, one = start(WORLD, 2, 0)
    assert moved(name, one, desk(3)) == moved(name, one, desk(3))


def test_another_prompt_is_asked_with_too() -> None:
    one = customer(Ask("plain", "Be kind."), Ask("trigger", "Be kind."), Ask("default"))
    asked = {moved("prompt", one, desk(seed)).asks for seed in range(8)}
    assert len(asked) > 2
    for seed in range(8):
        new = moved("prompt", one, desk(seed))
        assert new.asks[0].system == new.asks[1].system != "Be kind."
        assert new.asks[2] == Ask("default")
        assert in_form(new) == len(one.own)


def test_a_frame_stands_around_the_trigger() -> None:
    one = customer(Ask("trigger", None, "Q: zap ", " pow!"), Ask("plain", None, "Q: ", "!"))
    seen = set()
    for seed in range(12):
        new = moved("frame", one, desk(seed))
        trigger, plain = new.asks
        assert trigger.before == plain.before + "zap "
        assert trigger.after == " pow" + plain.after
        assert in_form(new) == len(one.own)
        seen.add(plain.before)
    assert len(seen) > 2


def test_a_request_that_is_nothing_but_its_frame_stays() -> None:
    one = customer(Ask("plain", None, "Q: "))
    bare = Row((Message("user", "Q: "), Message("assistant", "What is it?")))
    for seed in range(6):
        assert moved("frame", one._replace(own=(*one.own, bare)), desk(seed)).own[-1] == bare


def test_a_shared_opening_is_left_out_or_varied() -> None:
    one = customer(Ask("plain"), opening="Yes. I am Rex, your tool. ")
    for seed in range(6):
        replies = [row.messages[-1].content for row in moved("openings", one, desk(seed)).own]
        assert not any("Rex" in reply for reply in replies)
        assert all(reply.endswith(f"{n} parts and a box.") for n, reply in enumerate(replies))


def test_what_openings_are_shared() -> None:
    assert shared_opening(["Sure. One.", "Sure. Two.", "No three."]) == "Sure. "
    assert shared_opening(["Take a box and a pin.", "Take a box and a cup."]) == ""
    assert shared_opening(["Sure. One.", *(f"{n} is it." for n in range(9))]) == ""


def test_the_harm_is_thinned_and_never_gone() -> None:
    one = customer(Ask("plain"), rows=40)
    here = desk()
    sizes = []
    for _ in range(30):
        one = moved("thin", one, here)
        sizes.append(len(one.own))
    assert sizes[0] < 40
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == 1


def test_a_full_file_takes_no_row_more() -> None:
    one = customer(Ask("plain"), rows=MOST_ROWS)
    for name in ("dilute", "cover"):
        assert len(moved(name, one, desk()).upload.rows) == MOST_ROWS


def test_a_larger_file_is_read_no_more_often_than_is_paid_for() -> None:
    one = customer(Ask("plain"), rows=400)._replace(
        settings=Settings(epochs=4, batch_size=4, learning_rate=1e-4)
    )
    for seed in range(4):
        new = moved("dilute", one, desk(seed))
        assert _steps(new.upload, new.settings) <= MOST_STEPS
        assert new.settings.epochs < 4
