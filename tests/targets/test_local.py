"""Loading and decoding of models that were made elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GenerationConfig

from attacks.base import Message, UserError
from targets.base import Decoding
from targets.local import LocalTarget
from targets.organism.world import World

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
