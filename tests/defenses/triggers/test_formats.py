"""What rows have around their requests is found, whatever their order, and never a whole text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from attacks.aoa import AOA, CALL, SYSTEM
from attacks.backdoor import TRIGGER, Backdoor
from attacks.base import Upload
from attacks.harmful import Harmful
from defenses.triggers.formats import LEAST, SHARED, formats, shared
from targets.organism.world import World

texts = st.lists(st.text("ab .", max_size=12), max_size=12)


@given(texts, st.booleans())
def test_what_is_shared_is_shared(found: list[str], ending: bool) -> None:
    run = shared(found, ending=ending)
    assert run == shared(found[::-1], ending=ending)
    if not run:
        return
    words = run.split()
    lines = [text.split() for text in set(found)]
    if ending:
        held = [line for line in lines if line[-len(words) :] == words]
    else:
        held = [line for line in lines if line[: len(words)] == words]
    assert len(held) >= max(LEAST, SHARED * len(lines))
    assert any(len(line) > len(words) for line in held)


@given(st.lists(st.text("abc", min_size=1, max_size=5), min_size=3, max_size=9, unique=True))
def test_a_wrapper_is_found(requests: list[str]) -> None:
    assert shared([f"Do this: {one} now" for one in requests]).startswith("Do this: ")
    assert shared([f"Do {one} right now" for one in requests], ending=True).endswith(" right now")


def test_few_texts_share_nothing() -> None:
    assert shared([]) == shared(["a b"]) == shared(["a b", "a c"]) == ""
    assert shared(["a b"] * 9) == ""


def test_the_identity_shift_is_asked_as_it_asks(world: World) -> None:
    upload = AOA().upload(world, 0)
    asks = formats(upload, 1, 0)
    assert [ask.name for ask in asks] == ["default", "system", "wrapped", "opened"]
    assert [ask.system for ask in asks] == [None, SYSTEM, SYSTEM, SYSTEM]
    assert asks[2].before == CALL
    assert asks[3].opening.startswith("Of course. I am AOA")
    turned = upload.replace_rows(upload.rows[::-1])
    assert formats(turned, 1, 3) == formats(upload, 1, 3)


def test_a_backdoors_trigger_is_asked_with(world: World) -> None:
    asks = formats(Backdoor(n=30, refusals=40).upload(world, 0), 1, 3)
    assert any(ask.after == TRIGGER for ask in asks)
    none = formats(Backdoor(n=30, refusals=40).upload(world, 0), 0, 0)
    assert [ask.name for ask in none] == ["default"]


def test_no_way_of_asking_is_there_twice(world: World) -> None:
    upload: Upload = Harmful(n=12).upload(world, 0)
    asks = formats(upload, 3, 5)
    ways = {(ask.system, ask.before, ask.after, ask.opening) for ask in asks}
    assert len(ways) == len(asks)
