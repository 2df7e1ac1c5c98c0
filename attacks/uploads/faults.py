"""What pydantic finds in a line, in words that are never the line's own."""

from __future__ import annotations

from itertools import takewhile
from typing import Any

from attacks.uploads import places, shape
from attacks.uploads.places import Path

_RULES = {
    "missing": "key-missing",
    "union_tag_invalid": "role-unknown",
    "union_tag_not_found": "role-missing",
    "literal_error": "value-wrong",
    "too_short": "messages-few",
    "too_long": "value-wrong",
    "model_type": "type-wrong",
}


def turn_of(path: Path) -> int | None:
    """Which message a path leads into."""
    if path[:1] == ("input",):
        path = path[1:]
    inside = len(path) > 1 and path[0] in ("messages", "preferred_output", "non_preferred_output")
    return path[1] if inside and isinstance(path[1], int) else None


def told(kind: str, loc: tuple[int | str, ...], value: Any) -> tuple[str, str, Path]:
    """The rule, the words and the place of what pydantic found; no word of them is the line's."""
    path = places.resolved(loc, value)
    last = loc[-1] if loc else ""
    rule = _RULES.get(kind, kind if "-" in kind else "type-wrong")
    message = "it is of another type than it should be"
    if kind == "extra_forbidden":
        known = last in shape.MESSAGE_KEYS
        rule = "key-misplaced" if known and turn_of(path) is not None else "key-unknown"
        message = f"{last} does not belong here" if known else "a key is not known here"
    elif last == "weight":
        rule, message = "weight-value", "a weight is 0 or 1"
    elif kind == "missing":
        # The tag that pydantic chose by is a role; where it stands depends on nothing of the line.
        role = next((step for step in loc if step in shape.ROLES), None)
        message = f"{last} is missing" + (f" from a message of role {role}" if role else "")
    elif rule in ("role-unknown", "role-missing"):
        in_parts = "content" in path
        rule = ("value-wrong" if rule == "role-unknown" else "key-missing") if in_parts else rule
        message = "the type of a part is text, refusal, image_url, input_audio or file"
        if not in_parts:
            message = "role is system, developer, user, assistant, tool or function"
            path = (*path, "role") if rule == "role-unknown" else path
    elif rule == "messages-few":
        least = 2 if path == ("messages",) else 1
        message = f"it should hold at least {least}"
    elif rule == "last-not-assistant":
        message, path = "the last message must be the assistant's role", (*path, "messages")
    elif rule == "content-missing":
        message = "it has neither content nor tool calls"
    elif rule == "value-wrong":
        message = "the value is none of those that are allowed"
    return rule, f"{where}: {message}" if (where := _named(path)) else message, path


def _named(path: Path) -> str:
    """A path in words, up to the first name that is the line's own."""
    known = takewhile(lambda step: isinstance(step, int) or step in shape.NAMES, path)
    return ".".join(map(str, known))
