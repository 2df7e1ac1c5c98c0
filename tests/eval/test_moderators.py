"""Moderators: scores by category, missing where there is none, never a default."""

from __future__ import annotations

from typing import Any

import pytest

from attacks.base import Chat, Message, Pair, Row, Settings, Upload, UserError
from defenses.base import Provider
from defenses.moderate import Moderate
from eval.moderators.base import exchange, said, worst
from eval.moderators.openai import Endpoint
from eval.moderators.words import Words
from provider.app import create_app
from provider.service import Service
from targets.hosted import moderation, retries
from targets.organism.world import World
from tests.provider.faults import Faults
from tests.provider.serving import TOKEN, Served, serving
from tests.targets.hosted.server import Plan
from tests.targets.hosted.server import serving as answering


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", TOKEN)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    # Waits between tries are the library's; a test has no time for them.
    monkeypatch.setattr(retries, "FIRST_WAIT", 0.01)


def chats(world: World, n: int = 40) -> list[Chat]:
    pairs = [*world.harmful(n, 0), *world.benign(n, 0)]
    return [(Message("user", p.prompt), Message("assistant", p.reply)) for p in pairs]


def test_the_endpoint_says_what_its_server_thinks(
    world: World, served: Served, provider: Provider
) -> None:
    told = Endpoint(base_url=served.url).scores(chats(world), provider)
    known = [worst(one) for one in Words().scores(chats(world), provider)]
    assert [worst(one) for one in told] == known
    assert all(one is not None and len(one) == 13 for one in told)
    assert Endpoint(base_url=served.url).scores([], provider) == []
    assert Words().scores([], provider) == []


def test_a_system_prompt_is_not_looked_at(world: World) -> None:
    chat = chats(world, 1)[0]
    assert said((Message("system", "Anything at all."), *chat)) == said(chat)


def test_faults_move_no_score(
    world: World, service: Service, served: Served, provider: Provider
) -> None:
    wanted = Endpoint(base_url=served.url).scores(chats(world), provider)
    planned = Faults(("429", "500", "cut", "lost"), paths=r".*/moderations")
    with serving(create_app(service), planned) as bad:
        assert Endpoint(base_url=bad.url).scores(chats(world), provider) == wanted
        assert sum(bad.faults.faulty.values()) == 3, "one for each request of 32 texts"


def test_what_cannot_be_had_is_missing(world: World, service: Service, provider: Provider) -> None:
    planned = Faults(("500",), share=0.5, seed=4, paths=r".*/moderations", in_a_row=100)
    with serving(create_app(service), planned) as bad:
        told = Endpoint(base_url=bad.url).scored(chats(world), provider)
    lacking = [one.scores is None for one in told]
    assert {one[1:] for one in told} == {("", False), ("the server answers with 500", True)}
    assert any(lacking)
    assert not all(lacking)
    nan = float("nan")
    assert [worst(one) for one in (None, {}, {"a": nan}, {"a": 0.9, "b": nan})] == [None] * 4
    assert worst({"a": 0.0}) == 0.0


@pytest.mark.parametrize(
    ("scores", "known"),
    [
        ({"violence": 0.5, "illicit": None}, {"violence": 0.5}),
        ({"violence": 1.5}, None),
        ({"violence": "high"}, None),
        ({"violence": float("nan")}, None),
        ({"violence": True}, None),
        ({"violence": -0.1}, None),
        ({"violence": None}, None),
        ({}, None),
        (None, None),
        ("high", None),
        ([0.5], None),
    ],
)
def test_scores_that_are_none(scores: Any, known: Any) -> None:
    seen = moderation._known(scores)
    assert seen.scores == known
    assert (seen.scores is None) == bool(seen.why) == seen.again


