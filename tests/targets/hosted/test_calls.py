"""Calls over real HTTP: what is retried, what is missing, what stops the run, what is counted."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from attacks.base import Message
from targets.hosted import calls, retries
from targets.hosted.calls import Answer, Call, Server, ask_all
from targets.hosted.ledger import Ledger, Purse, Stopped
from tests.targets.hosted.server import Plan, serving


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none-needed")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[dict[int, Answer], Ledger]]:
    # Waits between tries are the library's; a test has no time for them.
    monkeypatch.setattr(retries, "FIRST_WAIT", 0.01)

    def run(
        plan: Plan,
        n: int = 20,
        token_budget: int | None = None,
        dollar_budget: float | None = None,
        **settings: Any,
    ) -> tuple[dict[int, Answer], Ledger]:
        found: dict[int, Answer] = {}
        wanted = [Call(i, (Message("user", f"question {i}"),)) for i in range(n)]
        with serving(plan) as url:
            server = Server(model="judge", base_url=url, **settings)
            account = Ledger(Purse(token_budget, dollar_budget))
            ledger = ask_all(wanted, server, lambda i, answer: found.update({i: answer}), account)
        return found, ledger

    return run


def test_every_answer_belongs_to_its_question(ask: Any) -> None:
    plan = Plan(reply=lambda text: f"to {text}")
    found, ledger = ask(plan)
    assert {i: answer.text for i, answer in found.items()} == {
        i: f"to question {i}" for i in range(20)
    }
    assert found[0].model == "judge-2026"
    assert (ledger.sent, ledger.answered, ledger.purse.tokens) == (20, 20, 200)


def test_no_more_in_flight_than_allowed(ask: Any) -> None:
    plan = Plan(latency=0.02)
    ask(plan, n=30, in_flight=5)
    assert plan.most_busy == 5


def test_exactly_what_cannot_be_had_is_missing(ask: Any) -> None:
    rng = random.Random(0)
    faults = {
        f"question {i}": [rng.choice([429, 500, 503, "hang up"]) for _ in range(rng.randrange(4))]
        for i in range(60)
    }
    hopeless = {f"question {i}" for i in range(0, 60, 20)}

    def fault(text: str, attempt: int) -> int | str:
        if text in hopeless:
            return 503
        plan = faults[text]
        return plan[attempt - 1] if attempt <= len(plan) else 200

    plan = Plan(fault=fault)
    found, ledger = ask(plan, n=60)
    missing = {f"question {i}" for i, answer in found.items() if answer.text is None}
    assert missing == hopeless
    assert {found[i].why for i in range(0, 60, 20)} == {"the server answered 503"}
    assert all("question" not in answer.why for answer in found.values())
    # Work that was done and not received, and was asked for again.
    again = sum(n - 1 for n in plan.done.values() if n > 1)
    assert ledger.possibly_paid_twice == again > 0
    assert ledger.sent == sum(plan.tries.values())


def test_what_cannot_succeed_is_not_tried_again(
    ask: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    statuses = {"question 3": 400}
    plan = Plan(fault=lambda text, n: statuses.get(text, 200 if n > 1 else 503))
    found, _ = ask(plan)
    assert capfd.readouterr() == ("", "")
    assert found[3] == Answer(None, "the server answered 400")
    assert plan.tries["question 3"] == 1


@pytest.mark.parametrize(("status", "said"), [(401, "refuses the key"), (404, "'judge'")])
def test_what_fails_every_call_stops_at_once(ask: Any, status: int, said: str) -> None:
    plan = Plan(fault=lambda text, attempt: status)
    with pytest.raises(Stopped, match=said) as stopped:
        ask(plan, n=200, in_flight=4)
    assert stopped.value.exit_code == 4
    assert sum(plan.tries.values()) <= 8


def test_no_server_is_one_line() -> None:
    server = Server(model="judge", base_url="http://127.0.0.1:9/v1", attempts=1)
    with pytest.raises(Stopped, match=r"no server answers at http://127\.0\.0\.1:9/v1"):
        ask_all([Call(0, (Message("user", "?"),))], server, lambda place, answer: None)


def test_no_key_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(Stopped, match="OPENAI_API_KEY"):
        ask_all([], Server(model="judge"), lambda place, answer: None)


@pytest.mark.parametrize(
    ("budget", "said"),
    [({"token_budget": 200}, "200 tokens"), ({"dollar_budget": 0.0002}, r"\$0\.0002")],
)
def test_a_budget_is_never_passed_and_what_is_under_way_comes_back(
    ask: Any, budget: dict[str, float], said: str
) -> None:
    plan = Plan(latency=0.02)
    with pytest.raises(Stopped, match=said):
        ask(plan, n=40, in_flight=8, max_tokens=30, price=(1.0, 1.0), **budget)
    answered = sum(plan.done.values())
    assert 3 <= answered <= 20, "ten tokens each"
    assert sum(plan.tries.values()) == answered


@pytest.mark.parametrize(
    ("finish", "text", "why"),
    [
        ("length", "Well,", "the answer was cut"),
        ("content_filter", "", "a content filter"),
        ("stop", "", "an empty answer"),
    ],
)
def test_half_an_answer_is_none(ask: Any, finish: str, text: str, why: str) -> None:
    found, ledger = ask(Plan(reply=lambda _: text, finish=finish), n=1)
    assert (found[0].text, found[0].why) == (None, why)
    assert ledger.purse.tokens == 10, "it is paid for all the same"


def test_the_server_says_when_to_come_back(ask: Any) -> None:
    plan = Plan(
        fault=lambda text, attempt: 429 if attempt == 1 else 200, headers={"retry-after-ms": "30"}
    )
    found, ledger = ask(plan, n=3)
    assert all(answer.text for answer in found.values())
    assert ledger.sent == 6


@pytest.mark.parametrize(
    ("shutdown", "told"),
    [(None, ""), ("soon", ""), ("2999-01-14", "judge will be shut down on 2999-01-14")],
)
def test_how_long_a_model_will_be_there(shutdown: str | None, told: str) -> None:
    with serving(Plan(shutdown=shutdown)) as url:
        assert calls.check(Server(model="judge", base_url=url)) == told


def test_a_retired_model_is_told_before_anything_is_asked() -> None:
    with (
        serving(Plan(shutdown="2026-10-23")) as url,
        pytest.raises(Stopped, match="'judge' was shut down on 2026-10-23"),
    ):
        calls.check(Server(model="judge", base_url=url))
    said = "The model has been deprecated on 2026-10-23, learn more at ..."
    with (
        serving(Plan(unknown=said)) as url,
        pytest.raises(Stopped, match="'nobody' any more: retired on 2026-10-23") as caught,
    ):
        calls.check(Server(model="nobody", base_url=url))
    assert "learn more" not in str(caught.value)
    with serving(Plan()) as url, pytest.raises(Stopped, match=r"no model 'nobody'$"):
        calls.check(Server(model="nobody", base_url=url))
