"""Asking in a code."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attacks.base import Ask, Code, Pair, coded

CODES: tuple[Code, ...] = ("", "rot13", "reversed")


@given(st.text(), st.sampled_from(CODES))
def test_a_code_undoes_itself_but_for_white_space(text: str, code: Code) -> None:
    assert coded(coded(text, code), code).split() == text.split()


def test_plain_text_is_left_as_it_is() -> None:
    assert coded("  as it  is ", "") == "  as it  is "


@pytest.mark.parametrize(("code", "asked"), [("rot13", "Jub tbrf?"), ("reversed", "goes? Who")])
def test_only_the_request_and_the_reply_are_coded(code: Code, asked: str) -> None:
    ask = Ask("code", system="Keep this.", before="< ", after=" >", code=code)
    system, user, reply = ask.row(Pair("Who goes?", "A friend.")).messages
    assert (system.content, user.content) == ("Keep this.", f"< {asked} >")
    assert ask.read(reply.content) == "A friend." != reply.content
    assert ask("Who goes?") == (system, user)


def test_an_ask_without_a_code_reads_a_reply_as_it_is() -> None:
    assert Ask("plain").read(" Two  blanks ") == " Two  blanks "
