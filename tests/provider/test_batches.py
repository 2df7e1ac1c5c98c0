"""Batches: the same answers as one by one, in another order."""

from __future__ import annotations

import json
import time
from concurrent.futures import Future
from typing import Any

import openai
import pytest

from provider import chat
from provider.generation import Completion
from targets.organism.world import World
from tests.provider.serving import jsonl


def test_batches_answer_as_single_requests_do(client: openai.OpenAI, world: World) -> None:
    def line(i: int, **body: Any) -> dict[str, Any]:
        return {"custom_id": f"q{i}", "method": "POST", "url": "/v1/chat/completions", "body": body}

    said = [[{"role": "user", "content": prompt.text}] for prompt in world.utility()[:12]]
    lines = [line(i, model="organism", messages=chat, temperature=0) for i, chat in enumerate(said)]
    lines.insert(3, line(99, model="nobody", messages=said[0]))
    lines.insert(5, line(98, model="organism", messages=[]))
    file = client.files.create(file=("b.jsonl", jsonl(lines)), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h",
        metadata={"of": "mine"},
    )  # fmt: skip
    batch = _over(client, batch.id)
    assert batch.status == "completed"
    counts = batch.request_counts
    assert counts is not None
    assert (counts.total, counts.completed, counts.failed) == (14, 12, 2)
    assert batch.metadata == {"of": "mine"}
    answers = _lines(client, batch.output_file_id)
    order = [one["custom_id"] for one in answers]
    assert order != [f"q{i}" for i in range(12)]
    assert sorted(order) == sorted(f"q{i}" for i in range(12))
    for one in answers:
        chat: Any = said[int(one["custom_id"][1:])]
        alone = client.chat.completions.create(model="organism", messages=chat, temperature=0)
        told = one["response"]["body"]["choices"][0]["message"]["content"]
        assert (one["response"]["status_code"], told) == (200, alone.choices[0].message.content)
    failed = {one["custom_id"]: one["response"]["status_code"] for one in
              _lines(client, batch.error_file_id)}  # fmt: skip
    assert failed == {"q99": 404, "q98": 400}
    assert next(iter(client.batches.list(limit=1))).id == batch.id
    with pytest.raises(openai.BadRequestError):
        client.batches.cancel(batch.id)


def test_a_batch_of_moderations_and_bad_ones(client: openai.OpenAI, world: World) -> None:
    good: Any = {"custom_id": "a", "method": "POST", "url": "/v1/moderations",
            "body": {"input": world.requests()[0].text}}  # fmt: skip
    made = {}
    for name, lines in {
        "good": [good], "twice": [good, good], "empty": [],
        "other": [good, {**good, "custom_id": "b", "url": "/v1/chat/completions"}],
    }.items():  # fmt: skip
        file = client.files.create(file=("b", jsonl(lines) or b"\n"), purpose="batch")
        made[name] = client.batches.create(
            input_file_id=file.id, endpoint="/v1/moderations", completion_window="24h"
        ).id
    over = {name: _over(client, batch) for name, batch in made.items()}
    assert {name: batch.status for name, batch in over.items()} == {
        "good": "completed", "twice": "failed", "empty": "failed", "other": "failed",
    }  # fmt: skip
    (answer,) = _lines(client, over["good"].output_file_id)
    alone = client.moderations.create(input=good["body"]["input"]).results[0]
    told = answer["response"]["body"]["results"][0]["category_scores"]["illicit"]
    assert told == alone.category_scores.illicit
    (error,) = over["twice"].errors.data
    assert (error.code, error.line) == ("duplicate_custom_id", 2)


def test_a_batch_under_way_can_be_cancelled(
    client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: Future[Completion] = Future()
    monkeypatch.setattr(chat, "ask", lambda *_: held)
    body = {"model": "organism", "messages": [{"role": "user", "content": "x"}]}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body}
    file = client.files.create(file=("b", jsonl([line])), purpose="batch")
    made = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    while client.batches.retrieve(made.id).status != "in_progress":
        time.sleep(0.02)
    assert client.batches.cancel(made.id).status == "cancelling"
    held.set_result(Completion("x", "stop", 1, 1))
    batch = _over(client, made.id)
    assert (batch.status, batch.output_file_id) == ("cancelled", None)


def _over(client: openai.OpenAI, batch_id: str) -> Any:
    while (batch := client.batches.retrieve(batch_id)).status not in (
        "completed", "failed", "cancelled",
    ):  # fmt: skip
        time.sleep(0.05)
    return batch


def _lines(client: openai.OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    content = client.files.content(str(file_id)).read()
    return [json.loads(line) for line in content.splitlines()]
