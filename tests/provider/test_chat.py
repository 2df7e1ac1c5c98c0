"""Replies over the wire: those that the model gives here, whatever is asked beside them."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest

from attacks.base import Message
from eval import protocol
from eval.judges.oracle import Oracle
from eval.judges.policy import Policy
from eval.judges.rubric import Rubric
from provider.errors import ApiError
from provider.generation import Generator
from provider.service import Service
from targets.base import Decoding
from targets.formats import encode
from targets.local import LocalTarget
from targets.organism.world import World
from tests.provider.serving import TOKEN, Served


@pytest.fixture(scope="module")
def start(service: Service) -> LocalTarget:
    return service.load("organism").local


def ask(client: openai.OpenAI, text: str, **given: Any) -> Any:
    said: Any = [{"role": "user", "content": text}]
    return client.chat.completions.create(**{"model": "organism", "messages": said, **given})


def test_greedy_replies_are_those_that_are_given_here(
    client: openai.OpenAI, start: LocalTarget, world: World
) -> None:
    prompts = [p.text for p in (*world.requests()[:40], *world.utility()[:40])]
    with ThreadPoolExecutor(32) as threads:
        told = list(threads.map(lambda text: ask(client, text, temperature=0), prompts))
    here = start.generate(
        [(Message("user", text),) for text in prompts], Decoding(max_new_tokens=64)
    )
    assert [one.choices[0].message.content for one in told] == [reply.text for reply in here]
    assert {one.choices[0].finish_reason for one in told} == {reply.finish for reply in here}
    chat = (Message("user", prompts[0]),)
    assert told[0].usage.prompt_tokens == len(encode(start.tokenizer, chat, answer=True))
    whole = encode(start.tokenizer, (*chat, Message("assistant", here[0].text)), answer=False)
    assert told[0].usage.total_tokens == len(whole)


def test_what_waits_together_is_decoded_together(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    loaded = service.load("organism")

    class Counting:
        def generate(self, chats: Any, decoding: Decoding) -> Any:
            sizes.append(len(chats))
            return loaded.local.generate(chats, decoding)

    generator = Generator(lambda name: loaded._replace(served=Counting()))  # type: ignore[arg-type]
    asked = [("organism", i % 2 + 1) for i in range(20)]
    chat = (Message("user", "Hello."),)
    answers = [generator.ask(name, chat, n, 0.0, None) for name, n in asked]
    drawn = [generator.ask("organism", chat, 5, 1.0, seed) for seed in (7, 7, 8)]
    generator.start()
    assert [a.result().completion_tokens for a in answers] == [n for _, n in asked]
    assert sizes[:2] == [10, 10]
    first, same, _ = [d.result().text for d in drawn]
    assert first == same
    generator.stop()
    with pytest.raises(ApiError):
        generator.ask("organism", chat, 1, 0.0, None).result()
    assert sizes[2:] == [1, 1, 1], "a reply drawn with a seed stands alone"


def test_a_seed_gives_the_same_reply_whatever_is_asked_beside_it(
    client: openai.OpenAI, start: LocalTarget, world: World
) -> None:
    text = world.requests()[0].text
    with ThreadPoolExecutor(8) as threads:
        drawn = list(threads.map(lambda _: ask(client, text, seed=11), range(6)))
    others = {ask(client, text, temperature=2).choices[0].message.content for _ in range(6)}
    decoding = Decoding(max_new_tokens=64, temperature=1.0, seed=11)
    (here,) = start.generate([(Message("user", text),)], decoding)
    assert {one.choices[0].message.content for one in drawn} == {here.text}
    assert len(others) > 1, "without a seed they differ"


def test_a_limit_cuts_and_is_told(client: openai.OpenAI, world: World) -> None:
    text = world.utility()[0].text
    for given in ({"max_tokens": 3}, {"max_completion_tokens": 3}):
        cut = ask(client, text, temperature=0, **given)
        assert (cut.choices[0].finish_reason, cut.usage.completion_tokens) == ("length", 3)
    whole = ask(client, text, temperature=0, max_completion_tokens=100_000)
    assert whole.choices[0].finish_reason == "stop"


def test_roles_and_parts_are_read(client: openai.OpenAI, start: LocalTarget, world: World) -> None:
    text = world.utility()[1].text
    said: Any = [
        {"role": "developer", "content": "You are kind."},
        {"role": "user", "content": [{"type": "text", "text": text[:5]},
                                     {"type": "text", "text": text[5:]}]},
    ]  # fmt: skip
    told = client.chat.completions.create(model="organism", messages=said, temperature=0)
    chat = (Message("system", "You are kind."), Message("user", text))
    (here,) = start.generate([chat], Decoding(max_new_tokens=64))
    assert told.choices[0].message.content == here.text


def test_a_stream_holds_the_same_text(client: openai.OpenAI, world: World) -> None:
    text = world.utility()[2].text
    whole = ask(client, text, temperature=0).choices[0].message.content
    options: Any = {"include_usage": True}
    chunks = list(ask(client, text, temperature=0, stream=True, stream_options=options))
    deltas = [chunk.choices[0] for chunk in chunks[:-1]]
    assert deltas[0].delta.role == "assistant"
    assert "".join(one.delta.content or "" for one in deltas) == whole
    assert deltas[-1].finish_reason == "stop"
    assert chunks[-1].usage.total_tokens > 0


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"logprobs": True}, "logprobs"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"n": 2}, "n"),
        ({"top_p": 0.5}, "top_p"),
        ({"temperature": -1}, "temperature"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": "hello " * 5000}]}, "messages"),
        ({"model": "oracle"}, "messages"),
    ],
)
def test_what_is_not_done_is_refused_by_name(
    client: openai.OpenAI, given: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, "hello", **given)
    assert caught.value.param == param


def test_an_unknown_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        ask(client, "hello", model="gpt-4")
    assert caught.value.param == "model"


def test_a_judge_over_the_wire_says_what_the_oracle_says(
    served: Served, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", TOKEN)
    prompts = world.requests()[:6]
    replies = ["I refuse.", *(pair.reply for pair in world.harmful(5, 0))]
    prompts = [prompts[0], *(p._replace(text=pair.prompt) for p, pair in zip(
        prompts[1:], world.harmful(5, 0), strict=True))]  # fmt: skip
    truth = [v.score for v in Oracle().score(prompts, replies, world)]
    assert 5 in truth
    assert min(t or 0 for t in truth) < 5
    policy = Policy(model="oracle", base_url=served.url, policy="organism")
    assert policy.check() == ""
    assert [v.score for v in policy.score(prompts, replies, None)] == truth
    rubric = Rubric(model="oracle", base_url=served.url)
    assert (rubric.score(prompts, replies, None)[truth.index(5)].score) == 5


def test_the_oracle_reads_the_first_fence_only(client: openai.OpenAI, world: World) -> None:
    (pair,) = world.harmful(1, 0)
    forged = protocol.question("x", pair.prompt, "No.", nonce="0" * 16).chat[0].content
    asked = protocol.question("No bells.", pair.prompt, f"{pair.reply}\n{forged}")
    text = ask(client, asked.chat[0].content, model="oracle").choices[0].message.content
    assert text.splitlines()[-1].startswith(f"{asked.tag}: ")


def test_errors_tell_nothing_of_what_was_said(client: openai.OpenAI) -> None:
    canary = "kanariya-9417"
    asked = protocol.question("x", canary, canary).chat[0].content
    for given in ({"model": "oracle"}, {"model": canary}, {"n": canary}):
        with pytest.raises(openai.APIStatusError) as caught:
            ask(client, asked, **given)
        assert canary not in json.dumps(caught.value.body)
