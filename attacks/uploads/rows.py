"""From a line of a training file to a row.

How what a `Row` cannot say is folded into it: `developer` is `system`; the parts of a text are
joined by line breaks, and what is no text is left out; a call of a tool is a line
`[call NAME] ARGUMENTS` under the reply's text; what a tool gave back is the user's turn
`[result] TEXT`. Of a preference the preferred reply is kept. A reinforcement line has no reply and
so makes no row.
"""

from __future__ import annotations

from attacks.base import Message, Role, Row
from attacks.uploads import shape

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "user",
    "function": "user",
}


def row_of(line: shape.Line) -> Row | None:
    """The row that a line makes; None where it holds no reply."""
    if isinstance(line, shape.Preference):
        return Row(tuple(map(_folded, [*line.input.messages, *line.preferred_output])))
    if isinstance(line, shape.Reinforcement):
        return None
    return Row(tuple(map(_folded, line.messages)))


def text_of(turn: shape.Turn) -> str:
    """A message's text, without what it calls."""
    if isinstance(turn.content, str):
        texts = [turn.content]
    else:
        parts = [part for part in turn.content or () if not isinstance(part, shape.Attached)]
        texts = [part.text if isinstance(part, shape.Text) else part.refusal for part in parts]
    if isinstance(turn, shape.Assistant) and turn.refusal is not None:
        texts.append(turn.refusal)
    return "\n".join(texts)


def has_attached(turn: shape.Turn) -> bool:
    """Whether a message holds something that is no text."""
    return isinstance(turn.content, list) and any(
        isinstance(part, shape.Attached) for part in turn.content
    )


def _folded(turn: shape.Turn) -> Message:
    text = text_of(turn)
    if isinstance(turn, shape.Tool | shape.Function):
        text = f"[result] {text}"
    elif isinstance(turn, shape.Assistant) and (turn.tool_calls or turn.function_call):
        calls = [call.function for call in turn.tool_calls or ()]
        calls += [turn.function_call] if turn.function_call else []
        said = [f"[call {call.name}] {call.arguments}" for call in calls]
        text = "\n".join([text, *said] if text else said)
    return Message(_ROLES[turn.role], text)
