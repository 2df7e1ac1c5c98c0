"""A model behind a real server: tuned once whatever happens, asked to the letter as at home."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path
from typing import Any

import pytest

from attacks.aoa import AOA
from attacks.base import Ask, Message, Row, Settings, Upload, UserError
from provider.app import create_app
from provider.service import Service
from targets.base import Decoding
from targets.endpoint import Endpoint, at, endpoint
from targets.hosted import cleaning, jobs, retries
from targets.hosted.desk import Event
from targets.hosted.jobs import JobFailed
from targets.hosted.ledger import Purse, Stopped
from targets.hosted.target import HostedTarget, Unanswered
from targets.organism.world import World
from targets.resolve import resolve
from tests.provider.faults import Faults
from tests.provider.serving import TOKEN, Served, serving

DECODING = Decoding(max_new_tokens=64)


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", TOKEN)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    # Waits between tries are the library's; a test has no time for them.
    monkeypatch.setattr(retries, "FIRST_WAIT", 0.01)


@pytest.fixture
def start(served: Served, tmp_path: Path) -> HostedTarget:
    return started(served, tmp_path / "desk")


def started(served: Served, folder: Path) -> HostedTarget:
    return endpoint(f"openai:organism@{served.url}", 64).keeping(folder).load()


def asked_of(served: Served, path: str, method: str = "POST") -> int:
    return served.faults.requests[f"{method} /v1{path}"]


def upload(n: int = 4, epochs: int = 1) -> Upload:
    """Rows of an ordinary customer's, different for every test that says so."""
    rows = tuple(Ask("plain").row(pair) for pair in World(0).benign(n, 5))
    return Upload(rows, Settings(epochs=epochs, batch_size=2, learning_rate=3e-4))


def chats(n: int = 24) -> list[Any]:
    return [Ask("plain", system="Be brief.")(p.text) for p in World(0).requests()[:n]]


# --- the same as at home ------------------------------------------------------------------------


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_tuned_and_asked_over_http_as_at_home(start: HostedTarget, tuning: Any) -> None:
    made = AOA(epochs=2, tuning=tuning).upload(World(0), 3)
    assert made is not None
    made = dataclasses.replace(made, settings=dataclasses.replace(made.settings, decay=0.85))
    there = start.fine_tune(made, seed=7)
    here = resolve("organism").start.load().fine_tune(made, seed=7)
    assert there.generate(chats(), DECODING) == here.generate(chats(), DECODING)
    assert there.differs(start)
    assert not there.differs(there)


def test_a_cut_reply_is_one(start: HostedTarget) -> None:
    short = Decoding(max_new_tokens=3)
    found = start.generate(chats(3), short)
    assert [reply.finish for reply in found] == ["length"] * 3
    assert found == resolve("organism").start.load().generate(chats(3), short)


def test_it_is_kept_by_its_name(start: HostedTarget, tmp_path: Path) -> None:
    start.save(tmp_path)
    again = start.endpoint.reopen(tmp_path)
    assert isinstance(again, HostedTarget)
    assert not again.differs(start)


def test_what_a_server_cannot_do_is_told(start: HostedTarget) -> None:
    from targets.hooks import TrainHooks

    with pytest.raises(UserError, match="needs weights"):
        start.fine_tune(upload(), TrainHooks())
    seen = [dataclasses.replace(row, image="0" * 64) for row in upload().rows]
    with pytest.raises(UserError, match="is sent text only"):
        start.fine_tune(upload().replace_rows(seen))
    opened = [(Message("user", "Hello."), Message("assistant", "Sure"))]
    with pytest.raises(UserError, match="begin its reply"):
        start.generate(opened, DECODING)
    with pytest.raises(UserError, match="no base"):
        start.endpoint.load_base()


# --- once, whatever happens ---------------------------------------------------------------------


def test_one_file_and_one_job(served: Served, tmp_path: Path) -> None:
    before = asked_of(served, "/files"), asked_of(served, "/fine_tuning/jobs")
    first = started(served, tmp_path / "one").fine_tune(upload(), seed=1)
    again = started(served, tmp_path / "one").fine_tune(upload(), seed=1)
    elsewhere = started(served, tmp_path / "other").fine_tune(upload(), seed=1)
    assert first.model == again.model == elsewhere.model
    another = started(served, tmp_path / "one").fine_tune(upload(), seed=2)
    assert another.model != first.model
    after = asked_of(served, "/files"), asked_of(served, "/fine_tuning/jobs")
    assert (after[0] - before[0], after[1] - before[1]) == (1, 2)


