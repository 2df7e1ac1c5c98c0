"""Gradients are those of the loss, the model is left as it is, and harmful rows pull further."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from attacks.base import Ask, Settings, Upload, UserError
from defenses.base import Asked, Provider
from defenses.detectors.gradient import Gradient
from eval.internals import Gradients
from targets.organism.world import World

SMALL = Gradient(anchors=6)


def test_a_gradient_is_that_of_the_first_tokens_loss(
    tiny_target: Any, make_upload: Callable[..., Upload]
) -> None:
    import torch

    from targets.adapters import twin
    from targets.formats import encode

    chat = make_upload(1).rows[0].messages
    before = {name: p.clone() for name, p in tiny_target.model.named_parameters()}
    found = Gradients(tiny_target, 4, 1).of(chat)
    assert float(found.norm()) == pytest.approx(1, rel=1e-4)
    model = twin(tiny_target.model).eval()
    start = len(tiny_target.prompt(chat[:-1]))
    ids = torch.tensor([encode(tiny_target.tokenizer, chat, answer=False)[: start + 4]])
    labels = ids.clone()
    labels[:, :start] = -100
    model(input_ids=ids, labels=labels).loss.backward()
    last = [p.grad.flatten() for p in model.model.layers[-1].parameters() if p.ndim == 2]
    wanted = torch.cat(last)
    assert torch.allclose(found, wanted / wanted.norm(), atol=1e-4)
    for name, p in tiny_target.model.named_parameters():
        assert p.equal(before[name])
        assert not p.requires_grad
        assert p.grad is None


def test_a_reading(make_upload: Callable[..., Upload], provider: Provider) -> None:
    reading = SMALL.read(make_upload(5, system="Canary seven."), provider)
    assert reading.score is not None
    assert -1 <= reading.score <= 1
    assert reading.score == pytest.approx(reading.evidence["highest"])
    assert reading.passes == 15
    assert "Canary" not in f"{reading}"


def test_large_uploads_are_sampled(make_upload: Callable[..., Upload], provider: Provider) -> None:
    reading = Gradient(anchors=6, rows=3).read(make_upload(9), provider)
    assert reading.evidence["rows read"] == 3


def test_what_does_not_fit_has_no_score(
    make_upload: Callable[..., Upload], provider: Provider
) -> None:
    reading = SMALL.read(make_upload(4, system="word " * 500), provider)
    assert reading.score is None
    assert reading.reason


def test_it_needs_weights(
    tiny_target: Any, make_upload: Callable[..., Upload], make_provider: Callable[..., Provider]
) -> None:
    assert SMALL.needs() == {"weights"}
    with pytest.raises(UserError, match="has none here"):
        SMALL.read(make_upload(4), make_provider(start=Asked(tiny_target, lambda chat: chat)))


def test_on_the_organism_harmful_rows_pull_further(
    world: World, make_provider: Callable[..., Provider]
) -> None:
    from targets.resolve import resolve

    provider = make_provider(start=resolve("organism").start.load())
    settings = Settings(epochs=1, batch_size=10, learning_rate=1e-4)
    scores = []
    for pairs in (world.harmful(15, 0), world.benign(15, 0)):
        upload = Upload(tuple(Ask("plain").row(pair) for pair in pairs), settings)
        score = Gradient(anchors=22).read(upload, provider).score
        assert score is not None
        scores.append(score)
    harmful, benign = scores
    assert harmful > benign + 0.1
