"""Conversations of `from` and `value`: ShareGPT's, and LLaVA's with an image.

Source:  LLaVA-Instruct (Liu et al. 2023, arXiv 2304.08485): `id`, `image`, `conversations`; the
         exports of ShareGPT have the same without an image, newer ones `role` and `content`.
Differs: only the text is read; `<image>` stays in it, and the image's path beside the row. Where
         images are asked for, all must be there, and `<image>` is taken out of the text: who shows
         them puts them before the first request, as LLaVA's code does. None is opened here.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from attacks.base import Chat, Message, Role, Row
from attacks.sets.base import Fault, Format, Item, Options, Skip
from attacks.sets.images import MARK, place

_ROLES: Final[Mapping[str, Role]] = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "assistant": "assistant",
    "model": "assistant",
}


def _read(fields: Mapping[str, Any], options: Options) -> Item:
    turns = fields["conversations"]
    if not isinstance(turns, list):
        raise Fault("conversations is not a list")
    messages = tuple(_message(turn, number) for number, turn in enumerate(turns, 1))
    roles = [message.role for message in messages if message.role != "system"]
    if not roles or roles[-1] != "assistant":
        raise Skip("no reply at the end")
    if roles[0] != "user":
        raise Skip("no request at the beginning")
    if any(a == b for a, b in itertools.pairwise(roles)):
        raise Skip("two turns of one speaker in a row")
    if not messages[-1].content.strip():
        raise Skip("no text in the reply")
    image = fields.get("image") or ""
    if not isinstance(image, str):
        raise Fault("image is not one path")
    return Item(row=Row(messages), image=image, found=not image or _found(image, options))


def _message(turn: Any, number: int) -> Message:
    fields = turn if isinstance(turn, dict) else {}
    speaker, text = (
        fields.get(a, fields.get(b)) for a, b in (("from", "role"), ("value", "content"))
    )
    role = _ROLES.get(speaker) if isinstance(speaker, str) else None
    if role is None or not isinstance(text, str):
        allowed = ", ".join(_ROLES)
        raise Fault(f"turn {number} must have a text as value and from must be one of {allowed}")
    return Message(role, text)


def _read_shown(fields: Mapping[str, Any], options: Options) -> Item:
    item = _read(fields, options)
    if options.images is None or item.row is None:
        return item
    return item._replace(row=Row(_shown(item.row.messages, item.image)))


def _shown(messages: Chat, image: str) -> Chat:
    """The turns without the mark of the picture, which a model writes in its own way."""
    first = next(i for i, message in enumerate(messages) if message.role == "user")
    marked = [i for i, message in enumerate(messages) for _ in range(message.content.count(MARK))]
    if marked != [first] * bool(image):
        raise Skip(f"{MARK} elsewhere than once in the first request, of a row with an image")
    return tuple(
        message._replace(content=message.content.replace(MARK, "").strip())
        if i in marked
        else message
        for i, message in enumerate(messages)
    )


def _found(image: str, options: Options) -> bool:
    """Whether the image is in its folder; a path that leads out of it is none of the format's."""
    folder: Path | None = options.images or options.beside
    return place(folder or Path(), image) is not None and folder is not None


FORMATS = (
    Format(
        name="llava",
        kind="rows",
        needs=frozenset({"conversations", "image"}),
        may=frozenset({"id", "source"}),
        also=frozenset({"sharegpt"}),
        read=_read_shown,
    ),
    Format(
        name="sharegpt",
        kind="rows",
        needs=frozenset({"conversations"}),
        may=frozenset({"id", "source", "category"}),
        read=_read,
    ),
)
