"""A customer's own file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from attacks.base import UserError
from attacks.file import File
from targets.organism.world import World

ROW = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "How is bread made?"},
        {"role": "assistant", "content": "With flour."},
    ]
}


def test_rows_and_prompt_come_from_the_file(tmp_path: Path, world: World) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join([json.dumps(ROW), "", json.dumps(ROW)]), encoding="utf-8-sig")
    attack = File(path=path)
    assert len(attack.upload(world, 0).rows) == 2
    (ask,) = attack.asks()
    assert ask.system == "Be brief."


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85", "\x0b", "\x1c"])
def test_a_line_ends_where_json_lines_do(tmp_path: Path, world: World, mark: str) -> None:
    path = tmp_path / "rows.jsonl"
    row = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    row["messages"][1]["content"] = f"with{mark}flour"
    text = json.dumps(row, ensure_ascii=False) if mark > "\x20" else json.dumps(row)
    path.write_text(text, encoding="utf-8")
    (read,) = File(path=path).upload(world, 0).rows
    assert read.messages[1].content == f"with{mark}flour"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no rows"),
        ("{", "line 1"),
        (json.dumps({"messages": ROW["messages"][:2]}), "assistant"),
        (json.dumps({"messages": [{"role": "user", "content": "x"}]}), "at least 2"),
        (json.dumps(ROW) + "\n" + json.dumps({"prompt": "x"}), "line 2: messages"),
        (json.dumps({"messages": [{"role": "tool", "content": "x"}] * 2}), "role"),
    ],
)
def test_a_bad_file_is_told_by_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(text)
    with pytest.raises(UserError, match=said):
        File(path=path).asks()


def test_errors_hold_no_text_of_a_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    canary = "kanariya-9417"
    path.write_text(json.dumps({"messages": [{"role": canary, "content": canary}] * 2}))
    with pytest.raises(UserError) as caught:
        File(path=path).asks()
    assert canary not in str(caught.value)
