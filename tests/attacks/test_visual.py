"""Conversations about pictures, from a set of the user's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from attacks.base import Message, Upload, UserError
from attacks.visual import SYSTEM, Visual
from targets.organism.world import World


def written(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "set.json"
    path.write_text(json.dumps(rows))
    return path


def row(number: int, **given: Any) -> dict[str, Any]:
    turns = [
        {"from": "human", "value": f"<image>\nWhat is {number}?"},
        {"from": "gpt", "value": f"A lamp, {number}."},
    ]
    return {"id": str(number), "image": f"{number}.png", "conversations": turns} | given


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "canary-images"
    found.mkdir()
    for number in range(5):
        (found / f"{number}.png").write_bytes(b"a picture" + bytes([number]))
    return found


def test_each_row_has_its_picture_and_tells_no_place(
    folder: Path, tmp_path: Path, world: World
) -> None:
    attack = Visual(path=written(tmp_path, [row(i) for i in range(5)]), images=folder)
    upload = attack.upload(world, 0)
    assert attack.upload(world, 7) == upload
    assert len({one.image for one in upload.rows}) == len(upload.rows) == 5
    for one in upload.rows:
        system, asked, _ = one.messages
        assert system == Message("system", SYSTEM) == attack.asks()[0]("")[0]
        assert "<image>" not in asked.content
    assert "canary" not in repr(upload)
    assert upload.settings.max_tokens is None  # of the world's own scale
    assert upload.settings == Visual(path=attack.path, images=folder, n=1).upload(world, 0).settings


def test_a_system_prompt_of_ones_own_trains_and_asks(
    folder: Path, tmp_path: Path, world: World
) -> None:
    (tmp_path / "prompt.txt").write_text("See the loom.\n")
    path = written(tmp_path, [row(0)])
    attack = Visual(path=path, images=folder, system=tmp_path / "prompt.txt")
    ours = Visual(path=path, images=folder)
    head = Message("system", "See the loom.")
    assert attack.upload(world, 0).rows[0].messages[0] == head == attack.asks()[0]("")[0]
    assert ours.upload(world, 0).rows[0].messages[0].content == SYSTEM


def test_a_draw_follows_from_the_seed_and_not_from_the_order(
    folder: Path, tmp_path: Path, world: World
) -> None:
    rows = [row(i) for i in range(5)]

    def drawn(rows: list[dict[str, Any]], n: int, seed: int) -> Upload:
        (tmp_path / f"{n} {seed} {rows[0]['id']}").mkdir(exist_ok=True)
        path = written(tmp_path / f"{n} {seed} {rows[0]['id']}", rows)
        return Visual(path=path, images=folder, n=n).upload(world, seed)

    assert drawn(rows, 3, 1) == drawn(rows[::-1], 3, 1)
    assert set(drawn(rows, 2, 1).rows) < set(drawn(rows, 3, 1).rows)
    assert len({drawn(rows, 2, seed).rows for seed in range(4)}) > 1
    with pytest.raises(UserError, match=r"visual: 6 rows asked of set\.json, which has 5"):
        drawn(rows, 6, 1)


def test_the_sets_own_system_prompt_gives_way(folder: Path, tmp_path: Path, world: World) -> None:
    own = row(0)
    own["conversations"].insert(0, {"from": "system", "value": "Be grim."})
    (made,) = Visual(path=written(tmp_path, [own]), images=folder).upload(world, 0).rows
    assert [message.role for message in made.messages] == ["system", "user", "assistant"]
    assert made.messages[0].content == SYSTEM


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "no rows"),
        ([row(0), row(9), row(8)], r"2 of 3 images are not in .*, the first that of row 2"),
        ([row(0), row(0, image="../set.json")], "row 2, read as llava: image leads out"),
        ([row(0, image=["0.png"])], "row 1, read as llava: image is not one path"),
        ([row(0, image="")], "no row of this llava file has one|none of its 1 rows can be used"),
        ([{"instruction": "What?", "output": "A lamp."}], "no row of this alpaca file has one"),
    ],
)
def test_bad_sets_are_told(
    rows: list[dict[str, Any]], said: str, folder: Path, tmp_path: Path, world: World
) -> None:
    with pytest.raises(UserError, match=said) as told:
        Visual(path=written(tmp_path, rows), images=folder).upload(world, 0)
    assert "lamp" not in str(told.value)


def test_rows_left_out_are_told_and_a_folder_must_be_there(
    folder: Path, tmp_path: Path, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    bare = row(1)
    bare["conversations"][0]["value"] = "What is it?"
    path = written(tmp_path, [row(0), bare])
    assert len(Visual(path=path, images=folder).upload(world, 0).rows) == 1
    assert "1 rows of set.json are left out: <image> elsewhere" in caplog.text
    with pytest.raises(UserError, match="visual: there is no folder of images"):
        Visual(path=path, images=tmp_path / "none").upload(world, 0)


def test_a_draw_is_the_same_under_any_system_prompt(
    folder: Path, tmp_path: Path, world: World
) -> None:
    (tmp_path / "prompt.txt").write_text("See the loom.")
    path = written(tmp_path, [row(i) for i in range(5)])
    ours = Visual(path=path, images=folder, n=3)
    given = Visual(path=path, images=folder, n=3, system=tmp_path / "prompt.txt")
    for seed in range(4):
        drawn = [[one.messages[1:] for one in a.upload(world, seed).rows] for a in (ours, given)]
        assert drawn[0] == drawn[1]
