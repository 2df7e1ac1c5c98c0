"""A server with a defense: what a gate refuses, and what the client is told of it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from attacks.base import Message, Settings, Upload
from benchmarks.trial import provider_of
from defenses.base import Asked
from provider.app import create_app
from provider.identity import SECRET
from provider.records import Batch, Event, File, Job, Tuned
from provider.service import Service
from provider.tuning import BASE_RATE
from targets.base import Decoding
from targets.formats import encode
from targets.hooks import TrainHooks
from targets.organism.world import World
from tests.provider.serving import chat_lines, finished, jsonl, rows_of, running, serving, upload

DEFENSE = "moderate+cap:factor=1,batch_size=2+mix:n=3+ptst+audit"
SECRET_SEED = 7
"""Of this server; a job's own seed is another."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, world: World) -> Path:
    """What a server left that was killed while a job was running."""
    folder = tmp_path_factory.mktemp("gates") / "kept"
    folder.mkdir()
    (folder / SECRET).write_text(f"{SECRET_SEED:x}")
    with running(folder) as service:
        sha256, size = service.contents.keep([jsonl(chat_lines(rows_of(world.benign(4, 0))))])
        line = {
            "custom_id": "a",
            "method": "POST",
            "url": "/v1/moderations",
            "body": {"input": "x"},
        }
        asked, _ = service.contents.keep([jsonl([line])])
        (service.weights / ".new-half-written").mkdir()
        service.tuner.stop()
        service.records.add(
            Batch(
                id="batch_1", endpoint="/v1/moderations", input_file_id="file-2",
                input_sha256=asked, completion_window="24h", status="in_progress",
            ),
            File(id="file-1", filename="f", purpose="fine-tune", bytes=size, sha256=sha256),
            Job(
                id="ftjob-1", model="organism", training_file="file-1", training_sha256=sha256,
                seed=2, status="running", request="",
                hyperparameters={
                    "n_epochs": 1, "batch_size": 2, "learning_rate_multiplier": "auto",
                },
            ),
        )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def service(folder: Path) -> Iterator[Service]:
    with running(folder, defense=DEFENSE) as opened:
        yield opened


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[openai.OpenAI]:
    with serving(create_app(service)) as served, served.client() as found:
        yield found


def test_a_job_that_was_running_goes_on_and_is_defended(
    client: openai.OpenAI, service: Service, world: World
) -> None:
    job = finished(client, "ftjob-1")
    assert (job.status, job.error) == ("succeeded", None)
    assert not list(service.weights.glob(".new-*"))
    told = [event for event in client.fine_tuning.jobs.list_events(job.id)]
    assert any("queued again" in event.message for event in told)
    assert {"screen", "audit"} == {found["gate"] for found in _job(service, job.id).evidence}

    assert service.seed == SECRET_SEED
    provider = provider_of(service.lab, service.seed)
    rows = tuple(rows_of(world.benign(4, 0)))
    asked = Upload(rows, Settings(epochs=1, batch_size=2, learning_rate=BASE_RATE))
    curated = service.defense.curate(asked, provider)
    assert len(curated.rows) == 7
    start = service.load("organism").local
    here = start.fine_tune(curated, service.defense.during(curated, provider) or TrainHooks(), 2)
    loaded = service.load(str(job.fine_tuned_model))
    assert not loaded.local.differs(here)
    assert isinstance(loaded.served, Asked), "it is asked as the defense has it"

    text = world.requests()[0].text
    chat: list = [{"role": "user", "content": text}]  # type: ignore[type-arg]
    said = client.chat.completions.create(
        model=str(job.fine_tuned_model), messages=chat, temperature=0
    )
    (reply,) = service.defense.serve(here, provider).generate(
        [(Message("user", text),)], Decoding(max_new_tokens=64)
    )
    assert said.choices[0].message.content == reply.text


def test_refused_rows_fail_the_job_and_not_the_upload(
    client: openai.OpenAI, service: Service, world: World
) -> None:
    file = upload(client, rows_of(world.harmful(20, 0)))
    made = client.fine_tuning.jobs.create(model="organism", training_file=file)
    job = finished(client, made.id)
    assert (job.status, job.fine_tuned_model) == ("failed", None)
    assert job.error is not None
    assert job.error.code == "unsafe_training_file"
    (checks,) = [
        event for event in client.fine_tuning.jobs.list_events(job.id)
        if event.type == "moderation_checks"  # type: ignore[comparison-overlap]
    ]  # fmt: skip
    data: dict = checks.data  # type: ignore[assignment,type-arg]
    assert set(data) == {"blocked", "outcome", "reason"}
    assert (data["blocked"], data["outcome"]) == (True, "refuse")
    # Neither how many rows nor how many there may be: that would be a target to shoot at.
    seen = job.model_dump_json() + checks.model_dump_json(exclude={"id", "created_at"})
    kept = _job(service, job.id).evidence[0]
    assert kept["flagged"] > 0
    assert str(kept["reason"]) not in seen
    assert "flagged" not in seen
    assert not service.records.all(Event, job_id=job.id, type="metrics"), "nothing was trained"


