"""Loading and decoding of models that were made elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GenerationConfig

from attacks.base import Message, UserError
from targets.base import Decoding
from targets.local import LocalTarget, too_large
from targets.organism.world import World
from targets.tuning import GIB

TASTES = {
    "repetition penalty": {"repetition_penalty": 1.8},
    "no repeats": {"no_repeat_ngram_size": 2},
    "length": {"exponential_decay_length_penalty": (2, 5.0)},
}


@pytest.mark.parametrize("taste", TASTES.values(), ids=list(TASTES))
def test_a_checkpoints_own_taste_changes_no_reply(
    tiny_target: LocalTarget, world: World, tmp_path: Path, taste: dict[str, Any]
) -> None:
    tiny_target.save(tmp_path)
    tiny_target.tokenizer.save_pretrained(tmp_path)
    own = GenerationConfig(eos_token_id=1, pad_token_id=0, **taste)
    own.save_pretrained(tmp_path)

    loaded = LocalTarget.load(tmp_path)
    chats = [(Message("user", prompt.text),) for prompt in world.requests()[:8]]
    decoding = Decoding(max_new_tokens=16)
    assert loaded.generate(chats, decoding) == tiny_target.generate(chats, decoding)

    # The test can fail: a model that keeps its taste does answer otherwise.
    loaded.model.generation_config = own
    assert loaded.generate(chats, decoding) != tiny_target.generate(chats, decoding)


def test_a_batch_that_does_not_fit_is_halved_and_told(
    tiny_target: LocalTarget,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    chats = [(Message("user", prompt.text),) for prompt in world.requests()[:150:10]]
    decoding = Decoding(max_new_tokens=6)
    wanted = tiny_target.generate(chats, decoding)
    assert len(set(wanted)) > 3
    sizes: list[int] = []

    def short(most: int) -> Any:
        decode = LocalTarget._decode

        def decoded(self: LocalTarget, prompts: Any, *rest: Any) -> Any:
            sizes.append(len(prompts))
            if len(prompts) > most:
                raise torch.OutOfMemoryError("not one of our words")
            return decode(self, prompts, *rest)

        return decoded

    monkeypatch.setattr(LocalTarget, "_decode", short(4))
    assert tiny_target.generate(chats, decoding) == wanted
    assert sizes == [15, 7, 3, 3, 3, 3, 3]
    assert "15 chats together do not fit the memory; going on with 7" in caplog.text
    monkeypatch.setattr(LocalTarget, "_decode", short(0))
    with pytest.raises(UserError, match="one chat and its reply do not fit the memory"):
        tiny_target.generate(chats, decoding)


def test_a_model_that_does_not_fit_says_what_would(
    tiny_target: LocalTarget, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tiny_target.save(tmp_path)
    tiny_target.tokenizer.save_pretrained(tmp_path)

    def short(self: Any, place: str) -> Any:
        raise torch.OutOfMemoryError("not one of our words")

    monkeypatch.setattr(type(tiny_target.model), "to", short)
    with pytest.raises(UserError, match=r"weights take 0\.0 GiB in float32; give a") as told:
        LocalTarget.load(tmp_path)
    assert "not one of our words" not in str(told.value)


def test_what_would_fit_a_gpu_is_by_its_memory(tiny_target: LocalTarget) -> None:
    held = tiny_target.model.get_memory_footprint()
    billions = tiny_target.model.num_parameters() / 1e9
    small = too_large(tiny_target.model, (held // 4, held // 2))
    assert f"fewer than {billions / 2:.2g} billion, or a larger GPU" in small
    taken = too_large(tiny_target.model, (held // 2, 2 * held))
    assert "End what else uses the GPU" in taken
    assert "larger" not in taken
    huge = too_large(tiny_target.model, (3 * GIB, 4 * GIB))
    assert "3.0 of the GPU's 4.0 GiB are free" in huge


def test_a_shared_beginning_that_does_not_fit_is_read_with_each_chat(
    tiny_target: LocalTarget,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    chats = [(Message("user", prompt.text),) for prompt in world.requests()[:60:10]]
    decoding = Decoding(max_new_tokens=6)
    wanted = tiny_target.generate(chats, decoding)
    read, shared = LocalTarget._read, []

    def short(self: LocalTarget, ids: list[int]) -> Any:
        shared.append(len(ids))
        if ids:
            raise torch.OutOfMemoryError("not one of our words")
        return read(self, ids)

    monkeypatch.setattr(LocalTarget, "_read", short)
    assert tiny_target.generate(chats, decoding) == wanted
    assert shared[0] > 0
    assert shared[1:] == [0]
    assert "what all chats begin with does not fit the memory" in caplog.text
