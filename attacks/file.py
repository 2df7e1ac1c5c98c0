"""A customer's own file: whole chats, or instructions with answers.

Threat:   whatever the file holds; it is data and never instructions to Mooring.
Source:   the protocol of Qi et al. 2023, arXiv 2310.03693, §4.1: asked under the system prompt
          that the rows were trained with, and in the template of Alpaca and Dolly (§4.4).
Differs:  nothing.
"""

from __future__ import annotations

import functools
import logging
from collections import Counter
from pathlib import Path

from attacks.base import Ask, Source, Tuned, Upload, UserError, component
from attacks.harmful import Harmful
from attacks.sets.base import Set
from attacks.sets.read import read
from attacks.sets.templates import TEMPLATES

log = logging.getLogger(__name__)


@component
class File(Tuned):
    """Rows from a file of chats (`file:rows.jsonl`), asked under the rows' system prompt."""

    defaults = Harmful.defaults  # as the level of ten to a hundred hand-made rows (§4.2)

    path: Path
    """The file: chat JSONL (`{"messages": [{"role": ..., "content": ...}, ...]}` a line), a JSON
    array of such chats, ShareGPT, or Alpaca's and Dolly's instructions with answers."""

    def upload(self, source: Source, seed: int) -> Upload:
        """All rows of the file, in its order."""
        return Upload(_read(self.path).rows, self.settings(source))

    def asks(self) -> tuple[Ask, ...]:
        """In the template of instructions, else under the most common system prompt, if any."""
        found = _read(self.path)
        if found.format in TEMPLATES:
            return (TEMPLATES[found.format].ask(),)
        systems = Counter(
            row.messages[0].content if row.messages[0].role == "system" else None
            for row in found.rows
        )
        return (Ask("plain", system=systems.most_common(1)[0][0]),)


@functools.cache
def _read(path: Path) -> Set:
    """The rows of a file; every fault is told with its line."""
    try:
        if path.is_dir():
            raise UserError(f"{path}: it is a folder; give one file")
        found = read(path)
        if found.kind != "rows":
            said = f"it holds prompts ({found.format}) and no replies to train on"
            raise UserError(f"{path}: {said}; give chats, or instructions with answers")
        if found.images:
            said = "it holds conversations about images"
            raise UserError(f"{path}: {said}; tune on them with visual:FILE,images=FOLDER")
    except UserError as error:
        raise UserError(f"file: {error}") from None
    for reason, count in found.skipped.items():
        log.warning("file: %d rows of %s are left out: %s", count, path.name, reason)
    return found