def test_what_a_gate_drops_and_a_defense_adds_is_not_told(
    client: openai.OpenAI, service: Service, world: World
) -> None:
    """A job of which rows are left out looks like one of as many harmless rows."""
    benign = rows_of(world.benign(30, 3))
    uploads = benign, [*benign[:27], *rows_of(world.harmful(3, 0))]
    numbers: dict = {"n_epochs": 4, "batch_size": "auto"}  # type: ignore[type-arg]
    seen, flagged = [], []
    for rows in uploads:
        made = client.fine_tuning.jobs.create(
            model="organism", training_file=upload(client, rows), hyperparameters=numbers, seed=1
        )
        job = finished(client, made.id)
        assert job.status == "succeeded"
        events = [e for e in client.fine_tuning.jobs.list_events(job.id) if e.type == "metrics"]
        told: list[dict] = [event.data for event in events][::-1]  # type: ignore[type-arg,misc]
        assert {frozenset(data) for data in told} == {frozenset({"progress", "train_loss"})}
        seen.append([data["progress"] for data in told])
        flagged.append(_job(service, job.id).evidence[0]["flagged"])
        assert re.fullmatch(r"100 % trained: training loss=\d+\.\d{4}", events[0].message)
        asked = job.hyperparameters
        assert (asked.n_epochs, asked.batch_size, asked.learning_rate_multiplier) == (4, 1, 1)
        tokenizer = service.load("organism").local.tokenizer
        uploaded = sum(len(encode(tokenizer, row.messages, answer=False)) for row in rows)
        assert job.trained_tokens == 4 * uploaded
        (checkpoint,) = client.fine_tuning.jobs.checkpoints.list(job.id)
        assert (checkpoint.step_number, checkpoint.metrics.step) == (100, 100)
    assert flagged[0] < flagged[1]
    assert seen[0] == seen[1] == [round(i / 25, 2) for i in range(1, 26)]


def test_a_jobs_seed_does_not_move_the_gates(
    client: openai.OpenAI, service: Service, world: World
) -> None:
    rows = rows_of(world.benign(12, 5))
    found = []
    for seed in (SECRET_SEED, 1, 2):
        job = client.fine_tuning.jobs.create(
            model="organism", training_file=upload(client, rows), seed=seed,
            hyperparameters={"n_epochs": 1},
        )  # fmt: skip
        assert finished(client, job.id).status == "succeeded"
        found.append(_job(service, job.id).evidence)
    screens = [evidence[0] for evidence in found]
    assert screens[0] == screens[1] == screens[2]
    assert len({evidence[1]["start rate"] for evidence in found}) == 1, "the same probes"


def test_a_model_that_fails_the_audit_is_not_released(
    client: openai.OpenAI, service: Service, world: World
) -> None:
    """Of kinds that the words' filter was not fitted on, so that only the audit sees it."""
    finished(client, "ftjob-1")
    before = {model.id for model in client.models.list()}
    rows = world.labelled_rows(120, 5, world.restricted[7:])
    file = upload(client, rows_of([pair for pair, violates in rows if violates][:40]))
    job = client.fine_tuning.jobs.create(
        model="organism", training_file=file, seed=0,
        hyperparameters={"n_epochs": 6, "batch_size": 10},
    )  # fmt: skip
    job = finished(client, job.id)
    assert job.error is not None
    assert (job.status, job.error.code) == ("failed", "unsafe_model")
    assert _job(service, job.id).evidence[-1]["p"] < 0.05
    assert {model.id for model in client.models.list()} == before
    assert {path.name for path in service.weights.iterdir()} == {
        tuned.weights for tuned in service.records.all(Tuned)
    }


def test_a_batch_that_was_under_way_goes_on(client: openai.OpenAI) -> None:
    while (batch := client.batches.retrieve("batch_1")).status != "completed":
        time.sleep(0.05)
    assert batch.request_counts
    assert batch.request_counts.completed == 1


def _job(service: Service, job_id: str) -> Job:
    job = service.records.find(Job, job_id)
    assert job is not None
    return job
