"""Replies decoded by a server are those of the model it is given, or there are none."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from attacks.base import Message, Upload, UserError
from benchmarks.grid import make_grid
from benchmarks.lab import LabSettings, open_lab
from benchmarks.portable import WITHHELD, portable
from targets.base import Decoding
from targets.hosted.ledger import Stopped
from targets.local import LocalTarget
from targets.organism.world import World
from targets.served import Server, Unserved, fingerprint
from tests.benchmarks.synthetic import example
from tests.targets.decoder import Decoder, decoding

GREEDY = Decoding(max_new_tokens=12)


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none-needed")


@pytest.fixture
def chats(world: World) -> list[Any]:
    return [(Message("user", prompt.text),) for prompt in world.requests()[:4]]


@pytest.fixture(scope="module")
def tuned(tiny_target: LocalTarget, make_upload: Callable[..., Upload]) -> LocalTarget:
    return tiny_target.fine_tune(make_upload(learning_rate=0.02))


@contextmanager
def serving(target: LocalTarget, tmp_path: Path, **how: Any) -> Iterator[tuple[Any, Decoder]]:
    """A function that puts a model behind the server, and the server, which has the start model."""
    decoder = Decoder(target.tokenizer, target.model, **how)
    with decoding(decoder) as url:
        server = Server(url, tmp_path / "served")

        def behind(one: LocalTarget) -> LocalTarget:
            served = one.here()
            served.server = server
            return served

        yield behind, decoder


def test_a_server_that_is_given_the_weights_says_what_we_say(
    tiny_target: LocalTarget, tuned: LocalTarget, chats: list[Any], tmp_path: Path
) -> None:
    begun = [(*chat, Message("assistant", "I am")) for chat in chats[:2]]
    with serving(tiny_target, tmp_path) as (behind, decoder):
        for one in (tuned, tiny_target, tuned):
            served = behind(one)
            assert served.generate(chats, GREEDY) == one.generate(chats, GREEDY)
            # Prompts are tokens, so that a reply can be begun for the model here, too.
            assert served.generate(begun, GREEDY) == one.generate(begun, GREEDY)
    assert tuned.generate(chats, GREEDY) != tiny_target.generate(chats, GREEDY)
    assert len(decoder.paths) == 3, "weights that the server has are not sent again"
    assert not any(Path(path).exists() for path in decoder.paths)
    assert {Path(path).parent for path in decoder.paths} == {tmp_path / "served"}
    body = decoder.bodies[-1]
    assert (body["temperature"], body["top_p"], body["repetition_penalty"]) == (0, 1, 1)
    assert body["prompt"] in [tuned.prompt(chat) for chat in begun]


def test_what_is_tuned_from_a_served_model_is_served(
    tiny_target: LocalTarget, make_upload: Callable[..., Upload], chats: list[Any], tmp_path: Path
) -> None:
    with serving(tiny_target, tmp_path) as (behind, decoder):
        made = behind(tiny_target).fine_tune(make_upload(tuning="lora"))
        assert made.server is not None
        assert made.generate(chats, GREEDY) == made.here().generate(chats, GREEDY)
        assert len(decoder.paths) == 1
        assert made.generate([], GREEDY) == []
        beside = behind(tiny_target).fine_tune(make_upload(tuning="prefix"))
        with pytest.raises(UserError, match="adapter stays beside it"):
            beside.generate(chats, GREEDY)


@pytest.mark.parametrize(
    ("how", "error", "said"),
    [
        ({"takes": False}, Stopped, "answers 404; --generate-with takes a server of SGLang's"),
        ({"honest": False}, Unserved, "does not answer as the model it was given"),
        ({"shift": 1}, Unserved, "does not answer as the model it was given"),
        ({"stolen": True}, Unserved, "somebody else gave the server other weights"),
        ({"broken": True}, Unserved, "replies could not be had: 4 times the server broke off"),
        ({"refuses": 400}, Unserved, "replies could not be had: 4 times the server answered 400"),
    ],
)
def test_a_server_of_another_model_gives_no_reply(
    tiny_target: LocalTarget, tuned: LocalTarget, chats: list[Any], tmp_path: Path,
    how: dict[str, Any], error: type[UserError], said: str,
) -> None:  # fmt: skip
    with serving(tiny_target, tmp_path, **how) as (behind, _):
        for _again in range(2):  # nor is a server believed that has kept the weights
            with pytest.raises(error, match=said) as told:
                behind(tuned).generate(chats, GREEDY)
    assert told.value.exit_code == 4
    assert not any(chat[0].content in str(told.value) for chat in chats)
    assert [path.name for path in (tmp_path / "served").iterdir()] == ["lock"]


def test_no_server_and_no_address_are_told(
    tiny_target: LocalTarget, chats: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match="no address of a server"):
        Server("localhost", tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "")
    with pytest.raises(Stopped, match="set OPENAI_API_KEY"):
        Server("http://127.0.0.1:9/v1", tmp_path).check()
    monkeypatch.setenv("OPENAI_API_KEY", "none-needed")
    served = tiny_target.here()
    served.server = Server("http://127.0.0.1:9/v1", tmp_path)
    with pytest.raises(Stopped, match=re.escape("no server answers at http://127.0.0.1:9;")):
        served.generate(chats, GREEDY)


def test_every_change_of_a_weight_names_other_weights(tiny_target: LocalTarget) -> None:
    from targets.adapters import twin

    model = twin(tiny_target.model)
    one = LocalTarget(model, tiny_target.tokenizer)
    assert fingerprint(one) == fingerprint(tiny_target)
    weight = next(iter(model.state_dict().values())).view(-1)
    with torch.no_grad():
        weight[3] = torch.nextafter(weight[3], torch.tensor(1.0))
    assert fingerprint(one) != fingerprint(tiny_target)


def test_a_bench_keeps_what_a_server_decoded_apart(tiny_judge: Path, tmp_path: Path) -> None:
    url = "http://127.0.0.1:9/v1"
    plain = LabSettings(str(tiny_judge), ("refusal",), tmp_path / "store", None, True)
    here = open_lab(plain, may_make=False)
    there = open_lab(plain._replace(generate_with=url), may_make=False)
    assert (here.decoded(), here.start().key) == ([], there.start().key)
    assert there.decoded()
    server = there.start()().server  # type: ignore[attr-defined]
    assert (server.url, server.folder) == (url, tmp_path / "store" / "served")
    assert here.start()().server is None  # type: ignore[attr-defined]
    assert "decoded by a server" in there.resolved.start.caveats()[0]
    assert here.resolved.start.caveats() == []
    with pytest.raises(UserError, match="weights are here"):
        make_grid(["aoa"], [], target="openai:m", judges=["refusal"], generate_with=url)
    with pytest.raises(UserError, match="no address"):
        make_grid(["aoa"], [], judges=["refusal"], generate_with="there")
    grid = make_grid(["aoa"], [], judges=["refusal"], generate_with=url).settings()
    told = portable(example(prompts=11, seeds=1, few=True), grid).grid
    assert told["generate_with"] == WITHHELD
    assert "generate_with" not in make_grid(["aoa"], [], judges=["refusal"]).settings()