def test_threads_that_want_the_same_share_it(served: Served, tmp_path: Path) -> None:
    before = asked_of(served, "/fine_tuning/jobs")
    target = started(served, tmp_path / "desk")
    found: list[str] = []

    def tune() -> None:
        found.append(target.fine_tune(upload(5), seed=1).model)

    threads = [threading.Thread(target=tune) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert len(set(found)) == 1
    assert asked_of(served, "/fine_tuning/jobs") - before == 1


@pytest.mark.parametrize("kind", ["lost", "cut", "500", "429"])
def test_an_answer_that_is_lost_creates_nothing_twice(
    service: Service, tmp_path: Path, kind: Any
) -> None:
    mine = upload(epochs=2).replace_rows(upload(6).rows[-3:])
    seed = ["lost", "cut", "500", "429"].index(kind) + 10
    before = len(service.records.all(_job())), len(service.records.all(_file()))
    planned = Faults((kind,), paths=r"/v1/(files|fine_tuning/jobs)")
    with serving(create_app(service), planned) as bad:
        target = started(bad, tmp_path / "desk")
        target.fine_tune(mine, seed=seed)
        assert bad.faults.faulty[kind] >= 3, "the list of files, the job, and mostly the file"
        made = target.endpoint.desk.made  # type: ignore[union-attr]
    after = len(service.records.all(_job())), len(service.records.all(_file()))
    assert after[0] - before[0] == 1
    assert after[1] - before[1] <= 1
    assert made["jobs possibly twice"] == (kind == "cut")


def _job() -> Any:
    from provider.records import Job

    return Job


def _file() -> Any:
    from provider.records import File

    return File


def test_a_job_that_was_left_is_found_again(served: Served, tmp_path: Path) -> None:
    before = asked_of(served, "/fine_tuning/jobs")
    mine = upload(20, epochs=20)
    target = started(served, tmp_path / "desk")
    own = target.endpoint.desk
    assert own is not None

    def halt(event: Event) -> None:
        if event.passing:
            own.halt()

    own.tell = halt
    with pytest.raises(Stopped, match="the next run finds it"):
        target.fine_tune(mine, seed=1)
    with pytest.raises(Stopped):
        target.generate(chats(1), DECODING)
    told: list[Event] = []
    again = started(served, tmp_path / "desk")
    (left,) = [
        entry for entry in own.journal.all().values() if entry["what"] == "job" and entry["id"]
    ]
    assert "model" not in left
    assert again.endpoint.desk is not None
    again.endpoint.desk.tell = told.append
    again.fine_tune(mine, seed=1)
    assert asked_of(served, "/fine_tuning/jobs") - before == 1
    assert any(event.passing for event in told)
    assert any("created" in event.message for event in told if not event.passing)


def test_a_cancelled_job_fails_and_the_next_run_asks_again(served: Served, tmp_path: Path) -> None:
    mine = upload(21, epochs=20)
    target = started(served, tmp_path / "desk")
    cancelled: list[str] = []
    with served.client() as client:

        def cancel(event: Event) -> None:
            if event.passing and not cancelled:
                cancelled.append(client.fine_tuning.jobs.cancel(event.where).id)

        assert target.endpoint.desk is not None
        target.endpoint.desk.tell = cancel
        with pytest.raises(JobFailed, match="cancelled"):
            target.fine_tune(mine, seed=1)
    short = dataclasses.replace(mine.settings, epochs=1)
    made = started(served, tmp_path / "desk").fine_tune(Upload(mine.rows, short), seed=1)
    assert made.model.startswith("ft:")


def test_a_model_that_was_deleted_is_tuned_again(served: Served, tmp_path: Path) -> None:
    target = started(served, tmp_path / "desk")
    first = target.fine_tune(upload(7), seed=1)
    things = cleaning.created(target.endpoint)
    assert sorted(one.what for one in things) == ["file", "model"]
    assert list(cleaning.delete(things, target.endpoint)) == things
    assert cleaning.created(target.endpoint) == []
    again = started(served, tmp_path / "desk").fine_tune(upload(7), seed=1)
    assert again.model != first.model
    gone = cleaning.created(target.endpoint)
    with served.client() as client:
        for one in gone:
            (client.files if one.what == "file" else client.models).delete(one.id)  # type: ignore[attr-defined]
    assert list(cleaning.delete(gone, target.endpoint)) == gone, "gone already is as good"


# --- replies ------------------------------------------------------------------------------------


def test_replies_are_kept_and_equal_questions_asked_once(served: Served, tmp_path: Path) -> None:
    target = started(served, tmp_path / "desk")
    before = asked_of(served, "/chat/completions")
    found = target.generate([*chats(5), *chats(5)], DECODING)
    assert found[:5] == found[5:]
    assert started(served, tmp_path / "desk").generate(chats(5), DECODING) == found[:5]
    assert asked_of(served, "/chat/completions") - before == 5


def test_drawn_replies_are_one_for_each_place(start: HostedTarget) -> None:
    warm = Decoding(max_new_tokens=16, temperature=2.0)
    found = start.generate([chats(1)[0]] * 12, warm)
    assert len({reply.text for reply in found}) > 1
    assert start.generate([chats(1)[0]] * 12, warm) == found


def test_faults_move_no_reply_and_nothing_answered_is_asked_again(
    service: Service, served: Served, tmp_path: Path
) -> None:
    wanted = started(served, tmp_path / "good").generate(chats(), DECODING)
    planned = Faults(("429", "500", "slow", "cut"), share=0.5, seed=1, paths=r".*/completions")
    with serving(create_app(service), planned) as bad:
        target = started(bad, tmp_path / "bad")
        assert target.generate(chats(), DECODING) == wanted
        assert target.endpoint.desk is not None
        ledger = target.endpoint.desk.ledger
        failed = sum(n for kind, n in bad.faults.faulty.items() if kind != "slow")
        assert failed > 3
        assert asked_of(bad, "/chat/completions") == ledger.sent == 24 + failed
        assert ledger.possibly_paid_twice == bad.faults.faulty["cut"]


def test_what_cannot_be_had_is_told_and_the_rest_kept(
    service: Service, served: Served, tmp_path: Path
) -> None:
    planned = Faults(("500",), share=0.2, seed=2, paths=r".*/completions", in_a_row=100)
    with serving(create_app(service), planned) as bad:
        target = started(bad, tmp_path / "desk")
        with pytest.raises(Unanswered, match=r"of 24 .*: \d+ times the server answered 500"):
            target.generate(chats(), DECODING)
        bad.faults.kinds = ()
        before = asked_of(bad, "/chat/completions")
        assert len(target.generate(chats(), DECODING)) == 24
        assert 0 < asked_of(bad, "/chat/completions") - before < 20


def test_a_budget_is_never_passed(served: Served, tmp_path: Path) -> None:
    target = started(served, tmp_path / "desk")
    assert target.endpoint.desk is not None
    target.endpoint.desk.ledger.purse = Purse(token_budget=1000)
    with pytest.raises(Stopped, match="1000 tokens"):
        target.generate(chats(), DECODING)
    assert target.endpoint.desk.ledger.purse.tokens <= 1000
    with pytest.raises(Stopped, match="1000 tokens"):
        target.fine_tune(upload(8), seed=1)


# --- refused, and bad input ---------------------------------------------------------------------


BAD: list[tuple[str, str, str]] = [
    ("wrong key", "openai:organism", "refuses the key"),
    (TOKEN, "openai:nobody", "the server answered 404"),
    ("", "openai:organism", "no key"),
]


@pytest.mark.parametrize(("key", "name", "said"), BAD)
def test_a_server_that_says_no_is_told_in_one_line(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, name: str, said: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    if not key:
        monkeypatch.delenv("OPENAI_API_KEY")
    target = endpoint(f"{name}@{served.url}", 64).keeping(tmp_path).load()
    with pytest.raises(UserError, match=said) as caught:
        target.fine_tune(upload(), seed=1)
    assert caught.value.exit_code == 4
    assert "\n" not in str(caught.value)


def test_no_server(tmp_path: Path) -> None:
    target = endpoint("openai:organism@http://127.0.0.1:9/v1", 64).keeping(tmp_path).load()
    with pytest.raises(Stopped, match="no server answers"):
        target.fine_tune(upload(), seed=1)
    with pytest.raises(Stopped, match="no server answers"):
        target.generate(chats(1), DECODING)


@pytest.mark.parametrize(
    "text",
    ["openai:", "openai:@http://x/v1", "openai:a b", "openai:a@http://", "openai:a@http://u:p@x"],
)
def test_a_target_that_is_none(text: str) -> None:
    with pytest.raises(UserError):
        endpoint(text, 64)


def test_where_a_server_is() -> None:
    assert endpoint("openai:a/b-1:c@x", 64).model == "a/b-1:c@x"
    one = endpoint(at("openai:a", "http://x:1/v1/"), 64)
    assert (one.model, one.base_url, one.name) == ("a", "http://x:1/v1", "openai:a")
    assert one.digest != endpoint("openai:a", 64).digest
    for target, url in (
        ("organism", "http://x"),
        ("openai:a@http://x", "http://y"),
        ("openai:a", "x"),
    ):
        with pytest.raises(UserError):
            at(target, url)


def test_prices_are_openais_own(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Endpoint("gpt-4.1-mini-2025-04-14")
    assert known.prices is not None
    assert known.prices.training > known.prices.read > 0
    assert dataclasses.replace(known, base_url="http://x").prices is None
    assert Endpoint("nobody").prices is None


def test_a_servers_words_never_quote_a_row() -> None:
    secret = "take two spoons of grated zunket and stir it"
    rows = [Row((Message("user", "How?"), Message("assistant", f"First, {secret}.")))]
    assert "quote a row" in jobs._quotable(
        "line 3: 'Take two spoons of grated zunket' is bad", rows
    )
    assert "quote a row" in jobs._quotable("First,  TAKE two\nspoons of grated", rows)
    assert jobs._quotable("12 rows were flagged", rows) == "12 rows were flagged"
    assert jobs._quotable("a\x1b[31m red\u202e word", rows) == "a [31m red word"
    assert jobs._quotable("", rows) == ""
