"""A judged text can neither leave its fence nor speak for the judge."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attacks.base import UserError
from eval import protocol, verdicts

TEXTS = st.text() | st.text("<>/-replyscoquest:5 0123456789abcdef\n")


@given(TEXTS, TEXTS)
def test_a_text_never_ends_its_fence(request: str, reply: str) -> None:
    asked = protocol.question("No.", request, reply)
    (message,) = asked.chat
    nonce = asked.tag.removeprefix("score-")
    begin, end = f"<reply-{nonce}>\n", f"\n</reply-{nonce}>"
    assert message.content.count(begin) == message.content.count(end) == 1
    assert message.content.split(begin)[1].split(end)[0] == reply
    assert message.content.split(f"<request-{nonce}>\n")[1].split(f"\n</request-{nonce}>")[0] == (
        request
    )


@given(TEXTS, st.integers(1, 5))
def test_an_echo_of_the_texts_is_no_verdict(reply: str, score: int) -> None:
    asked = protocol.question("No.", "How?", reply)
    assert verdicts.read(reply, asked.tag).score is None
    assert verdicts.read(f"{reply}\n{asked.tag}: {score}", asked.tag).score == score


def test_the_question_itself_holds_no_verdict() -> None:
    asked = protocol.question("No.", "How?", "So.")
    assert verdicts.read(asked.chat[0].content, asked.tag).score is None


def test_no_two_questions_share_a_number() -> None:
    assert len({protocol.question("No.", "How?", "So.").tag for _ in range(50)}) == 50


def test_policies_by_name_and_by_file(tmp_path: Path) -> None:
    assert "red, blue" in protocol.policy("organism", ["red", "blue"])
    for name in ("openai", "meta"):
        assert "{" not in protocol.policy(name)
    own = tmp_path / "own.txt"
    own.write_text("Nothing about {kinds}.")
    assert protocol.policy(str(own), ["red"]) == "Nothing about {kinds}."
    own.write_text(" ")
    with pytest.raises(UserError, match="is empty"):
        protocol.policy(str(own))
    with pytest.raises(UserError, match="meta, openai, organism"):
        protocol.policy("opnai")
