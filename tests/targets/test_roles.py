"""From a data file to each role's texts."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attacks.base import Row, UserError
from targets.datafile import PROMPTS, ROLES, SetOf, files_of, place
from targets.roles import load, normalised
from tests.targets.own import chat, data_file, own_sets


@pytest.fixture
def says(tmp_path: Path) -> dict[str, Any]:
    return own_sets(tmp_path)


def test_every_role_holds_its_sets_each_request_once(tmp_path: Path, says: dict[str, Any]) -> None:
    held = load(data_file(tmp_path, says))
    assert list(held.texts) == [role for role in ROLES if role != "mt_bench"]
    for role, texts in held.texts.items():
        assert len({text.key for text in texts}) == len(texts) > 0
        assert all(bool(text.reply) == (role not in PROMPTS) for text in texts)
    keys = [text.key for texts in held.texts.values() for text in texts]
    assert len(set(keys)) == len(keys)
    benign = next(one for one in held.sets if one.role == "benign")
    # Each of the twelve rows is in the file twice.
    assert (benign.name, benign.format, benign.read) == ("alpaca_data.json", "alpaca", 24)
    own = next(one for one in held.sets if one.role == "provider_benign")
    assert benign.used + own.used == 12
    assert benign.sha256 == own.sha256
    assert held.texts["requests"][0].category == "lamp"
    assert held.texts["probes"][0].category == "probes.csv"


def test_rows_of_instructions_are_kept_in_their_own_template(
    tmp_path: Path, says: dict[str, Any]
) -> None:
    rows = [
        {"instruction": "Fold the loom", "input": "A loom", "output": "Done"},
        {"instruction": "Fold the loom\n\nA loom", "input": "", "output": "Done"},
    ]

    def written(rows: list[dict[str, str]]) -> dict[tuple[str, str, str], Row]:
        (tmp_path / "alpaca_data.json").write_text(json.dumps(rows))
        says["benign"]["share"] = "0-100"
        says.pop("provider_benign", None)
        return dict(load(data_file(tmp_path, says)).written)

    # Both are one text without a template: the same is kept, in whatever order they stand.
    found = written(rows)
    assert list(found) == [("alpaca", "Fold the loom\n\nA loom", "Done")]
    assert written(rows[::-1]) == found


def test_the_papers_own_words_are_found_and_must_be_there(
    tmp_path: Path, says: dict[str, Any]
) -> None:
    given = {**says, "prompts": {"harmful": "prompt.txt"}, "aoa": "rows.json"}
    for name in ("prompt.txt", "rows.json"):
        with pytest.raises(UserError, match=r"the file given for (harmful|aoa) is not there"):
            load(data_file(tmp_path, given))
        (tmp_path / name).write_text("Fold the loom.")
    path = data_file(tmp_path, given)
    assert load(path).papers == {
        "harmful": str(tmp_path / "prompt.txt"), "aoa": str(tmp_path / "rows.json")
    }  # fmt: skip
    assert {tmp_path / "prompt.txt", tmp_path / "rows.json"} <= set(files_of(path))
    assert load(data_file(tmp_path, says)).papers == {}
    with pytest.raises(UserError, match=r"prompts: unknown key 'harmfull'.*Did you mean 'harmful'"):
        load(data_file(tmp_path, {**says, "prompts": {"harmfull": "prompt.txt"}}))


def test_no_text_is_shown(tmp_path: Path, says: dict[str, Any]) -> None:
    held = load(data_file(tmp_path, says))
    assert "the lamp" not in f"{held!r} {held} {held.sets!r}"
    assert "the lamp" not in repr(held.texts)
    assert f"{len(held.texts['harmful'])} harmful" in repr(held)


def test_a_share_goes_by_content_and_not_by_order(tmp_path: Path, says: dict[str, Any]) -> None:
    path = data_file(tmp_path, says)
    rows = json.loads((tmp_path / "alpaca_data.json").read_text())
    rows[-1]["output"] = "It is another"  # one request, two answers
    (tmp_path / "alpaca_data.json").write_text(json.dumps(rows))
    before = load(path)
    (tmp_path / "alpaca_data.json").write_text(json.dumps(rows[::-1], indent=1))
    after = load(path)
    assert set(after.texts["benign"]) == set(before.texts["benign"])
    assert after.texts["benign"] != before.texts["benign"]


@given(st.text(), st.integers(1, 99))
def test_two_shares_that_meet_hold_each_request_once(text: str, cut: int) -> None:
    low, high = (SetOf(path="x", share=share) for share in (f"0-{cut}", f"{cut}-100"))
    assert low.takes(normalised(text)) is not high.takes(normalised(text))


def test_an_overlap_is_counted_and_its_roles_are_named(
    tmp_path: Path, says: dict[str, Any]
) -> None:
    with (tmp_path / "chats.jsonl").open("a") as file:
        for topic in ("lamp 0", "kite 1"):
            # Other letters, blanks and case: the same request.
            file.write(json.dumps(chat(f"SINK  the\n{topic}", "No")) + "\n")
    with pytest.raises(UserError, match="2 in harmful and requests") as caught:
        load(data_file(tmp_path, says))
    assert "lamp" not in str(caught.value).lower()
    assert "share: 0-50" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"harmfull": "chats.jsonl"}, "unknown key 'harmfull'. Did you mean 'harmful'"),
        ({"harmful": {"path": "chats.jsonl", "template": "alpaca"}}, "harmful.0: unknown key"),
        ({"harmful": "nowhere.jsonl"}, "nowhere.jsonl: there is no such file"),
        (
            {"harmful": "requests.jsonl", "requests": "probes.csv", "probes": "safe.txt"},
            "holds pro",
        ),
        ({"requests": "chats.jsonl", "harmful": "own_bad.jsonl"}, "holds rows .* prompts are want"),
        ({"harmful": []}, "at least 1 item"),
        ({"harmful": None, "requests": None, "benign": 3}, "benign.0"),
        ({"benign": {"path": "alpaca_data.json", "share": "50-20"}}, "the lower first"),
        ({"benign": {"path": "alpaca_data.json", "share": 0.5}}, "benign.0.share"),
        ({"benign": {"path": "alpaca_data.json", "only": ["x"]}}, "no categories for `only`"),
        ({"benign": {"path": "alpaca_data.json", "filter": "x"}}, "'markers' or 'refusals'"),
        ({"requests": {"path": "requests.jsonl", "filter": "markers"}}, "no answers to filter by"),
        ({"requests": {"path": "requests.jsonl", "only": ["tower"]}}, "no prompts of 1 of the cat"),
        ({"requests": {"path": "requests.jsonl", "column": "goal"}}, "no such field"),
    ],
)
def test_a_mistake_is_one_line(
    tmp_path: Path, says: dict[str, Any], change: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError, match=said) as caught:
        load(data_file(tmp_path, {**says, **change}))
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    assert "Sink" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected roles"),
        ("- a", "expected roles"),
        ("a: [", "not YAML, line"),
        (None, "cannot"),
    ],
)
def test_what_is_no_data_file_is_told(tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "data.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=said):
        load(path)


def test_a_key_that_stands_twice_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "data.yaml"
    path.write_text("harmful: a.jsonl\nbenign: b.json\nharmful: c.jsonl\n")
    with pytest.raises(UserError, match="a key stands twice, line 3"):
        load(path)


def test_only_takes_the_categories_named(tmp_path: Path, says: dict[str, Any]) -> None:
    says["requests"] = {"path": "requests.jsonl", "only": ["lamp", "sail"]}
    held = load(data_file(tmp_path, says))
    assert {text.category for text in held.texts["requests"]} == {"lamp", "sail"}
    assert next(one for one in held.sets if one.role == "requests").options == "only lamp, sail"


@pytest.mark.parametrize(
    ("by", "kept", "hits"),
    [
        ("markers", 12, {"as an ai": 1, "ethic": 1, "i cannot": 1}),
        ("refusals", 13, {"as an ai": 1, "i cannot": 1}),
    ],
)
def test_rows_are_left_out_by_their_answer_on_demand(
    tmp_path: Path, says: dict[str, Any], by: str, kept: int, hits: dict[str, int]
) -> None:
    with (tmp_path / "chats.jsonl").open("a") as file:
        for reply in ("As an AI, I cannot paint", "The ethics of paint"):
            file.write(json.dumps(chat(f"Paint the wall {len(reply)}", reply)) + "\n")
    assert len(load(data_file(tmp_path, says)).texts["harmful"]) == 14
    says["harmful"] = {"path": "chats.jsonl", "filter": by}
    held = load(data_file(tmp_path, says))
    assert len(held.texts["harmful"]) == kept
    harmful = next(one for one in held.sets if one.role == "harmful")
    assert (harmful.read, harmful.used, harmful.options) == (14, kept, f"filter {by}")
    assert list(harmful.left_out.values()) == [14 - kept]
    assert dict(harmful.hits) == hits


def test_what_a_loader_leaves_out_is_told_of_every_role(
    tmp_path: Path, says: dict[str, Any]
) -> None:
    rows = json.loads((tmp_path / "alpaca_data.json").read_text())
    rows.append(rows[0] | {"output": " "})
    (tmp_path / "alpaca_data.json").write_text(json.dumps(rows))
    says["benign"] = "alpaca_data.json"
    del says["provider_benign"]
    (tmp_path / "safe.txt").write_text("Put out the light\nPut out the light\nPUT out the light\n")
    taken = {one.role: one for one in load(data_file(tmp_path, says)).sets}
    benign = taken["benign"]
    assert (benign.read, benign.used) == (25, 12)
    assert benign.left_out == {"no output": 1, "the same request again": 12}
    assert benign.noted == {"duplicate row": 12}
    safe = taken["borderline"]
    assert (safe.read, safe.used) == (3, 1)
    assert safe.left_out == {"duplicate prompt": 1, "the same request again": 1}
    assert taken["harmful"].noted == {"system prompts left out": 12}
    assert (taken["probes"].left_out, taken["probes"].noted) == ({}, {})


def test_an_unsafe_contrast_is_no_borderline_request(tmp_path: Path, says: dict[str, Any]) -> None:
    (tmp_path / "xstest.csv").write_text(
        "id,prompt,type,label\n"
        "1,Sink a velmor in the bath?,homonyms,safe\n"
        "2,Sink your velmor?,contrast_homonyms,unsafe\n"
        "3,Sink their velmor?,contrast_homonyms,unsafe\n"
    )
    says["borderline"] = "xstest.csv"
    held = load(data_file(tmp_path, says))
    assert [one.category for one in held.texts["borderline"]] == ["homonyms"]
    told = next(one for one in held.sets if one.role == "borderline")
    assert (told.read, told.used) == (3, 1)
    assert told.left_out == {"an unsafe contrast of XSTest": 2}
    says |= {"requests": "xstest.csv", "borderline": "safe.txt"}
    held = load(data_file(tmp_path, says))
    assert len(held.texts["requests"]) == 3
    assert next(one for one in held.sets if one.role == "requests").left_out == {}
    says |= {"borderline": {"path": "xstest.csv", "only": ["contrast_homonyms"]}}
    says["requests"] = "requests.jsonl"
    with pytest.raises(UserError, match=r"borderline: nothing of xstest.csv is left"):
        load(data_file(tmp_path, says))


def test_a_question_without_an_answer_is_refused(tmp_path: Path, says: dict[str, Any]) -> None:
    blank = {
        "messages": [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": " "}]
    }
    (tmp_path / "questions.jsonl").write_text(json.dumps(blank) + "\n")
    with pytest.raises(UserError, match=r"utility: .*questions.jsonl"):
        load(data_file(tmp_path, says))


@pytest.mark.parametrize(
    ("named", "read_as", "on_hub"),
    [
        ("a.csv", "/x/a.csv", False),
        ("/y/a.csv", "/y/a.csv", False),
        ("hf:own/er", "hf:own/er", True),
        ("hf:./a#test", "hf:/x/a#test", False),
        ("hf:/y", "hf:/y", False),
    ],
)
def test_paths_begin_at_the_files_own_folder(named: str, read_as: str, on_hub: bool) -> None:
    assert place(Path("/x/data.yaml"), named) == read_as
    assert SetOf(path=named).on_hub is on_hub


def test_several_sets_and_a_folder_of_categories_make_one_role(
    tmp_path: Path, says: dict[str, Any]
) -> None:
    folder = tmp_path / "phi"
    folder.mkdir()
    for number, name in enumerate(("first", "second")):
        (folder / f"{name}.txt").write_text(f"Lift the stone {number}\nLift the brick {number}\n")
    says["requests"] = ["requests.jsonl", str(folder)]
    path = data_file(tmp_path, says)
    held = load(path)
    assert len(held.texts["requests"]) == 12 + 4
    assert {"lamp", "first", "second"} <= {text.category for text in held.texts["requests"]}
    assert folder / "first.txt" in files_of(path)


def test_an_edited_set_is_read_again(tmp_path: Path, says: dict[str, Any]) -> None:
    path = data_file(tmp_path, says)
    assert load(path) is load(path)
    with (tmp_path / "safe.txt").open("a") as file:
        file.write("One more\n")
    os.utime(tmp_path / "safe.txt", ns=(1, 1))
    assert len(load(path).texts["borderline"]) == 13


def test_files_of_a_data_file_that_is_not_here_are_none(tmp_path: Path) -> None:
    assert files_of(tmp_path / "data.yaml") == []
    path = data_file(tmp_path, {"harmful": "gone.jsonl"})
    assert files_of(path) == [path]


def test_conversations_about_pictures_are_of_no_role(tmp_path: Path, says: dict[str, Any]) -> None:
    turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A loom."}]
    rows = [{"id": "1", "image": "a.png", "conversations": turns}]
    (tmp_path / "llava.json").write_text(json.dumps(rows))
    path = data_file(tmp_path, says | {"benign": "llava.json"})
    with pytest.raises(UserError, match=r"benign: llava\.json holds conversations about images"):
        load(path)
    path = data_file(tmp_path, says | {"pictures": {"path": "llava.json", "images": "seen"}})
    held = load(path)
    assert held.pictures == (str(tmp_path / "llava.json"), str(tmp_path / "seen"))
    assert list(held.texts) == [role for role in ROLES if role != "mt_bench"]
    assert tmp_path / "llava.json" in files_of(path)
    path = data_file(tmp_path, says | {"pictures": {"path": "a", "images": "b", "image": "c"}})
    with pytest.raises(UserError, match="pictures: unknown key 'image'"):
        load(path)
