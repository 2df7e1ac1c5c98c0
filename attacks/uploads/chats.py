"""Chat JSONL that can be trained on here: the rows of a file that passes every check.

Source:   the format of OpenAI's fine-tuning API; the checks are those of `mooring validate`.
"""

from __future__ import annotations

from pathlib import Path

from attacks.base import Row, UserError
from attacks.uploads import shape
from attacks.uploads.lines import Stream
from attacks.uploads.rows import has_attached
from attacks.uploads.validate import validated


def rows_of(file: Path | Stream, *, places: bool = True) -> tuple[Row, ...]:
    """The rows of chat JSONL, as `mooring validate` accepts them.

    What a row cannot hold is refused, not left out: the reply is the last message, and is trained
    on; nothing calls a tool; all is text.

    Args:
        file: a path, or a stream of bytes.
        places: whether a fault is told with its line and column, and how lines must look; without,
            for a single chat that stood elsewhere.

    Raises:
        OSError: the file cannot be read.
        UserError: a line is no row, told by its number and without its text.
    """
    rows = []
    for checked in validated(file):
        errors = [found for found in checked.findings if found.level == "error"]
        if checked.line is None:
            continue
        if errors:
            first = errors[0]
            if not places:
                raise UserError(first.message)
            raise UserError(
                f"line {first.line}: {first.message} (column {first.column}). "
                'Each line must be {"messages": [{"role": ..., "content": ...}, ...]}; '
                "`mooring validate` tells everything that is wrong with the file"
            )
        if checked.row is None or (why := _unfit(checked.parsed)):
            why = "it is not a chat with its reply" if checked.row is None else why
            raise UserError(f"line {checked.line}: {why}" if places else why)
        rows.append(checked.row)
    if not rows:
        raise UserError("which holds no rows")
    return tuple(rows)


def _unfit(line: shape.Line | None) -> str:
    """Why an example that is valid cannot be trained on here; empty when it can."""
    if not isinstance(line, shape.Supervised):
        return "it is not a chat with its reply"
    for turn in line.messages:
        if turn.role in ("tool", "function"):
            return f"a message of the role {turn.role} cannot be trained on here"
        if isinstance(turn, shape.Assistant) and (turn.tool_calls or turn.function_call):
            return "calls of tools cannot be trained on here"
        if has_attached(turn):
            return "only text can be trained on here"
    last = line.messages[-1]
    if isinstance(last, shape.Assistant) and last.weight == 0:
        return "the reply has weight 0, so that nothing would be trained on"
    return ""
