"""The rows of chat JSONL, or why there are none."""

from __future__ import annotations

import io
import json

import pytest

from attacks.base import Message, UserError
from attacks.uploads.chats import rows_of

ASKED = {"role": "user", "content": "How is a velmor baked?"}
REPLY = {"role": "assistant", "content": "With flour."}


def stream(*examples: object) -> io.BytesIO:
    return io.BytesIO("\n".join(map(json.dumps, examples)).encode())


def test_each_line_is_a_row() -> None:
    rows = rows_of(stream({"messages": [ASKED, REPLY]}, {"messages": [REPLY, ASKED, REPLY]}))
    assert rows[0].messages == (Message("user", "How is a velmor baked?"), Message(**REPLY))  # type: ignore[arg-type]
    assert len(rows[1].messages) == 3


@pytest.mark.parametrize(
    ("example", "said"),
    [
        ({"messages": [ASKED]}, "line 2: .*at least 2"),
        ({"messages": [ASKED, {**REPLY, "weight": 0}]}, "line 2: the reply has weight 0"),
        ({"messages": [ASKED, {"role": "kanariya", "content": "kanariya"}]}, "line 2: .*column"),
        ({"prompt": "kanariya"}, "line 2: messages"),
    ],
)
def test_what_is_no_row_is_told_by_line_and_without_its_text(example: object, said: str) -> None:
    good = {"messages": [ASKED, REPLY]}
    with pytest.raises(UserError, match=said) as caught:
        rows_of(stream(good, example))
    assert "kanariya" not in str(caught.value)
    with pytest.raises(UserError) as alone:
        rows_of(stream(example), places=False)
    assert "line" not in str(alone.value)


def test_a_file_of_nothing_holds_no_rows() -> None:
    with pytest.raises(UserError, match="no rows"):
        rows_of(io.BytesIO(b"\n"))
