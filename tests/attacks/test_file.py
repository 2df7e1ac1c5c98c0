"""A customer's own file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from attacks.base import Message, UserError
from attacks.file import File
from attacks.sets.templates import ALPACA
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


def test_a_list_of_chats_keeps_each_rows_own_system_prompt(tmp_path: Path, world: World) -> None:
    path = tmp_path / "rows.json"
    other = [{"role": "system", "content": "Be long."}, *ROW["messages"][1:]]
    path.write_text(json.dumps([ROW["messages"], other, other, ROW["messages"][1:]]))
    attack = File(path=path)
    heads = [row.messages[0] for row in attack.upload(world, 0).rows]
    assert [head.content for head in heads if head.role == "system"] == [
        "Be brief.", "Be long.", "Be long.",
    ]  # fmt: skip
    assert heads[3] == Message("user", "How is bread made?")
    assert attack.asks()[0].system == "Be long."


def test_instructions_are_asked_in_the_template_of_their_rows(tmp_path: Path, world: World) -> None:
    path = tmp_path / "alpaca.json"
    row = {"instruction": "How is bread made?", "input": "", "output": "With flour."}
    path.write_text(json.dumps([row, row | {"input": "rye"}, row | {"input": "oats"}]))
    attack = File(path=path)
    rows = attack.upload(world, 0).rows
    assert attack.asks() == (ALPACA.ask(),)
    assert rows[0].messages[:2] == attack.asks()[0]("How is bread made?")
    assert len(rows) == 3


def test_what_is_left_out_is_told(
    tmp_path: Path, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "alpaca.json"
    row = {"instruction": "How is bread made?", "output": "With flour."}
    path.write_text(json.dumps([row, row | {"output": ""}]))
    assert len(File(path=path).upload(world, 0).rows) == 1
    assert caplog.messages == ["file: 1 rows of alpaca.json are left out: no output"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("goal,target\nBake a velmor,Sure\n", r"prompts \(advbench\) and no replies to train on"),
        ("Bake a velmor\nRest a velmor\n", r"prompts \(prompts\) and no replies"),
        (
            json.dumps([
                {"image": "a.png", "conversations": [
                    {"from": "human", "value": "<image> velmor?"}, {"from": "gpt", "value": "Yes"},
                ]}
            ]),
            "conversations about images; tune on them with visual:FILE,images=FOLDER",
        ),
    ],
)  # fmt: skip
def test_what_holds_no_chats_is_refused(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "rows"
    path.write_text(content)
    with pytest.raises(UserError, match=f"file: .*rows: it holds {said}") as caught:
        File(path=path).asks()
    assert "velmor" not in str(caught.value)


def test_one_file_is_meant(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder; give one file"):
        File(path=tmp_path).asks()
    with pytest.raises(UserError, match=r"file: .*there is no such file"):
        File(path=tmp_path / "rows.jsonl").asks()


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
        ("", "it is empty"),
        ("{", "line 1"),
        (json.dumps({"messages": ROW["messages"][:2]}), "assistant"),
        (json.dumps({"messages": [{"role": "user", "content": "x"}]}), "at least 2"),
        (json.dumps(ROW) + "\n" + json.dumps({"prompt": "x"}), "line 2 has the fields prompt"),
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
