"""Loading and decoding of models that were made elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import GenerationConfig

from attacks.base import Message
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
