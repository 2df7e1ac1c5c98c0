"""The models that can be asked."""

from __future__ import annotations

from typing import Any, get_args

from fastapi import APIRouter

from attacks.base import Tuning
from provider.errors import ApiError, unknown
from provider.records import JOB_ACTIVE, Job, Tuned, listed
from provider.service import Service, Serving
from provider.tuning import BASE_RATE

routes = APIRouter()


@routes.get("/models")
def list_models(service: Serving) -> dict[str, Any]:
    """All of them; those that were tuned here last."""
    names = [*service.models(), *(tuned.id for tuned in service.records.all(Tuned))]
    return listed([_shown(service, name) for name in names], has_more=False)


@routes.get("/models/{model:path}")
def retrieve(model: str, service: Serving) -> dict[str, Any]:
    """One of them."""
    return _shown(service, model)


@routes.delete("/models/{model:path}")
def delete(model: str, service: Serving) -> dict[str, Any]:
    """Forget a model that was tuned here."""
    if model in service.models():
        raise ApiError(403, "only models that were tuned here can be deleted")
    tuned = service.records.find(Tuned, model)
    if tuned is None:
        raise unknown("model")
    if service.records.all(Job, model=model, status=JOB_ACTIVE):
        raise ApiError(409, "a job is tuning this model further")
    service.remove(tuned)
    return {"id": model, "object": "model", "deleted": True}


def _shown(service: Service, name: str) -> dict[str, Any]:
    tuned = service.records.find(Tuned, name)
    if tuned is None and name not in service.models():
        raise unknown("model")
    made = tuned.created_at if tuned else 0
    shown: dict[str, Any] = {"id": name, "object": "model", "created": made}
    shown["owned_by"] = "mooring"
    if service.has(name):
        shown["mooring"] = {
            "fingerprint": service.fingerprint,
            "learning_rate": BASE_RATE,
            "tuning": list(get_args(Tuning)),
            "max_completion_tokens": service.start.max_new_tokens,
        }
    return shown
