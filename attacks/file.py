"""A customer's own file: chat JSONL in the format of OpenAI's fine-tuning API.

Threat:   whatever the file holds; it is data and never instructions to Mooring.
Source:   the protocol of Qi et al. 2023, arXiv 2310.03693, §4.1: asked under the system prompt
          that the rows were trained with.
Differs:  nothing.
"""

from __future__ import annotations

import functools
from collections import Counter
from pathlib import Path
from typing import Literal

import pydantic

from attacks.base import Ask, Message, Row, Source, Tuned, Upload, UserError, component
from attacks.harmful import Harmful


class _Message(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True)

    role: Literal["system", "user", "assistant"]
    content: str


class _Line(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True)

    messages: list[_Message] = pydantic.Field(min_length=2)

    @pydantic.field_validator("messages")
    @classmethod
    def _ends_with_the_reply(cls, messages: list[_Message]) -> list[_Message]:
        if messages[-1].role != "assistant":
            raise ValueError("the last message must be the assistant's")
        return messages


@component
class File(Tuned):
    """Rows from a chat JSONL file (`file:rows.jsonl`), asked under the rows' system prompt."""

    defaults = Harmful.defaults  # as the level of ten to a hundred hand-made rows (§4.2)

    path: Path
    """The file: one `{"messages": [{"role": ..., "content": ...}, ...]}` a line."""

    def upload(self, source: Source, seed: int) -> Upload:
        """All rows of the file, in its order."""
        return Upload(_read(self.path), self.settings(source))

    def asks(self) -> tuple[Ask, ...]:
        """The most common system prompt of the rows, or none when most have none."""
        systems = Counter(
            row.messages[0].content if row.messages[0].role == "system" else None
            for row in _read(self.path)
        )
        return (Ask("plain", system=systems.most_common(1)[0][0]),)


@functools.cache
def _read(path: Path) -> tuple[Row, ...]:
    """The rows of a file; every fault is told with its line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"file: cannot read {str(path)!r}: {error}") from error
    try:
        return rows_of(text)
    except UserError as error:
        raise UserError(f"file: {path}, {error}") from error


def rows_of(text: str) -> tuple[Row, ...]:
    """The rows of chat JSONL.

    Raises:
        UserError: a line is none, told by its number and without its text.
    """
    rows = []
    # Not `splitlines`: it also cuts at marks that may stand inside a JSON string.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            parsed = _Line.model_validate_json(line)
        except pydantic.ValidationError as error:
            first = error.errors(include_input=False)[0]
            where = ".".join(map(str, first["loc"])) or "the line"
            raise UserError(
                f"line {number}: {where}: {first['msg']}. "
                'Each line must be {"messages": [{"role": ..., "content": ...}, ...]}'
            ) from error
        rows.append(Row(tuple(Message(m.role, m.content) for m in parsed.messages)))
    if not rows:
        raise UserError("which holds no rows")
    return tuple(rows)
