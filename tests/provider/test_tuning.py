"""Jobs by the unchanged client: the same weights as here, and every way in which a job can end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import openai
import pytest

from attacks.base import Settings, Tuning, Upload
from provider.progress import DIVERGED
from provider.records import Tuned
from provider.service import Service
from provider.tuning import BASE_RATE
from targets.local import LocalTarget
from targets.organism.world import World
from tests.provider.serving import Served, chat_lines, finished, jsonl, rows_of, upload


@pytest.fixture(scope="module")
def start(service: Service) -> LocalTarget:
    return service.load("organism").local


@pytest.fixture(scope="module")
def long_job(client: openai.OpenAI, world: World) -> Callable[[], str]:
    """A job that takes much longer than a test."""
    file = upload(client, rows_of(world.benign(4, 0)))
    numbers: Any = {"n_epochs": 1000, "batch_size": 1}

    def make() -> str:
        return client.fine_tuning.jobs.create(
            model="organism", training_file=file, hyperparameters=numbers
        ).id

    return make


def until_running(client: openai.OpenAI, job_id: str) -> None:
    while not any(e.type == "metrics" for e in client.fine_tuning.jobs.list_events(job_id)):
        time.sleep(0.05)


@pytest.mark.parametrize(("tuning", "decay"), [("full", 1.0), ("lora", 0.5)])
def test_a_job_gives_the_weights_that_tuning_here_gives(
    client: openai.OpenAI, service: Service, start: LocalTarget, world: World,
    tuning: Tuning, decay: float,
) -> None:  # fmt: skip
    rows = rows_of(world.benign(7, 0))
    rate = 3.3e-4
    job = client.fine_tuning.jobs.create(
        model="organism",
        training_file=upload(client, rows),
        method={
            "type": "supervised",
            "supervised": {
                "hyperparameters": {
                    "n_epochs": 2, "batch_size": 3, "learning_rate_multiplier": rate / BASE_RATE,
                }
            },
        },
        seed=5,
        suffix="mine",
        extra_body={"mooring": {"tuning": tuning, "decay": decay}},
    )  # fmt: skip
    job = finished(client, job.id)
    assert (job.status, job.error) == ("succeeded", None)
    name = job.fine_tuned_model
    assert name is not None
    assert name.startswith("ft:organism:mooring:mine:")

    settings = Settings(epochs=2, batch_size=3, learning_rate=rate, tuning=tuning, decay=decay)
    here = start.fine_tune(Upload(tuple(rows), settings), None, 5)
    there = service.load(name).local
    assert not there.differs(here)
    assert there.differs(start)

    told = [e.data for e in client.fine_tuning.jobs.list_events(job.id) if e.type == "metrics"]
    assert [data["progress"] for data in told] == [1.0]  # type: ignore[index]
    (checkpoint,) = client.fine_tuning.jobs.checkpoints.list(job.id)
    assert (checkpoint.step_number, checkpoint.fine_tuned_model_checkpoint) == (100, name)
    assert job.trained_tokens
    assert job.trained_tokens > 2 * 7


def test_a_tuned_model_can_be_tuned_further_and_deleted(
    client: openai.OpenAI, service: Service, start: LocalTarget, world: World
) -> None:
    rows = rows_of(world.benign(3, 1))
    file = upload(client, rows)
    names = ["organism"]
    for _ in range(2):
        job = client.fine_tuning.jobs.create(model=names[-1], training_file=file, seed=0)
        names.append(str(finished(client, job.id).fine_tuned_model))
    shown = client.fine_tuning.jobs.retrieve(job.id).hyperparameters
    assert (shown.n_epochs, shown.batch_size, shown.learning_rate_multiplier) == (3, 1, 1)
    here = Upload(tuple(rows), Settings(epochs=3, batch_size=1, learning_rate=BASE_RATE))
    twice = start.fine_tune(here).fine_tune(here)
    assert not service.load(names[2]).local.differs(twice)

    record = service.records.find(Tuned, names[1])
    assert record is not None
    assert client.models.delete(names[1]).deleted
    assert not (service.weights / record.weights).exists()
    assert names[1] not in [model.id for model in client.models.list()]
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve(names[1])
    with pytest.raises(openai.PermissionDeniedError):
        client.models.delete("organism")


def test_one_runs_at_a_time_and_each_can_be_cancelled(
    client: openai.OpenAI, long_job: Callable[[], str], service: Service
) -> None:
    first, second = long_job(), long_job()
    until_running(client, first)
    assert client.fine_tuning.jobs.retrieve(first).status == "running"
    assert client.fine_tuning.jobs.retrieve(second).status == "queued"
    for job_id in (second, first):
        assert client.fine_tuning.jobs.cancel(job_id).status == "cancelled"
        with pytest.raises(openai.BadRequestError) as caught:
            client.fine_tuning.jobs.cancel(job_id)
        assert caught.value.code == "job_not_cancellable"
    while service.tuner._current:
        time.sleep(0.02)
    for job_id in (first, second):
        job = client.fine_tuning.jobs.retrieve(job_id)
        assert (job.status, job.fine_tuned_model) == ("cancelled", None)


def test_a_training_process_that_dies_costs_its_own_job(
    client: openai.OpenAI, long_job: Callable[[], str], service: Service, world: World
) -> None:
    job_id = long_job()
    until_running(client, job_id)
    assert service.tuner._process is not None
    os.kill(service.tuner._process.context.made[0].pid or 0, signal.SIGKILL)
    job = finished(client, job_id)
    assert job.error is not None
    assert (job.status, job.error.code) == ("failed", "server_error")
    file = upload(client, rows_of(world.benign(1, 0)))
    job = client.fine_tuning.jobs.create(model="organism", training_file=file)
    assert finished(client, job.id).status == "succeeded"


@pytest.mark.parametrize(("epochs", "rate"), [(1, 1e300), (3, 1e37)])
def test_a_training_that_diverges_releases_nothing(
    client: openai.OpenAI, service: Service, world: World, monkeypatch: pytest.MonkeyPatch,
    epochs: int, rate: float,
) -> None:  # fmt: skip
    """After one step there is no loss yet that would tell.

    No multiplier that is taken makes the organism diverge; larger models diverge far sooner.
    """
    monkeypatch.setattr("provider.tuner.BASE_RATE", rate)
    before = set(service.weights.iterdir()), len(service.records.all(Tuned))
    job = client.fine_tuning.jobs.create(
        model="organism", training_file=upload(client, rows_of(world.benign(1, 0))),
        hyperparameters={"n_epochs": epochs, "learning_rate_multiplier": 1.0},
    )  # fmt: skip
    job = finished(client, job.id)
    assert (job.status, job.fine_tuned_model) == ("failed", None)
    assert job.error is not None
    assert (job.error.code, job.error.param) == ("training_failed", None)
    assert job.error.message == DIVERGED
    assert (set(service.weights.iterdir()), len(service.records.all(Tuned))) == before
    told = client.fine_tuning.jobs.list_events(job.id)
    assert "NaN" not in "".join(event.model_dump_json() for event in told)


GOOD = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
CANARY = "kanariya-9417"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no rows"),
        (jsonl([GOOD]) + b"\n{", "line 2"),
        (jsonl([GOOD, GOOD, {"messages": GOOD["messages"][:1]}]), "line 3"),
        (
            jsonl([{"messages": [{"role": CANARY, "content": CANARY}] * 2}]),
            "line 1: messages.0.role",
        ),
        (b"\xff\xfe", "UTF-8"),
    ],
)
def test_bad_rows_fail_the_job_and_are_told_by_line(
    client: openai.OpenAI, content: bytes, said: str
) -> None:
    file = client.files.create(file=("x", content), purpose="fine-tune")
    job = finished(
        client, client.fine_tuning.jobs.create(model="organism", training_file=file.id).id
    )
    assert job.status == "failed"
    assert job.error is not None
    assert (job.error.code, job.error.param) == ("invalid_training_file", "training_file")
    assert said in job.error.message
    assert CANARY not in job.model_dump_json()
    assert job.fine_tuned_model is None


def test_a_request_that_is_repeated_makes_one_job(
    client: openai.OpenAI, served: Served, world: World
) -> None:
    file = upload(client, rows_of(world.benign(1, 0)))
    again = {"x-stainless-retry-count": "1"}
    made = [
        client.fine_tuning.jobs.create(model="organism", training_file=file, extra_headers=headers)
        for headers in ({}, again, {})
    ]
    assert made[0].id == made[1].id != made[2].id
    for job in (made[0], made[2]):
        finished(client, job.id)


def test_a_job_keeps_its_rows_when_their_file_is_deleted(
    client: openai.OpenAI, service: Service, long_job: Callable[[], str]
) -> None:
    blocking = long_job()
    content = jsonl([GOOD] * 2 + [{**GOOD, "of": "its own"}])
    file = client.files.create(file=("x", content), purpose="fine-tune")
    job = client.fine_tuning.jobs.create(model="organism", training_file=file.id)
    client.files.delete(file.id)
    client.fine_tuning.jobs.cancel(blocking)
    assert finished(client, job.id).status == "succeeded"


def test_pages_hold_everything_once_and_newest_first(
    client: openai.OpenAI, world: World, long_job: Callable[[], str]
) -> None:
    blocking = long_job()
    file = upload(client, rows_of(world.benign(1, 0)))
    made = [
        client.fine_tuning.jobs.create(
            model="organism", training_file=file, metadata={"n": str(i), "of": "pages"}
        ).id
        for i in range(5)
    ]
    mine = list(client.fine_tuning.jobs.list(limit=2, metadata={"of": "pages"}))
    assert [job.id for job in mine] == made[::-1]
    assert mine[0].metadata == {"n": "4", "of": "pages"}
    page = client.fine_tuning.jobs.list(limit=5, metadata={"of": "pages"})
    assert page.has_more is False
    events = [event.id for event in client.fine_tuning.jobs.list_events(made[0], limit=1)]
    assert len(events) == len(set(events)) >= 1
    for job_id in (*made, blocking):
        client.fine_tuning.jobs.cancel(job_id)


@pytest.mark.parametrize(
    ("changed", "error", "param"),
    [
        ({"model": "nobody"}, openai.NotFoundError, "model"),
        ({"training_file": "../../etc/passwd"}, openai.BadRequestError, "training_file"),
        ({"method": {"type": "dpo"}}, openai.BadRequestError, "method.type"),
        ({"suffix": "a/../b"}, openai.BadRequestError, "suffix"),
        ({"seed": -1}, openai.BadRequestError, "seed"),
        ({"metadata": {"k" * 65: "v"}}, openai.BadRequestError, None),
        ({"extra_body": {"mooring": {"tuning": "none"}}}, openai.BadRequestError, "mooring.tuning"),
        ({"extra_body": {"weights": 1}}, openai.BadRequestError, "weights"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(
    client: openai.OpenAI, changed: dict[str, Any], error: type[openai.APIStatusError],
    param: str | None,
) -> None:  # fmt: skip
    file = client.files.create(file=("x", jsonl([GOOD])), purpose="fine-tune")
    given: dict[str, Any] = {"model": "organism", "training_file": file.id, **changed}
    with pytest.raises(error) as caught:
        client.fine_tuning.jobs.create(**given)
    if param:
        assert caught.value.param == param


def test_the_rows_of_the_client_are_those_that_are_tuned_on(world: World) -> None:
    rows = rows_of(world.benign(2, 0))
    assert [line["messages"][-1]["content"] for line in chat_lines(rows)] == [
        row.messages[-1].content for row in rows
    ]
