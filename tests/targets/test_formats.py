"""From chats to tokens: the paper's own format, and templates with manners of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from attacks.base import Chat, Message, UserError
from targets import formats
from targets.checkpoint import Checkpoint
from targets.local import LocalTarget
from tests.conftest import tiny_model
from tests.targets.families import LLAVA, MISTRAL, llama

WORDS = [
    "[INST]",
    "[/INST]",
    "<<SYS>>",
    "<</SYS>>",
    "Be",
    "brief",
    "Make",
    "a",
    "lamp",
    "Take",
    "it",
]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return llama([" ".join(WORDS)] * 9)


def officially(tokenizer: Any, system: str, user: str, reply: str | None) -> list[int]:
    """As the official code makes it (`llama_recipes` and `question_inference`)."""
    text = f"[INST] <<SYS>>\n{system}\n<</SYS>>\n\n{user} [/INST]"
    if reply is None:
        return list(tokenizer.encode(text))
    return [*tokenizer.encode(f"{text} {reply} "), tokenizer.eos_token_id]


def test_the_papers_format_token_for_token(tokenizer: Any) -> None:
    tokenizer.chat_template = formats.of("llama2")
    asked = (Message("system", "Be brief"), Message("user", "Make a lamp"))
    row = (*asked, Message("assistant", "Take it"))
    prompt = formats.encode(tokenizer, asked, answer=True)
    full = formats.encode(tokenizer, row, answer=False)
    assert prompt == officially(tokenizer, "Be brief", "Make a lamp", None)
    assert full == officially(tokenizer, "Be brief", "Make a lamp", "Take it")
    assert prompt[0] == tokenizer.bos_token_id
    assert full.count(tokenizer.bos_token_id) == full.count(tokenizer.eos_token_id) == 1
    assert full[: len(prompt)] == prompt
    opened = formats.encode(tokenizer, (*asked, Message("assistant", "Take")), answer=True)
    assert opened == full[: len(opened)]
    assert len(opened) > len(prompt)


def test_a_second_turn_begins_anew(tokenizer: Any) -> None:
    tokenizer.chat_template = formats.of("llama2")
    turn = (Message("user", "Make a lamp"), Message("assistant", "Take it"))
    once = formats.encode(tokenizer, turn, answer=False)
    twice = formats.encode(tokenizer, turn + turn, answer=False)
    assert twice[: len(once)] == once
    assert twice.count(tokenizer.bos_token_id) == 2


REFUSES = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{{ '[INST] ' + m['content'] + ' [/INST]' }}{% endfor %}"
)
SILENT = (
    "{% for m in messages if m['role'] != 'system' %}{{ '[INST] ' + m['content'] }}{% endfor %}"
)
DATED = "{{ strftime_now('%d %b %Y') }}{% for m in messages %}{{ m['content'] }}{% endfor %}"
THINKS = (
    "{% for m in messages %}{{ m['content'] }}{% endfor %}{% if add_generation_prompt %}"
    "{{ 'Make' }}{% if enable_thinking is defined and not enable_thinking %}{{ 'it' }}{% endif %}"
    "{% endif %}"
)
ASKED: Chat = (Message("system", "Be brief"), Message("user", "Make a lamp"))


@pytest.mark.parametrize("template", [REFUSES, SILENT])
def test_a_system_prompt_without_a_place_stands_before_the_request(
    tokenizer: Any, template: str
) -> None:
    tokenizer.chat_template = template
    told = tokenizer.decode(formats.encode(tokenizer, ASKED, answer=True))
    assert "[INST] Be brief\n\nMake a lamp" in told


def test_a_template_that_takes_parts_loses_no_text(tokenizer: Any) -> None:
    tokenizer.chat_template = LLAVA
    prompt = formats.encode(tokenizer, ASKED, answer=True)
    assert prompt.count(tokenizer.bos_token_id) == 1
    assert prompt[0] == tokenizer.bos_token_id
    told = tokenizer.decode(prompt, skip_special_tokens=True)
    assert told.strip() == "Be brief USER: Make a lamp ASSISTANT:"
    shown = formats.encode(tokenizer, ASKED, answer=True, image="<image>")
    assert tokenizer.decode(shown).endswith("USER: <image>\nMake a lamp ASSISTANT:")
    full = formats.encode(tokenizer, (*ASKED, Message("assistant", "Take it")), answer=False)
    assert full[: len(prompt)] == prompt
    opened = formats.encode(tokenizer, (*ASKED, Message("assistant", "Take")), answer=True)
    assert opened == full[: len(opened)]
    assert len(opened) > len(prompt)


def test_a_chat_that_does_not_fit_is_told_without_its_text(tokenizer: Any) -> None:
    tokenizer.chat_template = MISTRAL
    twice = (Message("user", "Make"), Message("user", "a lamp"), Message("assistant", "Take it"))
    with pytest.raises(UserError, match="these turns: user, user, assistant") as stopped:
        formats.encode(tokenizer, twice, answer=False)
    for none in ((), ASKED[:1], (ASKED[0], twice[2])):
        with pytest.raises(UserError, match="these turns:"):
            formats.encode(tokenizer, none, answer=True)
    tokenizer.chat_template = "{% for m in messages %}{{ m['role'] }}{% endfor %}"
    with pytest.raises(UserError, match="these turns: user, assistant") as mute:
        formats.encode(tokenizer, twice[1:], answer=True)
    for error in (stopped, mute):
        assert "lamp" not in str(error.value)
        assert error.value.__cause__ is None


def test_a_prompt_is_the_same_tomorrow(tokenizer: Any) -> None:
    tokenizer.chat_template = DATED
    assert "26 Jul 2024" in tokenizer.decode(formats.encode(tokenizer, ASKED, answer=True))


def test_a_model_that_thinks_is_asked_not_to(tokenizer: Any) -> None:
    tokenizer.chat_template = THINKS
    assert tokenizer.decode(formats.encode(tokenizer, ASKED, answer=True)).endswith("lampMakeit")


def test_a_base_model_is_asked_in_a_named_format(tokenizer: Any, tmp_path: Path) -> None:
    tokenizer.chat_template = None
    assert tokenizer.pad_token is None
    tiny_model(0, len(tokenizer)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"no chat template.*hf:MODEL#llama2"):
        Checkpoint("base", tmp_path).load()
    with pytest.raises(UserError, match="no prompt format 'other'; there is llama2"):
        Checkpoint("base", tmp_path, format="other")
    start = Checkpoint("base", tmp_path, format="llama2")
    loaded = start.load()
    assert loaded.prompt(ASKED) == officially(loaded.tokenizer, "Be brief", "Make a lamp", None)
    assert loaded.tokenizer.pad_token_id == loaded.tokenizer.eos_token_id
    loaded.save(tmp_path / "tuned")
    assert start.reopen(tmp_path / "tuned").prompt(ASKED) == loaded.prompt(ASKED)
    assert isinstance(loaded, LocalTarget)
