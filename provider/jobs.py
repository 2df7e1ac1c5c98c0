"""Fine-tuning jobs, in OpenAI's format."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Annotated, Any, Literal

import pydantic
from fastapi import APIRouter, Header, Request

from attacks.base import Tuning
from attacks.bounds import BatchSize, Epochs
from provider.errors import ApiError, unknown
from provider.records import Event, File, Job, listed, new_id, now
from provider.requests import Asked
from provider.service import Service, Serving
from provider.tuning import BASE_RATE

REPEATED_WITHIN_S = 600
"""# ours: clients give up repeating a request long before"""
routes = APIRouter()
Label = Annotated[str, pydantic.StringConstraints(max_length=64)]
Value = Annotated[str, pydantic.StringConstraints(max_length=512)]
Labels = Annotated[dict[Label, Value], pydantic.Field(max_length=16)]
"""A client's metadata, in OpenAI's bounds."""


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")


class Hyperparameters(_Strict):
    """OpenAI's three, each of them a number or `auto`."""

    # Numbers first: of a number that is out of its range, it is then told what the range is.
    n_epochs: Epochs | Literal["auto"] = "auto"
    batch_size: BatchSize | Literal["auto"] = "auto"
    learning_rate_multiplier: (
        Annotated[float, pydantic.Field(gt=0, le=1 / BASE_RATE, allow_inf_nan=False)]
        | Literal["auto"]
    ) = "auto"


class Supervised(_Strict):
    """Settings of supervised tuning."""

    hyperparameters: Hyperparameters = Hyperparameters()


class Method(_Strict):
    """How to tune; only supervised tuning is done here."""

    type: Literal["supervised"]
    supervised: Supervised = Supervised()


class Extra(_Strict):
    """What OpenAI's format has no words for."""

    tuning: Tuning = "full"
    decay: Annotated[float, pydantic.Field(gt=0, le=1)] = 1.0


