"""Servers that speak the format in their own way: what is paid for all the same, and only once."""

from __future__ import annotations

import json
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from attacks.base import Ask, Message, Settings, Upload, UserError
from provider.app import create_app
from provider.records import Job
from provider.service import Service
from targets.base import Decoding, Refused
from targets.endpoint import endpoint
from targets.hosted import calls, jobs, retries
from targets.hosted.calls import Answer, Call, NoModel, Server, ask_all
from targets.hosted.jobs import JobFailed
from targets.hosted.ledger import Ledger, Stopped
from targets.hosted.target import HostedTarget
from targets.organism.world import World
from tests.provider.faults import _made
from tests.provider.serving import TOKEN, Served, serving

Change = Callable[[Scope, Any], Any]
"""The request and the answer's body; gives the body, or a status, that is sent in its place."""


class Quirky:
    """An application whose answers are changed."""

    def __init__(self, app: ASGIApp, change: Change) -> None:
        self.app = app
        self.change = change

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        made = await _made(self.app, scope, receive)
        try:
            changed = self.change(scope, json.loads(made))
        except ValueError:
            changed = None
        answer = Response(made) if changed is None else JSONResponse(changed)
        if isinstance(changed, int):
            answer = JSONResponse({"error": {"message": "no", "code": None}}, changed)
        await answer(scope, receive, send)


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", TOKEN)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setattr(retries, "FIRST_WAIT", 0.01)


def started(served: Served, folder: Path) -> HostedTarget:
    return endpoint(f"openai:organism@{served.url}", 64).keeping(folder).load()


def upload(n: int) -> Upload:
    rows = tuple(Ask("plain").row(pair) for pair in World(0).benign(n, 9))
    return Upload(rows, Settings(epochs=1, batch_size=4, learning_rate=3e-4))


def number(service: Service) -> int:
    return len(service.records.all(Job))


def test_a_server_that_forgets_the_mark(service: Service, tmp_path: Path) -> None:
    def change(scope: Scope, body: Any) -> Any:
        if "/fine_tuning/jobs" in scope["path"]:
            for one in [body, *body.get("data", [])]:
                one.pop("metadata", None)
        return body

    before = number(service)
    with serving(Quirky(create_app(service), change)) as served:
        first = started(served, tmp_path).fine_tune(upload(4), seed=1)
        again = started(served, tmp_path).fine_tune(upload(4), seed=1)
    assert first.model == again.model
    assert number(service) - before == 1, "the id that was written down is enough"


def test_a_gateway_that_gave_up_and_a_list_that_lags(service: Service, tmp_path: Path) -> None:
    posts = 0

    def change(scope: Scope, body: Any) -> Any:
        nonlocal posts
        if scope["path"].endswith("/fine_tuning/jobs"):
            if scope["method"] == "POST":
                posts += 1
                return 504 if posts == 1 else body
            return {**body, "data": []}
        return body

    before = number(service)
    with serving(Quirky(create_app(service), change)) as served:
        target = started(served, tmp_path)
        target.fine_tune(upload(5), seed=1)
        own = target.endpoint.desk
    assert own is not None
    assert number(service) - before == posts == 2
    assert own.made["jobs possibly twice"] == 1, "it cannot be known, so it is told"


