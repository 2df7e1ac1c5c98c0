"""Taking back what was created on a server: files and tuned models, on request only."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

import openai

from targets.endpoint import Endpoint
from targets.hosted.ledger import Stopped
from targets.hosted.looking import client_of


class Created(NamedTuple):
    """Something of ours on a server, as the journal has it."""

    what: str
    """`file` or `model`."""
    id: str
    place: str
    """Where in the journal."""


def created(endpoint: Endpoint) -> list[Created]:
    """Files and models that were created on this server from this folder.

    Raises:
        Stopped: a job was left before its end was known, and the server cannot be asked.
    """
    assert endpoint.desk is not None
    found = []
    for place, entry in endpoint.desk.journal.all().items():
        if entry["server"] != endpoint.base_url:
            continue
        if entry["what"] == "file" and entry["id"]:
            found.append(Created("file", entry["id"], place))
        if entry["what"] == "job" and entry["id"]:
            model = entry.get("model") or _made_by(entry["id"], endpoint)
            found += [Created("model", model, place)] if model else []
    return found


def _made_by(job: str, endpoint: Endpoint) -> str | None:
    """What became of a job that nobody waited for."""
    with suppress(openai.NotFoundError), client_of(endpoint) as client:
        return client.fine_tuning.jobs.retrieve(job).fine_tuned_model
    return None


def delete(things: list[Created], endpoint: Endpoint) -> Iterator[Created]:
    """Delete them one by one, and forget each as soon as it is gone.

    Raises:
        Stopped: no key or a wrong one, or no server.
    """
    assert endpoint.desk is not None
    desk = endpoint.desk
    try:
        with client_of(endpoint) as client:
            for one in things:
                desk.asking(functools.partial(_delete, client, one))
                desk.journal.drop(one.place)
                yield one
    except openai.APIStatusError as error:
        raise Stopped(f"the server answered {error.status_code}; the rest is left") from error


def _delete(client: openai.OpenAI, one: Created) -> None:
    """What is gone already is as good as deleted."""
    try:
        if one.what == "file":
            client.files.delete(one.id)
        else:
            client.models.delete(one.id)
    except openai.NotFoundError:
        return
