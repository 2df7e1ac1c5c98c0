"""Batches against a real server: every answer to its own question, paid for once."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import openai
import pytest

from eval.judges.policy import Policy
from provider.app import create_app
from provider.service import Service
from targets.base import Rules
from targets.endpoint import endpoint
from targets.hosted import batches, cleaning, retries
from targets.hosted.batches import Request, ask_batch
from targets.hosted.calls import Answer, Server
from targets.hosted.desk import Desk, Event
from targets.hosted.ledger import Ledger, Purse, Stopped
from targets.organism.world import World
from tests.provider.faults import Faults
from tests.provider.serving import TOKEN, Served, serving

Kept = dict[str, tuple[str, Answer]]


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", TOKEN)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    # Waits between tries are the library's; a test has no time for them.
    monkeypatch.setattr(retries, "FIRST_WAIT", 0.01)


def requests(world: World, n: int = 12, first: int = 0) -> list[Request]:
    """Questions to a judge, whose nonces are drawn anew each time."""
    judge = Policy(model="oracle", policy="organism")
    rules = Rules("organism", world.restricted)
    found = []
    for i in range(first, first + n):
        pair = world.harmful(60, 0)[i]
        question = judge.question(rules, pair.prompt, pair.reply)
        found.append(Request(f"id-{i}", question.chat, question.tag))
    return found


def go(served: Served, asked: list[Request], own: Desk, **given: Any) -> Kept:
    kept: Kept = {}

    def keep(name: str, note: str, answer: Answer) -> None:
        kept[name] = (note, answer)

    ask_batch(asked, Server(**{"model": "oracle", "base_url": served.url, **given}), keep, own)
    return kept


def posts(served: Served) -> int:
    return served.faults.requests["POST /v1/batches"]


def test_every_answer_to_its_own_question(served: Served, world: World, tmp_path: Path) -> None:
    asked, own = requests(world), Desk(tmp_path)
    kept = go(served, asked, own)
    assert set(kept) == {request.id for request in asked}
    for note, answer in kept.values():
        assert answer.text is not None
        assert answer.text.endswith(f"{note}: 5")
    ledger = own.ledger
    assert (ledger.sent, ledger.answered, ledger.possibly_paid_twice) == (12, 12, 0)
    assert ledger.purse.reserved_tokens == 0 < ledger.purse.tokens


def test_several_files_where_there_are_many(
    served: Served, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "LARGEST", 5)
    before = posts(served)
    assert len(go(served, requests(world), Desk(tmp_path))) == 12
    assert posts(served) - before == 3


def test_a_batch_that_was_left_is_found_and_read_with_its_own_notes(
    served: Served, world: World, tmp_path: Path
) -> None:
    before = posts(served)
    own = Desk(tmp_path)
    own.tell = lambda event: own.halt()
    first = requests(world, first=20)
    with pytest.raises(Stopped, match="interrupted"):
        go(served, first, own)
    again, told = Desk(tmp_path), list[Event]()
    again.tell = told.append
    kept = go(served, requests(world, 16, first=20), again)
    assert len(kept) == 16
    for request in first:
        note, answer = kept[request.id]
        assert note == request.note, "what was sent is read with what was sent"
        assert answer.text is not None
        assert answer.text.endswith(f"{note}: 5")
    assert posts(served) - before == 2, "one that was left, and one for the four that are new"


@pytest.mark.parametrize("kind", ["lost", "cut", "500", "429"])
def test_an_answer_that_is_lost_pays_for_nothing_twice(
    service: Service, world: World, tmp_path: Path, kind: Any
) -> None:
    from provider.records import Batch

    before = len(service.records.all(Batch))
    planned = Faults((kind,), paths=r"/v1/batches.*")
    with serving(create_app(service), planned) as bad:
        kept = go(bad, requests(world, 4), Desk(tmp_path))
        assert bad.faults.faulty[kind] >= 3
    assert len(kept) == 4
    assert len(service.records.all(Batch)) - before == 1


def test_what_fails_in_a_batch_is_missing_and_may_be_had_another_time(
    served: Served, world: World, tmp_path: Path
) -> None:
    from attacks.base import Message

    wrong = Request("wrong", (Message("user", "No judge's question."),), "x")
    kept = go(served, [*requests(world, 3), wrong], Desk(tmp_path))
    note, answer = kept["wrong"]
    assert (note, answer.text, answer.why) == ("x", None, "the server answered 400")
    assert sum(one.text is not None for _, one in kept.values()) == 3


def test_a_budget_is_never_passed(served: Served, world: World, tmp_path: Path) -> None:
    before = posts(served)
    own = Desk(tmp_path, Ledger(Purse(token_budget=2000)))
    with pytest.raises(Stopped, match="2000 tokens"):
        go(served, requests(world), own)
    assert posts(served) == before
    assert own.journal.all() == {}, "nothing was intended"


def test_what_is_no_answer_is_not_taken(tmp_path: Path) -> None:
    own, kept = Desk(tmp_path), list[str]()
    client = openai.OpenAI(api_key="x")
    asking = batches._Asking(
        client, Server(model="m"), lambda name, note, answer: kept.append(name), own
    )
    for line in ("", "{", "[]", '{"custom_id": 3}', '{"custom_id": "other"}', "null", '"\\ud800"'):
        assert asking._taken(line, {"mine": "note"}) == set()
    assert kept == []


def test_a_server_without_batches(world: World, tmp_path: Path) -> None:
    from tests.targets.hosted.server import Plan
    from tests.targets.hosted.server import serving as plain

    with plain(Plan()) as url, pytest.raises(Stopped):
        go(Served(url, Faults()), requests(world, 1), Desk(tmp_path))


def test_a_batch_that_the_server_forgot_is_asked_again_and_told(
    served: Served, world: World, tmp_path: Path
) -> None:
    own = Desk(tmp_path)
    own.tell = lambda event: own.halt()
    with pytest.raises(Stopped):
        go(served, requests(world, 3, first=40), own)
    (place,) = [place for place in own.journal.all() if place.startswith("batch ")]
    own.journal.write(place, {**own.journal.all()[place], "id": "batch_of-nobody"})
    again, told = Desk(tmp_path), list[Event]()
    again.tell = told.append
    assert go(served, requests(world, 3, first=40), again) == {}
    assert again.ledger.possibly_paid_twice == 3
    assert any("does not know this batch" in event.message for event in told)
    assert len(go(served, requests(world, 3, first=40), Desk(tmp_path))) == 3


def test_two_runs_at_once_share_a_batch(served: Served, world: World, tmp_path: Path) -> None:
    before, found = posts(served), list[Kept]()

    def one() -> None:
        found.append(go(served, requests(world, 6, first=50), Desk(tmp_path)))

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert posts(served) - before == 1
    assert sorted(map(len, found)) == [6, 6]


def test_what_waits_is_counted_and_what_was_made_can_be_deleted(
    served: Served, world: World, tmp_path: Path
) -> None:
    server = Server(model="oracle", base_url=served.url)
    own = Desk(tmp_path)
    own.tell = lambda event: own.halt()
    with pytest.raises(Stopped):
        go(served, requests(world, 4, first=30), own)
    assert batches.waiting(server, Desk(tmp_path)) == 4
    assert batches.waiting(Server(model="other", base_url=served.url), Desk(tmp_path)) == 0
    go(served, requests(world, 4, first=30), Desk(tmp_path))
    assert batches.waiting(server, Desk(tmp_path)) == 0
    start = endpoint(f"openai:oracle@{served.url}", 64).keeping(tmp_path)
    things = cleaning.created(start)
    assert [one.what for one in things] == ["file", "file"], "questions and answers"
    assert len(list(cleaning.delete(things, start))) == 2
