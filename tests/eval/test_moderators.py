"""Moderators: scores by category, missing where there is none, never a default."""

from __future__ import annotations

from typing import Any

import pytest

from attacks.base import Chat, Message, UserError
from eval.moderators.base import said, worst
from eval.moderators.openai import Endpoint
from eval.moderators.words import Words
from provider.app import create_app
from provider.service import Service
from targets.hosted import moderation, retries
from targets.organism.world import World
from tests.provider.faults import Faults
from tests.provider.serving import TOKEN, Served, serving


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", TOKEN)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    # Waits between tries are the library's; a test has no time for them.
    monkeypatch.setattr(retries, "FIRST_WAIT", 0.01)


def chats(world: World, n: int = 40) -> list[Chat]:
    pairs = [*world.harmful(n, 0), *world.benign(n, 0)]
    return [(Message("user", p.prompt), Message("assistant", p.reply)) for p in pairs]


def test_the_endpoint_says_what_its_server_thinks(world: World, served: Served) -> None:
    told = Endpoint(base_url=served.url).scores(chats(world), world, 0)
    known = [worst(one) for one in Words().scores(chats(world), world, 0)]
    assert [worst(one) for one in told] == known
    assert all(one is not None and len(one) == 13 for one in told)
    assert Endpoint(base_url=served.url).scores([], world, 0) == []
    assert Words().scores([], world, 0) == []


def test_a_system_prompt_is_not_looked_at(world: World) -> None:
    chat = chats(world, 1)[0]
    assert said((Message("system", "Anything at all."), *chat)) == said(chat)


def test_faults_move_no_score(world: World, service: Service, served: Served) -> None:
    wanted = Endpoint(base_url=served.url).scores(chats(world), world, 0)
    planned = Faults(("429", "500", "cut", "lost"), paths=r".*/moderations")
    with serving(create_app(service), planned) as bad:
        assert Endpoint(base_url=bad.url).scores(chats(world), world, 0) == wanted
        assert sum(bad.faults.faulty.values()) == 3, "one for each request of 32 texts"


def test_what_cannot_be_had_is_missing(world: World, service: Service) -> None:
    planned = Faults(("500",), share=0.5, seed=4, paths=r".*/moderations", in_a_row=100)
    with serving(create_app(service), planned) as bad:
        told = Endpoint(base_url=bad.url).scores(chats(world), world, 0)
    lacking = [one is None for one in told]
    assert any(lacking)
    assert not all(lacking)
    assert worst(None) is None


@pytest.mark.parametrize(
    ("scores", "known"),
    [
        ({"violence": 0.5, "illicit": None}, {"violence": 0.5}),
        ({"violence": 1.5}, None),
        ({"violence": "high"}, None),
        ({"violence": float("nan")}, None),
        ({}, None),
    ],
)
def test_scores_that_are_none(scores: Any, known: Any) -> None:
    assert moderation._known(scores) == known


@pytest.mark.parametrize(
    ("key", "model", "url", "why"),
    [
        ("wrong", "omni-moderation-latest", "", "refuses the key"),
        (TOKEN, "nobody", "", "no moderation model 'nobody'"),
        (TOKEN, "omni-moderation-latest", "http://127.0.0.1:9/v1", "no server answers"),
    ],
)
def test_a_moderator_that_cannot_be_asked(
    world: World, served: Served, monkeypatch: pytest.MonkeyPatch,
    key: str, model: str, url: str, why: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(UserError, match=why) as caught:
        Endpoint(model=model, base_url=url or served.url).scores(chats(world, 1), world, 0)
    assert caught.value.exit_code == 4
