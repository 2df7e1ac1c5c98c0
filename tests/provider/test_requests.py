"""Texts that no UTF-8 can hold, and names of other servers: refused in words, and never a fault."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from provider.app import create_app
from provider.service import Service
from tests.provider.serving import Served, jsonl, serving
from tests.provider.test_files import raw

HALF = "\ud800"
SAID = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
CHAT: dict[str, Any] = {"model": "organism", "messages": SAID[:1]}
BATCH = {"input_file_id": "x", "endpoint": "/v1/moderations", "completion_window": "24h"}


def asked(served: Served, path: str, body: Any) -> tuple[int, Any]:
    headers = {"Content-Type": "application/json"}
    return raw(served, "POST", f"/v1/{path}", json.dumps(body).encode(), **headers)


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("chat/completions", {**CHAT, "model": HALF}, "model"),
        ("chat/completions", {**CHAT, "user": HALF}, "user"),
        ("chat/completions", {**CHAT, "metadata": {HALF: "a"}}, "metadata"),
        ("chat/completions", {**CHAT, "messages": [{"role": "user", "content": HALF}]},
         "messages.0.content"),
        ("chat/completions", {**CHAT, HALF: 1}, None),
        ("chat/completions", HALF, None),
        ("moderations", {"input": HALF}, "input"),
        ("moderations", {"input": ["a", HALF]}, "input.1"),
        ("moderations", {"input": "a", "model": f"organism-moderation{HALF}"}, "model"),
        ("batches", {**BATCH, "input_file_id": HALF}, "input_file_id"),
        ("batches", {**BATCH, "metadata": {"a": HALF}}, "metadata.a"),
        ("fine_tuning/jobs", {"model": HALF, "training_file": "x"}, "model"),
        ("fine_tuning/jobs", {"model": "organism", "training_file": HALF}, "training_file"),
        ("fine_tuning/jobs", {"model": "organism", "training_file": "x", "suffix": HALF},
         "suffix"),
    ],
)  # fmt: skip
def test_half_of_a_pair_is_refused(served: Served, path: str, body: Any, param: str | None) -> None:
    status, answer = asked(served, path, body)
    assert (status, answer["error"]["code"]) == (400, "invalid_value")
    assert answer["error"]["param"] == param


@pytest.mark.parametrize(
    ("name", "value", "most"),
    [
        ("n_epochs", 10**9, 1000),
        ("batch_size", 10**9, 4096),
        ("learning_rate_multiplier", 1e9, 8192),
    ],
)
def test_a_number_out_of_its_range_is_told_with_it(
    served: Served, name: str, value: float, most: int
) -> None:
    body = {"model": "organism", "training_file": "x", "hyperparameters": {name: value}}
    status, answer = asked(served, "fine_tuning/jobs", body)
    assert (status, answer["error"]["param"]) == (400, f"hyperparameters.{name}")
    assert f"less than or equal to {most}" in answer["error"]["message"]


def test_a_job_with_half_of_a_pair_in_its_labels(served: Served, client: openai.OpenAI) -> None:
    content = jsonl([{"messages": SAID}])
    file = client.files.create(file=("x", content), purpose="fine-tune").id
    body = {"model": "organism", "training_file": file, "metadata": {"a": HALF}}
    assert asked(served, "fine_tuning/jobs", body)[0] == 400


def test_whole_pairs_are_read(served: Served) -> None:
    said = [{"role": "user", "content": "a \U0001f600"}]
    assert asked(served, "chat/completions", {**CHAT, "messages": said})[0] == 200


@pytest.mark.parametrize(
    ("charset", "name"),
    [("unicode_escape", b"\\ud800"), ("utf-7", b"+2AA-"), ("punycode", b"\xff-99999999999")],
)
def test_a_files_name_is_text_in_every_charset(served: Served, charset: str, name: bytes) -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="'
    body = head + b'purpose"\r\n\r\nbatch\r\n' + head + b'file"; filename="' + name
    body += b'"\r\n\r\nabc\r\n--x--\r\n'
    form = {"Content-Type": f"multipart/form-data; boundary=x; charset={charset}"}
    status, answer = raw(served, "POST", "/v1/files", body, **form)
    assert status == 400
    assert set(answer["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    "host", ["elsewhere.example", "", "[::1", "127.0.0.1:x", "a@127.0.0.1", "localhost.example"]
)
def test_another_servers_name_is_refused_in_openais_words(served: Served, host: str) -> None:
    status, answer = raw(served, "GET", "/v1/models", Host=host)
    assert (status, answer["error"]["code"]) == (400, "invalid_host")
    assert answer["error"]["type"] == "invalid_request_error"
    assert set(answer["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1", "[::1]:9", "[::1]"])
def test_the_names_of_this_machine_are_its_own(served: Served, host: str) -> None:
    assert raw(served, "GET", "/v1/models", Host=host)[0] == 200


def test_a_host_that_is_listened_on_is_its_own(service: Service) -> None:
    with serving(create_app(service, "Mine.example")) as other:
        assert raw(other, "GET", "/v1/models", Host="mine.example:8471")[0] == 200
        assert raw(other, "GET", "/v1/models", Host="theirs.example")[0] == 400
