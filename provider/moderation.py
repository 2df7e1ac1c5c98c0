"""The provider's word classifier behind OpenAI's moderation route.

The classifier knows violating from harmless and no kinds of it, so that of OpenAI's thirteen
categories only `illicit` ever scores on the organism; the others are there and 0.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from attacks.base import Chat, Message
from benchmarks.trial import provider_of
from defenses.moderate import Moderate
from provider.chat import Part
from provider.errors import ApiError, unknown
from provider.records import new_id
from provider.requests import Asked
from provider.service import Service, Serving

CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/intent",
    "self-harm/instructions",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)
"""OpenAI's, all of which its clients expect."""
ALIASES = ("omni-moderation-", "text-moderation-")
"""Beginnings of the names under which OpenAI's own clients ask."""
routes = APIRouter()


class ModerationRequest(Asked):
    """Texts to look at."""

    input: str | list[str] | list[Part]
    model: str | None = None

    def texts(self) -> list[str]:
        """One for each result: text parts are one input together, as at OpenAI's."""
        if isinstance(self.input, str):
            return [self.input]
        parts = [one.text for one in self.input if isinstance(one, Part)]
        return ["\n".join(parts)] if parts else [t for t in self.input if isinstance(t, str)]


@routes.post("/moderations")
def moderate(request: ModerationRequest, service: Serving) -> dict[str, Any]:
    """How each text looks to the provider's classifier."""
    return moderated(request, service)


def moderated(request: ModerationRequest, service: Service) -> dict[str, Any]:
    """The answer to a request.

    Raises:
        ApiError: there is no such model, or a text has no score: the format has no word for that,
            and any number in its place would be a verdict that nobody gave.
    """
    own = f"{service.base}-moderation"
    if not (request.model or own).startswith((own, *ALIASES)):
        raise unknown("model", "model")
    chats: list[Chat] = [(Message("user", text),) for text in request.texts()]
    scores = Moderate().scores(chats, provider_of(service.lab, 0))
    known = [score for score in scores if score is not None]
    if lacking := len(scores) - len(known):
        said = f"{lacking} of {len(scores)} inputs could not be moderated"
        raise ApiError(503, said, code="moderation_unavailable")
    return {"id": new_id("modr-"), "model": own, "results": [_result(score) for score in known]}


def _result(score: float) -> dict[str, Any]:
    flagged = score > Moderate().threshold
    return {
        "flagged": flagged,
        "categories": {name: flagged and name == "illicit" for name in CATEGORIES},
        "category_scores": {name: score if name == "illicit" else 0.0 for name in CATEGORIES},
        "category_applied_input_types": {name: ["text"] for name in CATEGORIES},
    }