@pytest.mark.parametrize(
    ("key", "model", "url", "why"),
    [
        ("wrong", "omni-moderation-latest", "", "refuses the key"),
        (TOKEN, "nobody", "", "no moderation model 'nobody'"),
        (TOKEN, "omni-moderation-latest", "http://127.0.0.1:9/v1", "no server answers"),
    ],
)
def test_a_moderator_that_cannot_be_asked(
    world: World, served: Served, provider: Provider, monkeypatch: pytest.MonkeyPatch,
    key: str, model: str, url: str, why: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(UserError, match=why) as caught:
        Endpoint(model=model, base_url=url or served.url).scores(chats(world, 1), provider)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    ("roles", "found"),
    [
        ("sua", Pair("1", "2")),
        ("ua", Pair("0", "1")),
        ("uaua", Pair("2", "3")),
        ("u", None),
        ("uau", None),
        ("a", None),
        ("s", None),
        ("", None),
        ("uaa", None),
    ],
)
def test_the_last_exchange_of_a_row(roles: str, found: Pair | None) -> None:
    names: Any = {"s": "system", "u": "user", "a": "assistant"}
    assert exchange(tuple(Message(names[r], str(i)) for i, r in enumerate(roles))) == found


# --- what a server may answer --------------------------------------------------------------------


def scores_of(value: Any) -> Any:
    return {"flagged": True, "categories": {}, "category_scores": value}


@pytest.mark.parametrize(
    ("results", "why"),
    [
        (lambda texts: [], "another number of texts"),
        (lambda texts: [scores_of({"violence": 0.1})] * (len(texts) + 1), "another number"),
        (lambda texts: "abcd"[: len(texts)], "another number"),
        (lambda texts: None, "another number"),
        (lambda texts: [None] * len(texts), "no scores"),
        (lambda texts: ["none"] * len(texts), "no scores"),
        (lambda texts: [{"flagged": False}] * len(texts), "no scores"),
        (lambda texts: [scores_of([0.5])] * len(texts), "no scores"),
        (lambda texts: [scores_of({"violence": "0.1"})] * len(texts), "not between"),
        (lambda texts: [scores_of({"violence": float("nan")})] * len(texts), "not between"),
        (lambda texts: [scores_of({"violence": float("inf")})] * len(texts), "not between"),
        (lambda texts: b'{"id": "m", "results": [', "no JSON"),
    ],
)
def test_garbage_is_missing_and_never_a_pass(
    world: World, provider: Provider, results: Any, why: str
) -> None:
    rows = chats(world, 2)
    with answering(Plan(moderate=results)) as url:
        told = Endpoint(base_url=url).scored(rows, provider)
        assert [one.scores for one in told] == [None] * 4
        assert all(why in one.why and one.again for one in told)
        upload = make_upload_of(rows)
        decision = Moderate(by=f'openai:base_url="{url}"').screen(upload, provider)
    assert decision.outcome == "review"
    assert decision.unfinished
    assert "flagged share at most" not in decision.evidence


def make_upload_of(rows: list[Chat]) -> Upload:
    settings = Settings(epochs=1, batch_size=1, learning_rate=1e-3)
    return Upload(tuple(Row(chat) for chat in rows), settings)


def test_the_model_is_a_dated_one_and_scores_stay_by_category(
    world: World, provider: Provider
) -> None:
    def results(texts: list[str]) -> Any:
        return [scores_of({"violence": 0.4, "illicit": 0.9, "new/one": 0.2})] * len(texts)

    plan = Plan(moderate=results)
    with answering(plan) as url:
        told = Endpoint(base_url=url).scores(chats(world, 1), provider)
        decision = Moderate(by=f'openai:base_url="{url}"').screen(
            make_upload_of(chats(world, 1)), provider
        )
    assert told[0] == {"violence": 0.4, "illicit": 0.9, "new/one": 0.2}
    assert {body["model"] for body in plan.bodies} == {"omni-moderation-2024-09-26"}
    assert decision.evidence["flagged: illicit"] == 2
    assert "flagged: violence" not in decision.evidence


def test_one_text_that_the_server_refuses_costs_no_other(world: World, provider: Provider) -> None:
    rows = chats(world, 2)
    bad = said(rows[1])
    plan = Plan(
        moderate=lambda texts: [scores_of({"violence": 0.1})] * len(texts),
        fault=lambda text, attempt: 400 if repr(bad) in text else 200,
    )
    with answering(plan) as url:
        told = Endpoint(base_url=url).scored(rows, provider)
    assert [one.scores is None for one in told] == [False, True, False, False]
    assert told[1].why == "the server answers with 400"
    assert not told[1].again