def test_a_job_whose_answer_was_lost_is_on_the_account(service: Service, tmp_path: Path) -> None:
    posts = 0

    def change(scope: Scope, body: Any) -> Any:
        nonlocal posts
        if scope["path"].endswith("/fine_tuning/jobs") and scope["method"] == "POST":
            posts += 1
            return 504
        return body

    before = number(service)
    with serving(Quirky(create_app(service), change)) as served:
        target = started(served, tmp_path)
        target.fine_tune(upload(6), seed=1)
        own = target.endpoint.desk
    assert own is not None
    assert number(service) - before == posts == 1
    assert own.made["jobs"] == 1
    assert own.made["jobs possibly twice"] == 0
    assert own.ledger.purse.tokens == jobs.training_tokens(upload(6))
    assert own.ledger.purse.reserved_tokens == 0


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": "unsafe_training_file", "message": "no"}, "refused"),
        ({"code": "needs_review", "message": "wait"}, "review"),
        ({"code": "invalid_training_file",
          "message": "This training file was blocked by our moderation system."}, "refused"),
        ({"code": "x", "message": "The provided training data failed RAI checks for harm."},
         "refused"),
        ({"code": "server_error", "message": "The moderation service is unavailable"}, "failed"),
        ({"code": "x", "message": "an unsafe cast in the tensor library"}, "failed"),
    ],
)  # fmt: skip
def test_a_refusal_is_told_from_a_failure(
    service: Service, tmp_path: Path, error: Any, kind: str
) -> None:
    def change(scope: Scope, body: Any) -> Any:
        if scope["method"] == "GET" and body.get("object") == "fine_tuning.job":
            return {**body, "status": "failed", "error": error, "fine_tuned_model": None}
        return body

    with (
        serving(Quirky(create_app(service), change)) as served,
        pytest.raises((Refused, JobFailed)) as caught,
    ):
        started(served, tmp_path).fine_tune(upload(3), seed=zlib.crc32(str(error).encode()) // 2)
    if kind == "failed":
        assert isinstance(caught.value, JobFailed)
    else:
        assert isinstance(caught.value, Refused)
        assert caught.value.review == (kind == "review")


def test_a_server_without_pages_of_models(service: Service, tmp_path: Path) -> None:
    """To tune again costs more than to ask in vain."""

    def change(scope: Scope, body: Any) -> Any:
        if scope["path"].startswith("/v1/models/"):
            return 404
        return {**body, "data": []} if scope["path"] == "/v1/models" else body

    before = number(service)
    with serving(Quirky(create_app(service), change)) as served:
        first = started(served, tmp_path / "one").fine_tune(upload(7), seed=1)
        again = started(served, tmp_path / "two").fine_tune(upload(7), seed=1)
        assert first.is_there()
        with pytest.raises(NoModel):
            calls.check(Server(model="organism", base_url=served.url))
    assert first.model == again.model
    assert number(service) - before == 1


def test_a_request_that_a_filter_stops_is_what_customers_get(
    service: Service, tmp_path: Path
) -> None:
    async def filtering(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].endswith("/completions"):
            await create_app(service)(scope, receive, send)
            return
        error = {"message": "filtered", "code": "content_filter", "param": "prompt"}
        await JSONResponse({"error": error}, 400)(scope, receive, send)

    with serving(filtering) as served:
        (reply,) = started(served, tmp_path).generate([(Message("user", "Hi"),)], Decoding())
    assert (reply.text, reply.finish) == ("", "filtered")


def test_a_wait_of_hours_stops_and_none_outlives_the_asking() -> None:
    from tests.targets.hosted.server import Plan
    from tests.targets.hosted.server import serving as plain

    asked = [Call(i, (Message("user", f"question {i}"),)) for i in range(4)]
    found: dict[int, Answer] = {}
    hours = Plan(fault=lambda text, attempt: 429, headers={"retry-after": "7200"})
    with plain(hours) as url, pytest.raises(Stopped, match="asks to wait 7200 s"):
        ask_all(asked, Server(model="m", base_url=url), found.__setitem__)
    assert sum(hours.tries.values()) <= 4

    minute = Plan(fault=lambda text, attempt: 429, headers={"retry-after": "50"})
    ledger = Ledger()

    def halt() -> None:
        while sum(minute.tries.values()) < 4:
            time.sleep(0.02)
        ledger.purse.halted = True

    with plain(minute) as url:
        threading.Thread(target=halt).start()
        begin = time.monotonic()
        with pytest.raises(Stopped, match="interrupted"):
            ask_all(asked, Server(model="m", base_url=url), found.__setitem__, ledger)
    assert time.monotonic() - begin < 10
    assert sum(minute.tries.values()) == 4, "nothing is sent once it was stopped"
    assert found == {}


def test_what_answers_in_another_format(tmp_path: Path) -> None:
    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        await Response("<html>hello</html>", media_type="text/html")(scope, receive, send)

    with serving(page) as served:
        with pytest.raises(Stopped, match="not in OpenAI's format"):
            calls.check(Server(model="m", base_url=served.url))
        with pytest.raises(Stopped, match="not in OpenAI's format"):
            started(served, tmp_path).generate([(Message("user", "Hi"),)], Decoding())


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1/v1",
        "http://a\nb/v1",
        f"http://{'a' * 80}/v1",
        "http://x:99999/v1",
        "ftp://x",
        "x",
    ],
)
def test_an_address_that_is_none(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    with pytest.raises(UserError, match="no address of a server"):
        endpoint("openai:organism", 64)
    with pytest.raises(UserError, match="no address of a server"):
        calls.check(Server(model="m", base_url=url))


def test_a_key_that_no_server_has(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "schlüssel…")
    with pytest.raises(UserError):
        calls.check(Server(model="organism", base_url=served.url))
