"""Chats with roles: OpenAI's `messages`, and bare lists of them.

Source:  OpenAI's fine-tuning guide; the official code of Qi et al. 2023 (arXiv 2310.03693) has
         both, its bare lists with a system prompt (identity shift) or without (harmful rows).
Differs: each chat passes the checks of `mooring validate`, whatever file it came in.
"""

from __future__ import annotations

import io
import json
from typing import Any

from attacks.base import UserError
from attacks.sets.base import Fault, Format, Item, Options
from attacks.uploads.chats import rows_of


def _bare(messages: list[Any], options: Options) -> Item:
    line = json.dumps({"messages": messages}).encode()
    try:
        (row,) = rows_of(io.BytesIO(line), places=False)
    except UserError as error:
        raise Fault(str(error)) from None
    return Item(row=row)


def _whole(fields: dict[str, Any], options: Options) -> Item:
    try:
        return _bare(fields["messages"], options)
    except Fault as fault:
        raise Fault(f"{fault}; `mooring validate` tells all that is wrong with it") from None


FORMATS = (
    Format(
        name="openai",
        kind="rows",
        needs=frozenset({"messages"}),
        may=frozenset({"prompt", "prompt_id", "id", "category", "source"}),
        read=_whole,
    ),
    Format(name="messages", kind="rows", shape="list", read=_bare),
)
