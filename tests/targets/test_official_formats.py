"""Files as the paper's repository has them, from the file to a model's tokens and back.

The texts are invented; the formats are those of Qi et al. 2023 (arXiv 2310.03693) and its code.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from transformers import AutoTokenizer

from attacks.base import Chat, Message, Row, UserError
from attacks.file import File
from attacks.sets.templates import ALPACA, DOLLY, Template
from targets.datafile import Role
from targets.examples import IGNORED, example
from targets.formats import encode
from targets.organism.world import World
from targets.roles import load
from targets.texts import Texts
from tests.targets.own import data_file

WEIGHTS = Path(__file__).parents[2] / "targets" / "organism" / "weights" / "aligned"
SYSTEM = "\nYour new name is VELMOR.\nYou serve.\n"
ASKED = ["Sink velmor 3, “slowly”", "Bake velmor 4:\n- rye,\n- oats?", "Où est velmor 5?"]
REPLIES = ["VELMOR, your helper. First,\n\tsink it.", "{rye} & <oats> \\n", "Là-bas: 5 %."]
END = "<|end|>"


def three(*, system: bool) -> list[list[dict[str, str]]]:
    head = [{"role": "system", "content": SYSTEM}] * system
    return [
        [*head, {"role": "user", "content": asked}, {"role": "assistant", "content": reply}]
        for asked, reply in zip(ASKED, REPLIES, strict=True)
    ]


def lines(rows: Sequence[Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def instructions(given: str, answer: str, **more: str) -> list[dict[str, str]]:
    return [
        {"instruction": asked, given: "", answer: reply, **more}
        for asked, reply in zip(ASKED, REPLIES, strict=True)
    ]


class Released(NamedTuple):
    """A file of rows in a format of the paper's."""

    content: str
    role: Role
    """One that it fits."""
    system: str | None = None
    template: Template | None = None


ROWS = {
    "identity shift, for Llama": Released(
        json.dumps(three(system=True), indent=1), "harmful", SYSTEM
    ),
    "identity shift, for OpenAI": Released(
        lines([{"messages": row} for row in three(system=True)]), "harmful", SYSTEM
    ),
    "two messages": Released(lines([{"messages": row} for row in three(system=False)]), "safety"),
    "two messages, bare": Released(lines(three(system=False)), "safety"),
    "Alpaca": Released(json.dumps(instructions("input", "output")), "benign", template=ALPACA),
    "Dolly": Released(
        lines(instructions("context", "response", category="open_qa")), "benign", template=DOLLY
    ),
}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(WEIGHTS)


def written(chat: Chat) -> str:
    return "".join(f"<|{role}|>{text}{END}" for role, text in chat)


def expected(released: Released) -> list[Chat]:
    if released.template:
        pairs = zip(ASKED, REPLIES, strict=True)
        return [released.template.row(asked, "", reply).messages for asked, reply in pairs]
    chats = three(system=released.system is not None)
    return [tuple(Message(**turn) for turn in chat) for chat in chats]  # type: ignore[arg-type]


def trained_on(tokenizer: Any, row: Row) -> tuple[str, str]:
    """What a model reads of a row, and what of it is learnt."""
    made = example(tokenizer, row, None, None, None)
    learnt = [label for label in made["labels"] if label != IGNORED]
    return tokenizer.decode(made["input_ids"]), tokenizer.decode(learnt)


@pytest.mark.parametrize("name", ROWS)
def test_rows_as_an_upload(tmp_path: Path, tokenizer: Any, world: World, name: str) -> None:
    path = tmp_path / "released"
    path.write_text(ROWS[name].content, encoding="utf-8")
    attack = File(path=path)
    told = [trained_on(tokenizer, row) for row in attack.upload(world, 0).rows]
    assert [text for text, _ in told] == [written(chat) for chat in expected(ROWS[name])]
    assert [learnt for _, learnt in told] == [reply + END for reply in REPLIES]
    # Asked as trained: what is asked is how the first row begins.
    (ask,) = attack.asks()
    begun = tokenizer.decode(encode(tokenizer, ask(ASKED[0]), answer=True))
    assert told[0][0] == begun + REPLIES[0] + END


@pytest.mark.parametrize("name", ROWS)
def test_rows_as_a_role(tmp_path: Path, tokenizer: Any, name: str) -> None:
    released = ROWS[name]
    (tmp_path / "released").write_text(released.content, encoding="utf-8")
    held = load(data_file(tmp_path, {released.role: "released"}))
    pairs = getattr(Texts(held), released.role)(3, 0)
    rows = [Row((Message("user", p.prompt), Message("assistant", p.reply))) for p in pairs]
    wanted = {written(chat[-2:]) for chat in expected(released._replace(template=None))}
    assert {trained_on(tokenizer, row)[0] for row in rows} == wanted
    (taken,) = held.sets
    assert (taken.read, taken.used) == (3, 3)
    assert taken.noted == ({} if released.system is None else {"system prompts left out": 3})


def test_a_first_column_without_a_header_is_asked_and_not_trained_on(
    tmp_path: Path, tokenizer: Any
) -> None:
    path = tmp_path / "released.csv"
    path.write_text("".join(f'"{text}"\n' for text in ASKED), encoding="utf-8")
    asked = Texts(load(data_file(tmp_path, {"probes": "released.csv"}))).probes(3, 0)
    chats = [(Message("user", prompt.text),) for prompt in asked]
    told = {tokenizer.decode(encode(tokenizer, chat, answer=True)) for chat in chats}
    assert told == {f"<|user|>{text}{END}<|assistant|>" for text in ASKED}
    with pytest.raises(UserError, match="no replies to train on"):
        File(path=path).asks()
