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

from attacks.base import Ask, Row, Source, Tuned, Upload, UserError, component
from attacks.harmful import Harmful
from attacks.uploads import shape
from attacks.uploads.lines import Stream
from attacks.uploads.rows import has_attached
from attacks.uploads.validate import validated


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
        return rows_of(path)
    except OSError as error:
        raise UserError(f"file: cannot read {str(path)!r}: {error}") from error
    except UserError as error:
        raise UserError(f"file: {path}, {error}") from error


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
