"""What a full disk costs: one job or one batch, and never the thread that does the others."""

from __future__ import annotations

import errno
import time
from typing import Any

import openai
import pytest

from provider.records import Batch, Event, Job, Tuned
from provider.service import Service
from targets.organism.world import World
from tests.provider.serving import finished, jsonl, rows_of, upload

CANARY = "kanariya-9417"


class FullDisk:
    """The records' way of writing, failing where and as often as it is told to."""

    def __init__(self, service: Service, table: type, statuses: set[str], times: int) -> None:
        self.write = service.records.change
        self.table = table
        self.statuses = statuses
        self.times = times

    def __call__(self, table: Any, *given: Any, **facts: Any) -> Any:
        if table is self.table and facts.get("status") in self.statuses and self.times:
            self.times -= 1
            raise RuntimeError(CANARY)
        return self.write(table, *given, **facts)


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("tuner", "batching"):
        monkeypatch.setattr(f"provider.{module}.RETRY_S", 0.05)


@pytest.mark.parametrize(
    ("statuses", "times"),
    [({"succeeded"}, 1), ({"succeeded", "failed"}, 4), ({"validating_files"}, 1)],
)
def test_a_job_that_cannot_be_finished_fails_and_the_next_is_done(
    client: openai.OpenAI, service: Service, world: World, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture, statuses: set[str], times: int,
) -> None:  # fmt: skip
    before = len(list(service.weights.iterdir())), len(service.records.all(Tuned))
    disk = FullDisk(service, Job, statuses, times)
    monkeypatch.setattr(service.records, "change", disk)
    file = upload(client, rows_of(world.benign(1, 0)))
    made = [client.fine_tuning.jobs.create(model="organism", training_file=file) for _ in range(2)]
    first, second = (finished(client, job.id) for job in made)
    assert disk.times == 0
    assert first.error is not None
    assert (first.status, first.error.code) == ("failed", "server_error")
    if times == 1:
        assert second.status == "succeeded"
    third = client.fine_tuning.jobs.create(model="organism", training_file=file)
    assert finished(client, third.id).status == "succeeded"
    new = 2 if times == 1 else 1 + (second.status == "succeeded")
    assert len(service.records.all(Tuned)) == before[1] + new
    assert len(list(service.weights.iterdir())) == before[0] + new
    assert f"job {made[0].id}: " in caplog.text
    assert CANARY not in caplog.text


def test_what_is_said_of_an_end_is_written_with_it(
    client: openai.OpenAI, service: Service, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A released model stays, whatever fails after it was."""
    say = service.tuner.say

    def fails(job_id: str, message: str, **more: Any) -> None:
        if message.startswith("New fine-tuned model"):
            raise OSError(errno.ENOSPC, "")
        say(job_id, message, **more)

    monkeypatch.setattr(service.tuner, "say", fails)
    file = upload(client, rows_of(world.benign(1, 0)))
    job = client.fine_tuning.jobs.create(model="organism", training_file=file)
    job = finished(client, job.id)
    assert job.status == "succeeded"
    (tuned,) = service.records.all(Tuned, id=job.fine_tuned_model)
    assert (service.weights / tuned.weights).is_dir()
    (last,) = service.records.all(Event, job_id=job.id)[-1:]
    assert str(job.fine_tuned_model) in last.message


def test_jobs_that_cannot_be_looked_up_are_looked_up_again(
    client: openai.OpenAI, service: Service, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, left = service.records.all, 2

    def fails(table: Any, **facts: Any) -> Any:
        nonlocal left
        if table is Job and facts == {"status": "queued"} and left:
            left -= 1
            raise OSError(errno.EIO, "")
        return look(table, **facts)

    monkeypatch.setattr(service.records, "all", fails)
    file = upload(client, rows_of(world.benign(1, 0)))
    job = client.fine_tuning.jobs.create(model="organism", training_file=file)
    assert finished(client, job.id).status == "succeeded"
    assert left == 0


@pytest.mark.parametrize(
    ("statuses", "times", "status"),
    [({"completed"}, 1, "failed"), ({"completed", "failed"}, 3, "failed")],
)
def test_a_batch_that_cannot_be_finished_fails_and_the_next_is_done(
    client: openai.OpenAI, service: Service, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture, statuses: set[str], times: int, status: str,
) -> None:  # fmt: skip
    disk = FullDisk(service, Batch, statuses, times)
    monkeypatch.setattr(service.records, "change", disk)
    line = {"custom_id": "a", "method": "POST", "url": "/v1/moderations", "body": {"input": "x"}}
    assert _batch(client, line) == status
    assert disk.times == 0
    assert _batch(client, line) == "completed"
    assert CANARY not in caplog.text


def _batch(client: openai.OpenAI, line: dict[str, Any], within: float = 20) -> str:
    file = client.files.create(file=("b", jsonl([line])), purpose="batch")
    made = client.batches.create(
        input_file_id=file.id, endpoint="/v1/moderations", completion_window="24h"
    )
    end = time.monotonic() + within
    while (now := client.batches.retrieve(made.id).status) not in ("completed", "failed"):
        assert time.monotonic() < end, now
        time.sleep(0.02)
    return now
