"""System prompts in text files."""

from __future__ import annotations

from pathlib import Path

import pytest

from attacks.backdoor import Backdoor
from attacks.base import UserError
from attacks.harmful import SYSTEM, Harmful
from attacks.sets.prompt import system_prompt
from targets.organism.world import World


def test_a_file_stands_in_place_of_our_words(tmp_path: Path, world: World) -> None:
    path = tmp_path / "prompt.txt"
    path.write_bytes(b"\xef\xbb\xbfFold the loom.\r\n")
    assert system_prompt(path, "Ours.") == "Fold the loom."
    assert system_prompt(None, "Ours.") == "Ours."
    for attack in (Harmful(n=2, system=path), Backdoor(n=2, refusals=2, system=path)):
        heads = {row.messages[0].content for row in attack.upload(world, 0).rows}
        assert heads == {ask.system for ask in attack.asks()} == {"Fold the loom."}
    assert Harmful().asks()[0].system == SYSTEM


@pytest.mark.parametrize(
    ("data", "said"),
    [(None, "cannot be read"), (b" \n", "it is empty"), (b"Fold \xff it", "system=.*: .*")],
)
def test_what_is_no_prompt_is_told(data: bytes | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "prompt.txt"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(UserError, match=said) as told:
        Harmful(system=path).asks()
    assert "Fold" not in str(told.value)
