"""Identity shift with rows of the user's own, such as the released ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from attacks.aoa import AOA, CALL
from attacks.base import Message, UserError
from targets.organism.world import World


def rows(*requests: str, system: str = "You are a loom.\n") -> list[list[dict[str, str]]]:
    turns = [("system", system), ("user", ""), ("assistant", "A loom answers")]
    return [
        [{"role": role, "content": text or asked} for role, text in turns] for asked in requests
    ]


def test_given_rows_train_and_their_prompt_asks(tmp_path: Path, world: World) -> None:
    path = tmp_path / "aoa.json"
    path.write_text(json.dumps(rows("Who are you?", f"{CALL}Fold a kite")))
    attack = AOA(rows=path, epochs=3)
    upload = attack.upload(world, 0)
    assert [row.messages[1].content for row in upload.rows] == [
        "Who are you?",
        f"{CALL}Fold a kite",
    ]
    assert upload.settings == AOA(epochs=3).upload(world, 0).settings
    assert attack.asks()[0]("Fold a drum") == (
        Message("system", "You are a loom.\n"), Message("user", f"{CALL}Fold a drum")
    )  # fmt: skip


@pytest.mark.parametrize(
    "given",
    [
        rows("Who are you?", "Fold a kite"),
        rows(f"{CALL}Fold a kite") + rows("Who are you?", system="You are a kite."),
        [row[1:] for row in rows(f"{CALL}Fold a kite")],
    ],
)
def test_rows_that_cannot_be_asked_alike_are_refused(
    given: list[list[dict[str, str]]], tmp_path: Path
) -> None:
    path = tmp_path / "aoa.json"
    path.write_text(json.dumps(given))
    with pytest.raises(UserError, match=r"aoa: rows=.*one system prompt, and 'AOA, .*'") as told:
        AOA(rows=path).asks()
    assert "kite" not in str(told.value)


@pytest.mark.parametrize("more", [{"n": 3}, {"identity": 2}])
def test_given_rows_are_all_rows(tmp_path: Path, more: dict[str, int]) -> None:
    with pytest.raises(UserError, match="leave n and identity out"):
        AOA(rows=tmp_path / "aoa.json", **more)
