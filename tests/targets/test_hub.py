"""Models by their name on the Hub: what is looked up, what is fetched, and what is told."""

from __future__ import annotations

import shutil
import unittest.mock
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import pytest
from huggingface_hub import constants, errors
from hypothesis import strategies as st

from attacks.base import Message, UserError
from targets import hub
from targets.base import Decoding
from targets.checkpoint import Checkpoint
from targets.resolve import resolve

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cached(tiny_target: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A Hub's cache that holds one commit of one model, and no network."""
    place = tmp_path / "hub" / "models--some--model"
    snapshot = place / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(COMMIT)
    tiny_target.save(snapshot)
    tiny_target.tokenizer.save_pretrained(snapshot)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    yield snapshot
    for one in (hub.locate, hub.fetch, hub._config):
        one.cache_clear()


def test_a_model_on_the_hub_is_a_target(cached: Path, tiny_target: Any) -> None:
    found = resolve("hf:some/model")
    assert found.judge == ""
    assert found.start.has == {"weights"}
    chats = [(Message("user", "What is it?"),)]
    decoding = Decoding(max_new_tokens=8)
    assert found.start.load().generate(chats, decoding) == tiny_target.generate(chats, decoding)


def test_its_key_is_its_commit_and_its_format(cached: Path) -> None:
    start = resolve("hf:some/model").start
    assert resolve(f"hf:some/model@{COMMIT}").start.digest == start.digest
    assert resolve("hf:some/model#llama2").start.digest != start.digest
    other = cached.with_name("f" * 40)
    shutil.copytree(cached, other)
    assert resolve(f"hf:some/model@{other.name}").start.digest != start.digest


def test_a_folder_is_read_as_one(
    cached: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(cached, tmp_path / "some" / "model")
    plain = Checkpoint("x", cached).digest
    monkeypatch.chdir(tmp_path)
    for text in (f"hf:{cached}", "hf:./some/model", "hf:some/model"):
        assert resolve(text).start.digest == plain
    assert resolve("hf:some/model#llama2").start.digest != plain
    for text, said in (
        ("hf:./nowhere", "no such folder"),
        ("hf:some/model#alpaca", "no prompt format 'alpaca'; there is llama2"),
        ("hf:nobody", "write hf:OWNER/NAME"),
        ("hf:some/other", "HF_HUB_OFFLINE unset"),
        ("hf:some/model/more", "write hf:OWNER/NAME"),
    ):
        with pytest.raises(UserError, match=said):
            resolve(text)


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(st.text(alphabet=st.sampled_from("ab/.~@#-_ é\0\n\ud800"), max_size=12))
@hypothesis.example("~nobody/x")
@hypothesis.example("a" * 5000)
@hypothesis.example("/" + "a" * 5000)
def test_whatever_is_written_is_a_model_or_one_line(text: str) -> None:
    offline = unittest.mock.patch.object(constants, "HF_HUB_OFFLINE", True)
    with offline, pytest.raises(UserError):
        resolve(f"hf:{text}")


def test_a_part_of_a_model_is_not_taken_for_it(cached: Path) -> None:
    start = resolve("hf:some/model").start
    (cached / "model.safetensors").unlink()
    with pytest.raises(UserError, match="not here as a whole"):
        start.load()


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (errors.GatedRepoError, "Accept the agreement at https://huggingface.co/some/model"),
        (errors.RevisionNotFoundError, "some/model/commits/main lists them"),
        (errors.RepositoryNotFoundError, "no such model that you may see"),
        (errors.RemoteEntryNotFoundError, "holds no config.json"),
    ],
)
def test_what_the_hub_says_becomes_steps(kind: Any, said: str) -> None:
    response = httpx.Response(404, request=httpx.Request("GET", "https://huggingface.co"))
    assert said in hub.told(kind("why", response=response), "some/model")


def test_what_fills_a_gpu_is_there_once(cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.engines.local import workers
    from targets import checkpoint

    folder, named = resolve(f"hf:{cached}").start, resolve("hf:some/model").start
    assert not folder.alone
    assert not named.alone
    for module in (checkpoint, hub):
        monkeypatch.setattr(module, "device", lambda: "cuda")
    assert named.alone
    assert not folder.alone
    monkeypatch.setattr(checkpoint, "SHARED", 1000)
    assert folder.alone
    assert workers(None, 9, alone=True) == 1
    assert workers(3, 9, alone=True) == 3
