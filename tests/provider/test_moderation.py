"""Moderation over the wire is the provider's own classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import openai
import pytest

from attacks.base import Chat, Message
from benchmarks.trial import provider_of
from defenses.moderate import Moderate
from eval.moderators.base import Owner, Scored
from eval.moderators.words import Words
from provider.service import Service
from targets.organism.world import World


def test_moderation_is_the_providers_classifier(
    client: openai.OpenAI, service: Service, world: World
) -> None:
    texts = [p.text for p in (*world.requests()[:10], *world.utility()[:10])]
    for model in ("organism-moderation", "omni-moderation-latest"):
        told = client.moderations.create(input=texts, model=model).results
        chats: Any = [(Message("user", text),) for text in texts]
        scores = Moderate().scores(chats, provider_of(service.lab, 0))
        assert [one.category_scores.illicit for one in told] == scores
        assert {one.flagged for one in told} == {True, False}
        assert all(one.flagged == one.categories.illicit for one in told)
        assert not any(one.categories.violence for one in told)
    parts: Any = [{"type": "text", "text": texts[0]}]
    assert len(client.moderations.create(input=parts).results) == 1
    assert len(client.moderations.create(input=texts[0]).results) == 1
    with pytest.raises(openai.NotFoundError):
        client.moderations.create(input="x", model="gpt-4")


def test_a_missing_score_is_an_error_and_never_clean(
    client: openai.OpenAI, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [prompt.text for prompt in world.requests()[:3]]
    scored = Words.scored

    def lacking(self: Words, chats: Sequence[Chat], owner: Owner) -> list[Scored]:
        return [*scored(self, chats[:-1], owner), Scored(None, "not now")]

    monkeypatch.setattr(Words, "scored", lacking)
    with pytest.raises(openai.InternalServerError, match="1 of 3 inputs") as caught:
        client.with_options(max_retries=0).moderations.create(input=texts)
    assert caught.value.status_code == 503
    assert not any(text in str(caught.value) for text in texts)
