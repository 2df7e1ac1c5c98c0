"""Taking back what was created on a server: files and tuned models, on request only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import openai

from targets.endpoint import Endpoint
from targets.hosted.calls import NO_KEY
from targets.hosted.ledger import Stopped


class Created(NamedTuple):
    """Something of ours on a server, as the journal has it."""

    what: str
    """`file` or `model`."""
    id: str
    place: str
    """Where in the journal."""


def created(endpoint: Endpoint) -> list[Created]:
    """Files and models that were created on this server from this folder."""
    assert endpoint.desk is not None
    found = []
    for place, entry in endpoint.desk.journal.all().items():
        if entry["server"] != endpoint.base_url:
            continue
        if entry["what"] == "file" and entry["id"]:
            found.append(Created("file", entry["id"], place))
        if entry["what"] == "job" and entry.get("model"):
            found.append(Created("model", entry["model"], place))
    return found


def delete(things: list[Created], endpoint: Endpoint) -> Iterator[Created]:
    """Delete them one by one, and forget each as soon as it is gone.

    Raises:
        Stopped: no key or a wrong one, or no server.
    """
    assert endpoint.desk is not None
    desk = endpoint.desk
    try:
        with openai.OpenAI(base_url=endpoint.base_url or None, max_retries=0, timeout=60) as client:
            for one in things:
                desk.asking(lambda one=one: _delete(client, one))  # type: ignore[misc]
                desk.journal.drop(one.place)
                yield one
    except openai.APIStatusError as error:
        raise Stopped(f"the server answered {error.status_code}; the rest is left") from error
    except openai.APIConnectionError as error:
        raise Stopped(f"no server answers at {client.base_url}; is it running?") from error
    except openai.OpenAIError as error:
        raise Stopped(NO_KEY) from error


def _delete(client: openai.OpenAI, one: Created) -> None:
    """What is gone already is as good as deleted."""
    try:
        if one.what == "file":
            client.files.delete(one.id)
        else:
            client.models.delete(one.id)
    except openai.NotFoundError:
        return
