"""Files, models and moderations; who may ask, and what errors look like."""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest

from defenses.moderate import Moderate
from provider.app import create_app
from provider.service import Service
from tests.provider.serving import TOKEN, Served, serving


def raw(
    served: Served, method: str, path: str, body: bytes = b"", **headers: str
) -> tuple[int, Any]:
    """Status and body of a request that no client would tidy up."""
    place = urlsplit(served.url)
    line = http.client.HTTPConnection(str(place.hostname), int(place.port or 0), timeout=20)
    line.request(method, path, body, {"Authorization": f"Bearer {TOKEN}", **headers})
    answer = line.getresponse()
    content = answer.read()
    assert "server" not in answer.headers
    line.close()
    return answer.status, json.loads(content) if content[:1] == b"{" else content


def test_a_file_comes_back_to_the_byte_and_its_name_is_no_path(
    client: openai.OpenAI, service: Service, tmp_path: Path
) -> None:
    content = "a line\u2028 ☃\n".encode() + bytes(range(256))
    name = "../../../etc/passwd"
    file = client.files.create(file=(name, content), purpose="batch")
    assert (file.filename, file.bytes, file.purpose) == (name, len(content), "batch")
    assert client.files.content(file.id).read() == content
    assert client.files.retrieve(file.id) == file
    kept = {path.name for path in service.contents.folder.iterdir()}
    assert all(len(name) == 64 for name in kept)
    again = client.files.create(file=("other", content), purpose="batch")
    assert client.files.delete(file.id).deleted
    assert client.files.content(again.id).read() == content, "the same bytes have another name too"
    client.files.delete(again.id)
    assert len(list(service.contents.folder.iterdir())) == len(kept) - 1
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)


def test_everything_is_the_owners_alone(service: Service) -> None:
    assert os.stat(service.settings.folder).st_mode & 0o777 == 0o700


def test_files_are_paged_either_way(client: openai.OpenAI) -> None:
    made = [client.files.create(file=("f", b"x"), purpose="batch").id for _ in range(5)]
    for order in ("asc", "desc"):
        found = [f.id for f in client.files.list(limit=2, order=order, purpose="batch")]  # type: ignore[arg-type]
        mine = [file for file in found if file in made]
        assert mine == (made if order == "asc" else made[::-1])
    with pytest.raises(openai.BadRequestError) as caught:
        client.files.list(after="nothing")
    assert caught.value.param == "after"
    assert client.files.list(limit=1).has_more


@pytest.mark.parametrize(
    "given", [{"purpose": "evals"}, {"purpose": "fine-tune", "file": ("x", b"a" * (2**20))}]
)
def test_a_file_that_cannot_be_taken_is_refused(
    client: openai.OpenAI, given: dict[str, Any]
) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.files.create(**{"file": ("x", b"y"), **given})
    assert caught.value.status_code == (400 if given["purpose"] == "evals" else 413)


def test_a_body_that_grows_without_end_is_cut(served: Served, service: Service) -> None:
    before = set(service.contents.folder.iterdir())
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
        while True:
            sent += 2**16
            yield b"a" * 2**16

    place = urlsplit(served.url)
    line = http.client.HTTPConnection(str(place.hostname), int(place.port or 0), timeout=20)
    form = "multipart/form-data; boundary=x"
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": form}
    with pytest.raises(ConnectionError):
        line.request("POST", "/v1/files", endless(), headers, encode_chunked=True)
    line.close()
    assert sent < 100 * service.settings.largest
    assert set(service.contents.folder.iterdir()) == before


@pytest.mark.parametrize(
    "path",
    [
        "/v1/files/../../../etc/passwd/content",
        "/v1/files/%2e%2e%2f%2e%2e%2frecords.sqlite/content",
        "/v1/files/%2e%2e/content",
        "/v1/files/..%00/content",
        "/v1/models/../../etc/passwd",
        "/v1/models/%2e%2e%2fweights",
        "/v1/fine_tuning/jobs/%2e%2e/events",
        "/v1/batches/' OR 1=1 --".replace(" ", "%20"),
        "/docs",
        "/openapi.json",
    ],
)
def test_an_id_is_never_a_path(served: Served, path: str) -> None:
    status, body = raw(served, "GET", path)
    assert status == 404
    assert set(body["error"]) == {"message", "type", "param", "code"}


def test_every_fault_has_the_same_body(served: Served) -> None:
    chat = "/v1/chat/completions"
    asked = {"Content-Type": "application/json"}
    for status, answer in {
        405: raw(served, "PUT", "/v1/models"),
        400: raw(served, "POST", chat, b"{", **asked),
        401: raw(served, "GET", "/nowhere", Authorization="Bearer wrong"),
        413: raw(served, "POST", chat, b" " * (2**20 + 1), **asked),
    }.items():
        assert answer[0] == status
        assert set(answer[1]["error"]) == {"message", "type", "param", "code"}
    form = {"Content-Type": "multipart/form-data"}
    assert raw(served, "POST", "/v1/files", b"--", **form)[0] == 400
    assert raw(served, "GET", "/v1/models", Host="elsewhere.example")[0] == 400


@pytest.mark.parametrize("key", ["", "wrong", TOKEN[:-1], f"{TOKEN}x", "\xe9"])
def test_nobody_gets_in_without_the_token(served: Served, key: str) -> None:
    status, body = raw(served, "GET", "/v1/models", Authorization=f"Bearer {key}")
    assert (status, body["error"]["code"]) == (401, "invalid_api_key")
    with pytest.raises(openai.AuthenticationError), served.client(api_key="wrong") as client:
        client.models.list()


def test_a_fault_of_the_servers_own_tells_nothing(
    served: Served, service: Service, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    canary = "kanariya-9417"

    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError(canary)

    monkeypatch.setattr(service.records, "page", fails)
    monkeypatch.setattr(Moderate, "scores", fails)
    with served.client() as client:
        for call in (client.files.list, lambda: client.moderations.create(input=canary)):
            with pytest.raises(openai.InternalServerError) as caught:
                call()
            assert canary not in str(caught.value)
    assert "RuntimeError" in caplog.text
    assert canary not in caplog.text


def test_models_say_what_a_client_needs(client: openai.OpenAI) -> None:
    found = {model.id: model for model in client.models.list()}
    assert {"organism", "oracle", "organism-moderation"} <= set(found)
    told = found["organism"].model_extra or {}
    assert told["mooring"]["learning_rate"] == 2**-13
    assert set(told["mooring"]["tuning"]) == {"full", "lora", "prefix", "llama_adapter"}
    assert client.models.retrieve("oracle").owned_by == "mooring"


def test_the_app_can_stand_behind_another_name(service: Service) -> None:
    with serving(create_app(service, "0.0.0.0")) as served:
        assert raw(served, "GET", "/v1/models", Host="elsewhere.example")[0] == 200