class JobRequest(Asked):
    """A job as it is asked for."""

    model: str
    training_file: str
    method: Method | None = None
    hyperparameters: Hyperparameters | None = None
    """OpenAI's older place for them."""
    seed: Annotated[int, pydantic.Field(ge=0, lt=2**31)] | None = None
    suffix: (
        Annotated[str, pydantic.StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
        | None
    ) = None
    metadata: Labels | None = None
    mooring: Extra = Extra()

    def numbers(self) -> dict[str, Any]:
        """The hyperparameters, wherever they stand."""
        given = self.method.supervised.hyperparameters if self.method else self.hyperparameters
        return (given or Hyperparameters()).model_dump()


@routes.post("/fine_tuning/jobs")
def create(
    request: JobRequest,
    service: Serving,
    x_stainless_retry_count: Annotated[int, Header()] = 0,
) -> dict[str, Any]:
    """Queue a job."""
    if not service.has(request.model):
        raise unknown("model", "model")
    digest = hashlib.sha256(request.model_dump_json().encode()).hexdigest()
    # The client sends no idempotency key; that it is asking again, it says.
    if x_stainless_retry_count and (job := _made_already(service, digest)):
        return shown(job)
    # Held until the job is there, so that the rows cannot be deleted in between.
    with service.contents.lock:
        file = service.records.find(File, request.training_file)
        if file is None or file.purpose != "fine-tune":
            raise ApiError(
                400,
                "training_file is not the id of a file uploaded with purpose fine-tune",
                param="training_file",
                code="invalid_file",
            )
        job = Job(
            id=new_id("ftjob-"),
            model=request.model,
            training_file=file.id,
            training_sha256=file.sha256,
            seed=secrets.randbits(31) if request.seed is None else request.seed,
            suffix=request.suffix or "",
            labels=request.metadata or {},
            hyperparameters=request.numbers(),
            tuning=request.mooring.tuning,
            decay=request.mooring.decay,
            request=digest,
        )
        service.records.add(job)
    service.tuner.say(job.id, f"Created fine-tuning job: {job.id}")
    service.tuner.wake()
    return shown(job)


def _made_already(service: Service, digest: str) -> Job | None:
    alike = service.records.all(Job, request=digest)
    return next((job for job in alike if now() - job.created_at < REPEATED_WITHIN_S), None)


@routes.get("/fine_tuning/jobs")
def list_jobs(
    request: Request, service: Serving, after: str | None = None, limit: int = 20
) -> dict[str, Any]:
    """A page of jobs, newest first; `metadata[k]=v` keeps those that say so."""
    matches = ((re.fullmatch(r"metadata\[(.*)\]", k), v) for k, v in request.query_params.items())
    labels = {match[1]: value for match, value in matches if match}
    found, more = service.records.page(Job, after, limit, labels=labels)
    return listed([shown(job) for job in found], more)


@routes.get("/fine_tuning/jobs/{job_id}")
def retrieve(job_id: str, service: Serving) -> dict[str, Any]:
    """One job."""
    return shown(_find(service, job_id))


@routes.post("/fine_tuning/jobs/{job_id}/cancel")
def cancel(job_id: str, service: Serving) -> dict[str, Any]:
    """Drop a job; one that is running stops at its next step."""
    _find(service, job_id)
    job = service.tuner.cancel(job_id)
    if job is None:
        raise ApiError(400, "the job is over already", code="job_not_cancellable")
    return shown(job)


@routes.get("/fine_tuning/jobs/{job_id}/events")
def events(
    job_id: str, service: Serving, after: str | None = None, limit: int = 20
) -> dict[str, Any]:
    """A page of what happened to a job, newest first."""
    _find(service, job_id)
    found, more = service.records.page(Event, after, limit, job_id=job_id)
    return listed([_happened(event) for event in found], more)


@routes.get("/fine_tuning/jobs/{job_id}/checkpoints")
def checkpoints(job_id: str, service: Serving, limit: int = 10) -> dict[str, Any]:
    """The one that is kept: the tuned model, at the end of its training."""
    job = _find(service, job_id)
    told = service.records.all(Event, job_id=job_id, type="metrics")
    if job.fine_tuned_model is None or not told:
        return listed([], has_more=False)
    data = told[-1].data or {}
    checkpoint = {
        "id": f"ftckpt-{job.id.removeprefix('ftjob-')}",
        "object": "fine_tuning.job.checkpoint",
        "created_at": job.finished_at,
        "fine_tuned_model_checkpoint": job.fine_tuned_model,
        "fine_tuning_job_id": job.id,
        # In percent: steps would tell how many rows were left out or added.
        "step_number": 100,
        "metrics": {"step": 100, "train_loss": data["train_loss"]},
    }
    return listed([checkpoint], has_more=False)


def shown(job: Job) -> dict[str, Any]:
    """A job as the client reads it: nothing of what the gates found."""
    numbers = job.hyperparameters
    return {
        "id": job.id,
        "object": "fine_tuning.job",
        "created_at": job.created_at,
        "finished_at": job.finished_at,
        "model": job.model,
        "fine_tuned_model": job.fine_tuned_model,
        "organization_id": "mooring",
        "status": job.status,
        "error": job.error,
        "training_file": job.training_file,
        "validation_file": None,
        "result_files": [],
        "hyperparameters": numbers,
        "method": {"type": "supervised", "supervised": {"hyperparameters": numbers}},
        "seed": job.seed,
        "trained_tokens": job.trained_tokens,
        "estimated_finish": None,
        "integrations": [],
        "metadata": job.labels,
        "mooring": {"tuning": job.tuning, "decay": job.decay},
    }


def _happened(event: Event) -> dict[str, Any]:
    return {
        "id": event.id,
        "object": "fine_tuning.job.event",
        "created_at": event.created_at,
        "level": event.level,
        "message": event.message,
        "type": event.type,
        "data": event.data,
    }


def _find(service: Service, job_id: str) -> Job:
    job = service.records.find(Job, job_id)
    if job is None:
        raise unknown("job")
    return job
