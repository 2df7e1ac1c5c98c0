"""Files in the formats of the field: what each reads as, and how what is wrong is told."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
import os
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attacks.base import Message, Pair, UserError
from attacks.sets.base import Set
from attacks.sets.formats import FORMATS
from attacks.sets.read import read
from attacks.sets.tables import table_of
from attacks.sets.templates import ALPACA, DOLLY, PREAMBLE, PREAMBLE_WITH_INPUT, TEMPLATES

ASK, REPLY = "How is a velmor baked?", "With flour, slowly."
U, A, S = (
    {"role": role, "content": text}
    for role, text in (("user", ASK), ("assistant", REPLY), ("system", "Be brief."))
)
ALPACA_ROW = {"instruction": ASK, "input": "", "output": REPLY}
DOLLY_ROW = {"instruction": ASK, "context": "", "response": REPLY, "category": "open_qa"}
TURNS = [{"from": "human", "value": f"<image>\n{ASK}"}, {"from": "gpt", "value": REPLY}]
LLAVA_ROW = {"id": "1", "image": "a/b.jpg", "conversations": TURNS}
SECRET = "Zanthic"  # stands for a text that no message may hold


def put(folder: Path, content: Any, name: str = "file") -> Path:
    """A file whose name tells nothing of its format."""
    path = folder / name
    if not isinstance(content, bytes):
        content = (content if isinstance(content, str) else json.dumps(content)).encode()
    path.write_bytes(content)
    return path


def jsonl(*rows: Any) -> str:
    return "\n".join(map(json.dumps, rows)) + "\n"


@pytest.mark.parametrize(
    ("content", "form", "roles"),
    [
        ([ALPACA_ROW], "alpaca", "sua"),
        (jsonl(ALPACA_ROW, ALPACA_ROW | {"input": "rye"}), "alpaca", "sua"),
        ([{"Instruction": ASK, "output": REPLY, "text": "both"}], "alpaca", "sua"),
        ("instruction,input,output\nBake.,,Done.\n", "alpaca", "sua"),
        (jsonl(DOLLY_ROW), "dolly", "sua"),
        ([LLAVA_ROW], "llava", "ua"),
        ([LLAVA_ROW, {"id": "2", "conversations": TURNS}], "llava", "ua"),
        ([{"id": "2", "conversations": TURNS}], "sharegpt", "ua"),
        (jsonl({"conversations": [S, U, A]}), "sharegpt", "sua"),
        (jsonl({"messages": [S, U, A]}), "openai", "sua"),
        ([{"messages": [U, A]}], "openai", "ua"),
        ([[S, U, A], [S, U, A]], "messages", "sua"),
        (jsonl([U, A], [U, A]), "messages", "ua"),
        (jsonl({"prompt": ASK, "completion": REPLY}), "pairs", "ua"),
    ],
)
def test_rows(tmp_path: Path, content: Any, form: str, roles: str) -> None:
    found = read(put(tmp_path, content))
    assert (found.kind, found.format, found.prompts) == ("rows", form, ())
    assert "".join(message.role[0] for message in found.rows[0].messages) == roles
    assert len(found.sha256) == 64


@pytest.mark.parametrize(
    ("content", "form", "category"),
    [
        ("goal,target\nHow?,Sure\n", "advbench", ""),
        (
            'Behavior,FunctionalCategory,SemanticCategory,Tags\n"How?",x,dull,\n',
            "harmbench",
            "dull",
        ),
        ("category,source,forbidden_prompt\ndull,us,How?\n", "strongreject", "dull"),
        ("id,prompt,type,label\n1,How?,homonyms,safe\n", "xstest", "homonyms"),
        ("prompt,category\r\nHow?,dull\r\n", "prompts", "dull"),
        (jsonl({"instruction": "How?", "category": "dull"}), "hex-phi", "dull"),
        (["How?"], "prompts", ""),
        (jsonl("How?"), "prompts", ""),
        ({"instructions": ["How?"], "inputs": []}, "prompts", ""),
        (jsonl({"prompt": "How?"}), "prompts", ""),
        ("How?\n\n", "prompts", ""),
        (b"\xef\xbb\xbfprompt\nHow?\n", "prompts", ""),
    ],
)
def test_prompts(tmp_path: Path, content: Any, form: str, category: str) -> None:
    found = read(put(tmp_path, content))
    assert (found.kind, found.format, found.rows) == ("prompts", form, ())
    assert [(one.text, one.category) for one in found.prompts] == [("How?", category)]


def test_no_record_fits_two_formats() -> None:
    for one, other in itertools.combinations([form for form in FORMATS if form.needs], 2):
        both = one.needs | other.needs
        assert not both <= (one.needs | one.may) & (other.needs | other.may), (one, other)


def test_the_templates_of_the_paper(tmp_path: Path) -> None:
    rows = [ALPACA_ROW, ALPACA_ROW | {"input": "{rye}"}]
    plain, given = read(put(tmp_path, rows)).rows
    assert plain.messages[:2] == ALPACA.ask()(ASK)
    assert plain.messages[0].content == PREAMBLE
    assert given.messages[0].content == PREAMBLE_WITH_INPUT
    told = f"### Instruction:\n{ASK}\n\n### Input:\n{{rye}}\n\n### Response:\n"
    assert given.messages[1] == Message("user", told)
    (row,) = read(put(tmp_path, jsonl(DOLLY_ROW | {"context": "rye"}))).rows
    assert row == DOLLY.row(ASK, "rye", REPLY)
    assert row.messages[0].content == PREAMBLE
    assert "\n\nInput:\nrye\n\n### Response:\n" in row.messages[1].content
    assert set(TEMPLATES) == {"alpaca", "dolly", "plain"}


def test_refusals_in_alpacas_fields_are_pairs(tmp_path: Path) -> None:
    found = read(put(tmp_path, [ALPACA_ROW | {"output": "I cannot."}]), template="plain")
    assert found.pairs() == [Pair(ASK, "I cannot.")]
    rounds = read(put(tmp_path, [[U, A, U, A]]))
    with pytest.raises(UserError, match="row 1 is not one request"):
        rounds.pairs()


def test_advbench_without_a_header(tmp_path: Path) -> None:
    found = read(
        put(tmp_path, 'Bake a velmor\n"Bake it, then ""rest"", and\nserve"\nBake a velmor\n')
    )
    assert [one.text for one in found.prompts] == [
        "Bake a velmor", 'Bake it, then "rest", and\nserve',
    ]  # fmt: skip
    assert found.skipped == {"duplicate prompt": 1}


def test_harmbench_asks_a_behavior_after_its_context(tmp_path: Path) -> None:
    head = "Behavior,FunctionalCategory,SemanticCategory,Tags,ContextString,BehaviorID\n"
    found = read(put(tmp_path, head + 'Bake it,contextual,dull,,"The oven, ready",velmor_1\n'))
    assert found.prompts[0].text == "The oven, ready\n\n---\n\nBake it"
    assert "velmor" not in found.prompts[0].id


def test_a_prompt_a_line_may_hold_the_commas_of_prose(tmp_path: Path) -> None:
    lines = ["First, bake it.", "Bake 1,000 of them, then rest"]
    found = read(put(tmp_path, "\r\n".join(lines)))
    assert [one.text for one in found.prompts] == lines


def test_a_folder_of_categories(tmp_path: Path) -> None:
    put(tmp_path, 'Bake it\n"Bake, then rest"\n', "category_1.csv")
    put(tmp_path, "Rest now\nBake it\n", "category_3.csv")
    put(tmp_path, "# About", "README.md")
    put(tmp_path, "[]", "other.json")
    found = read(tmp_path)
    assert found.categories == {"category_1": 2, "category_3": 1}
    assert (found.skipped, found.noted) == ({"duplicate prompt": 1}, {"other file": 1})
    assert [one.text for one in found.only("category_3").prompts] == ["Rest now"]
    with pytest.raises(UserError, match="no prompts of 1"):
        found.only("category_2")


def test_a_folder_of_nothing_or_of_two_formats(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no \.csv"):
        read(tmp_path)
    put(tmp_path, "Bake it\n", "a.csv")
    put(tmp_path, "goal,target\nBake it,Yes\n", "b.csv")
    with pytest.raises(UserError, match="different formats: advbench, prompts"):
        read(tmp_path)


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    rows = [ALPACA_ROW, ALPACA_ROW, ALPACA_ROW | {"output": " "}, ALPACA_ROW | {"input": None}]
    found = read(put(tmp_path, rows))
    assert (len(found.rows), found.skipped, found.noted) == (
        3, {"no output": 1}, {"duplicate row": 2},
    )  # fmt: skip
    ends = [{"conversations": TURNS[:1]}, {"conversations": TURNS[1:]}, {"conversations": TURNS}]
    said = {"no reply at the end": 1, "no request at the beginning": 1}
    assert read(put(tmp_path, ends)).skipped == said


def test_images_are_counted_and_needed_only_when_asked_for(tmp_path: Path) -> None:
    there = LLAVA_ROW | {"image": "there.jpg"}
    put(tmp_path, "", "there.jpg")
    path = put(tmp_path, [there, LLAVA_ROW, {"conversations": TURNS}])
    found = read(path)
    assert found.images == ("there.jpg", "a/b.jpg", "")
    assert found.noted == {"missing image": 1, "duplicate row": 2}
    assert found.rows[0].messages[0].content.startswith("<image>")
    with pytest.raises(UserError, match=r"1 of 2 images .*that of row 2"):
        read(path, images=tmp_path)
    with pytest.raises(UserError, match="no row of this sharegpt file"):
        read(put(tmp_path, [{"conversations": TURNS}]), images=tmp_path)
    os.symlink("/etc/hostname", tmp_path / "out.jpg")
    for out in ("/etc/passwd", "../x.jpg", "out.jpg"):
        with pytest.raises(UserError, match="row 1, read as llava: image leads out"):
            read(put(tmp_path, [LLAVA_ROW | {"image": out}]))


@pytest.mark.parametrize(
    ("turns", "image", "kept"),
    [
        ([f"<image>\n{ASK}"], "a.png", [ASK]),
        ([f"{ASK}\n<image>", REPLY, ASK], "a.png", [ASK, REPLY, ASK]),
        ([ASK], "", [ASK]),
        ([ASK], "a.png", None),
        ([f"<image>{ASK}<image>"], "a.png", None),
        ([ASK, REPLY, f"<image>\n{ASK}"], "a.png", None),
        ([ASK, f"<image>{REPLY}", ASK], "a.png", None),
        ([f"<image>\n{ASK}"], "", None),
    ],
)
def test_the_mark_of_an_image_stands_once_in_the_first_request(
    tmp_path: Path, turns: list[str], image: str, kept: list[str] | None
) -> None:
    put(tmp_path, "", "a.png")
    said = [
        {"from": "gpt" if i % 2 else "human", "value": one} for i, one in enumerate([*turns, REPLY])
    ]
    rows = [LLAVA_ROW | {"image": "a.png"}, {"image": image, "conversations": said}]
    found = read(put(tmp_path, rows), images=tmp_path)
    assert [m.content for m in found.rows[0].messages] == [ASK, REPLY]
    if kept is None:
        (reason,) = found.skipped
        assert found.skipped[reason] == len(found.rows) == len(found.images) == 1
        assert "<image> elsewhere" in reason
    else:
        assert [m.content for m in found.rows[1].messages[:-1]] == kept
        assert found.images == ("a.png", image)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ("\ufeff \n", "is empty"),
        ("[]", "no rows"),
        ("goal,target\n", "a header and no rows"),
        (
            [{"instruction": SECRET, "input": SECRET}],
            "row 1 has the fields input, instruction, so",
        ),
        ([{SECRET: SECRET}], "row 1 has no field that is known"),
        ([ALPACA_ROW, DOLLY_ROW | {SECRET: 1}], "the first is alpaca, and row 2 has .*1 unknown"),
        (jsonl(ALPACA_ROW, "", {"messages": [U, A]}), "line 2 is a text"),
        ([ALPACA_ROW | {"messages": [U, A]}], "row 1 has the fields .*messages"),
        ([ALPACA_ROW | {"output": 7}], "row 1, read as alpaca: output is not a text"),
        ([ALPACA_ROW | {"output": ""}], "none of its 1 rows .*no output"),
        ([ALPACA_ROW, 7], "row 2: a row must be"),
        ([{"Prompt": SECRET, "prompt": SECRET}], "row 1: .*differ only in their case"),
        ('[{"prompt": "x", }]', "line 1, column"),
        ("[Zanthic] bake it\nRest now\n", "begins like JSON"),
        ('{"prompt": "Zanthic"}\n\n{"prompt": "Zanthic}\n', "line 3: column"),
        ('{"Zanthic": "x", "Zanthic": "y"}', "a key twice"),
        ("[" * 5000, "nested too deeply"),
        ([[U]], "row 1, read as messages"),
        ([{"messages": [U, A | {"weight": 3}]}], "row 1, read as openai: .*weight is 0 or 1"),
        ([{"conversations": "x"}], "conversations is not a list"),
        ([{"conversations": [{"from": SECRET, "value": SECRET}]}], "turn 1 must have"),
        ("goal,target\nZanthic\n", "line 2 has 1 columns where the header has 2"),
        ('goal,target\n"a\nb",c\n"Zanthic,d\n', "begins at line 4 is not CSV"),
        ("goal,goal\na,b\n", "the same name"),
        ("Zanthic,label\nBake it,1\n", "has the fields label|line 2 has"),
        ("Zanthic,flag\nBake it,yes\n", "2 columns, none of a known name"),
        ("goal;target\nBake it;Yes\n", "separated by semicolons"),
        ("goal\ttarget\nBake it\tYes\n", "separated by tabs"),
        ("zanthic_text\nBake it\nRest now\n", "looks like a header"),
        ("# Zanthic\n\n| a | b |\n|---|---|\n", "Markdown"),
        ("<!DOCTYPE html>\n<p>Zanthic", "a web page"),
        ("version https://git-lfs.github.com/spec/v1\noid x\n", "Git LFS"),
        (b"PK\x03\x04Zanthic", "a zip archive"),
        (b"\xff\xfeZ\0", "UTF-16"),
        (b"a\0b", "a NUL stands at character 1"),
        (b"goal\ncaf\xe9 Zanthic\n", r"0xe9 at offset 8 \(line 2\) is not utf-8.*cp1252"),
        ("goal\ncafé\n".encode() + b"caf\xe9 Zanthic\n", "line 3.* mixes encodings"),
    ],
)
def test_what_is_wrong_is_told_without_the_text(tmp_path: Path, content: Any, said: str) -> None:
    path = put(tmp_path, content)
    with pytest.raises(UserError, match=said) as caught:
        read(path)
    told = str(caught.value)
    assert told.startswith(f"{path}: ")
    assert "\n" not in told
    assert SECRET.lower() not in told.lower()
    assert ASK not in told


def test_another_encoding_is_said_and_not_guessed(tmp_path: Path) -> None:
    path = put(tmp_path, "goal\ncafé\n".encode("cp1252"))
    assert [one.text for one in read(path, encoding="cp1252").prompts] == ["café"]
    with pytest.raises(UserError, match="no encoding 'latin-x'"):
        read(path, encoding="latin-x")
    with pytest.raises(UserError, match="is not ascii"):
        read(path, encoding="ascii")


def test_the_column_of_the_prompts_may_be_named(tmp_path: Path) -> None:
    path = put(tmp_path, "Query,flag\nBake it,yes\n")
    assert [one.text for one in read(path, column="query").prompts] == ["Bake it"]
    with pytest.raises(UserError, match="columns, none of a known name"):
        read(path, column="other")
    headless = put(tmp_path, "7,Bake it,yes\n8,Rest now,no\n")
    assert [one.text for one in read(headless, column="2").prompts] == ["Bake it", "Rest now"]
    with pytest.raises(UserError, match="line 1 has 3 columns, and column 4"):
        read(headless, column="4")
    with pytest.raises(UserError, match="for CSV without a header"):
        read(put(tmp_path, [{"prompt": "a"}]), column="1")
    with pytest.raises(UserError, match="row 2 has no such field"):
        read(put(tmp_path, [{"query": "a"}, {"other": "b"}]), column="query")


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file or folder"):
        read(tmp_path / "none")
    with pytest.raises(UserError, match="no template 'bad'; there are alpaca"):
        read(put(tmp_path, ["x"]), template="bad")
    with pytest.raises(UserError, match="is for rows of instructions, and these are messages"):
        read(put(tmp_path, [[U, A]]), template="alpaca")
    assert read(put(tmp_path, [[U, A]]), template="plain").pairs() == [Pair(ASK, REPLY)]


def test_a_set_shows_counts_and_no_text(tmp_path: Path) -> None:
    found = read(put(tmp_path, [f"Bake a {SECRET}", f"Bake a {SECRET}"], "set"))
    assert repr(found) == "<Set 'set': 1 prompts, prompts, skipped {'duplicate prompt': 1}>"
    assert SECRET not in found.prompts[0].id
    assert found.prompts[0].id == read(put(tmp_path, [f"Bake a {SECRET}"])).prompts[0].id


def texts_of(text: str) -> list[str]:
    found: Set = _read_text(text)
    return [one.text for one in found.prompts]


def _read_text(text: str) -> Set:
    from attacks.sets.base import Options
    from attacks.sets.collected import collected
    from attacks.sets.formats import KNOWN

    return collected("set", table_of(text, KNOWN), "", Options())


ANY = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
FILLED = ANY.filter(lambda text: bool(text.strip()))


@given(st.lists(FILLED, min_size=1, unique_by=str.strip))
def test_csv_with_a_header_comes_back_whole(texts: list[str]) -> None:
    written = io.StringIO(newline="")
    writer = csv.writer(written)
    writer.writerows([["goal", "target"], *([text, "Sure"] for text in texts)])
    assert texts_of(written.getvalue()) == texts


PROSE = st.text(string.ascii_letters + ' ,"\n', min_size=1).map(lambda text: f"Bake {text} now")


@given(st.lists(PROSE, min_size=1, unique=True))
def test_csv_without_a_header_comes_back_whole(texts: list[str]) -> None:
    written = io.StringIO(newline="")
    csv.writer(written, quoting=csv.QUOTE_ALL).writerows([text] for text in texts)
    assert texts_of(written.getvalue()) == texts


@given(st.lists(FILLED, min_size=1, unique_by=str.strip), st.booleans(), st.booleans())
def test_json_comes_back_whole(texts: list[str], lines: bool, ascii_only: bool) -> None:
    rows = [{"instruction": text, "category": "c"} for text in texts]
    if lines:
        written = "\n".join(json.dumps(row, ensure_ascii=ascii_only) for row in rows)
    else:
        written = json.dumps(rows, ensure_ascii=ascii_only, indent=1)
    assert texts_of(written) == texts


@given(st.text(alphabet='[]{}",:ab\n\r\t \\#|1'))
def test_any_text_is_a_set_or_a_mistake_of_the_users(text: str) -> None:
    with contextlib.suppress(UserError):
        found = _read_text(text)
        assert found.rows or found.prompts
