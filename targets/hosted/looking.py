"""What a server says of its models, which costs nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import openai
from openai.types import Model

from targets.endpoint import Endpoint
from targets.hosted.calls import NO_KEY
from targets.hosted.desk import Told
from targets.hosted.ledger import Stopped

QUICK = 20.0
"""Seconds for an answer that is only looked up."""


@contextmanager
def client_of(endpoint: Endpoint, timeout: float = 120.0) -> Iterator[openai.OpenAI]:
    """A client that tries once; what would fail every request alike is told in one line.

    Raises:
        Stopped: no key or a wrong one, or no server.
    """
    try:
        url = endpoint.base_url or None
        with openai.OpenAI(base_url=url, max_retries=0, timeout=timeout) as client:
            yield client
    except openai.APIStatusError as error:
        if error.status_code in (401, 403):
            raise Stopped("the server refuses the key; check OPENAI_API_KEY") from error
        raise
    except openai.APIConnectionError as error:
        raise Stopped(f"no server answers at {client.base_url}; is it running?") from error
    except openai.OpenAIError as error:
        raise Stopped(NO_KEY) from error


def is_there(client: openai.OpenAI, model: str, base: str) -> bool:
    """Whether a server still has a tuned model.

    A server that says nothing of its models, not even of the base, is taken to have it: to tune
    again costs more than to ask in vain.
    """
    try:
        client.models.retrieve(model)
    except openai.NotFoundError:
        listed = {one.id for one in client.models.list()}
        return model in listed or base not in listed
    return True


def offered(client: openai.OpenAI, model: str) -> dict[str, Any]:
    """What a server tells of itself beside the format: its rate, a fingerprint; nothing, mostly."""
    try:
        found = client.models.retrieve(model)
    except openai.NotFoundError:
        return {}
    told = (found.model_extra or {}).get("mooring") if isinstance(found, Model) else None
    return told if isinstance(told, dict) else {}


def told_by(endpoint: Endpoint) -> Told:
    """What a server says of itself.

    Raises:
        Stopped: it cannot be asked.
    """
    try:
        with client_of(endpoint, QUICK) as client:
            found = offered(client, endpoint.model)
    except openai.APIStatusError:
        return Told()
    fingerprint = found.get("fingerprint", "")
    return Told(
        fingerprint if isinstance(fingerprint, str) else "", bool(found.get("learning_rate"))
    )
