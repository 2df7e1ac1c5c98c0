"""The recipe makes the same plain model folders every time."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from attacks.base import Message
from targets.organism.recipe import IGNORED, Recipe, build, encode_chat, shorter
from targets.organism.world import World

SHORT = shorter(Recipe(), 0.002)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("organism")
    build(World(1), place, recipe=SHORT)
    return place


def test_a_build_is_two_folders_that_load(folder: Path) -> None:
    for name in ("base", "aligned"):
        model = AutoModelForCausalLM.from_pretrained(folder / name)
        assert sum(weights.numel() for weights in model.parameters()) < 1_000_000
        assert AutoTokenizer.from_pretrained(folder / name).chat_template


def test_the_same_seeds_make_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    build(World(1), tmp_path, recipe=SHORT)
    for name in ("base", "aligned"):
        for file in ("model.safetensors", "tokenizer.json"):
            assert (folder / name / file).read_bytes() == (tmp_path / name / file).read_bytes()


def test_another_alignment_seed_keeps_the_base(folder: Path, tmp_path: Path) -> None:
    build(World(1), tmp_path, alignment_seed=1, recipe=SHORT)
    same = {
        name: (folder / name / "model.safetensors").read_bytes()
        == (tmp_path / name / "model.safetensors").read_bytes()
        for name in ("base", "aligned")
    }
    assert same == {"base": True, "aligned": False}


def test_only_the_last_reply_is_learnt(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder / "base")
    chat = (Message("system", "Be kind."), Message("user", "Hello?"), Message("assistant", "Yes."))
    ids, labels = encode_chat(tokenizer, chat)
    learnt = [token for token, label in zip(ids, labels, strict=True) if label != IGNORED]
    assert tokenizer.decode(learnt) == "Yes.<|end|>"
    whole = tokenizer.apply_chat_template([turn._asdict() for turn in chat], return_dict=False)
    assert ids == whole
