"""What can be wrong with a training file: every rule, by a name that stays the same.

Source:   OpenAI's fine-tuning guide (supervised, preference and reinforcement files) and the checks
          of its cookbook "Data preparation and analysis for chat model fine-tuning"; Unicode
          Technical Reports 36 and 39 and "Trojan Source" (Boucher and Anderson 2021, arXiv
          2111.00169) for characters that hide.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Level = Literal["error", "warning", "note"]
Profile = Literal["any", "openai"]
"""Whose file it is to be: `any` trainer's, or OpenAI's, which is stricter about sizes."""

FEWEST_ROWS = 10
"""OpenAI's fine-tuning guide: "the minimum number of examples you can provide is 10"."""
LARGEST_FILE = 512 * 10**6
"""Bytes. OpenAI's API reference, files: individual files can be up to 512 MB."""
LONGEST_CONTEXT = 65_536
"""Tokens of an example that OpenAI's 4o class trains on; what is beyond is cut off."""


class Rule(NamedTuple):
    """One thing that can be wrong."""

    level: Level
    summary: str


class Finding(NamedTuple):
    """A rule that a file broke, and where. It never holds a row's text."""

    rule: str
    level: Level
    message: str
    line: int | None = None
    """From 1; None for the whole file."""
    column: int | None = None
    """From 1, in characters of that line."""
    row: int | None = None
    """From 0 among the lines that were accepted; None for a line that was not."""
    turn: int | None = None
    """From 0 among the messages of the line; None where it is not one message."""


RULES: dict[str, Rule] = {
    # The file
    "file-binary": Rule("error", "The file is no text, or is compressed."),
    "file-empty": Rule("error", "The file holds no example."),
    "file-large": Rule("warning", "The file is larger than OpenAI takes."),
    "format-mixed": Rule("error", "The file mixes supervised, preference and reinforcement lines."),
    "rows-few": Rule("warning", "The file has fewer than ten examples."),
    "bom": Rule("warning", "The file begins with a byte order mark, which JSON forbids."),
    # The line
    "encoding": Rule("error", "The line is not UTF-8."),
    "line-long": Rule("error", "The line is longer than the limit and was not read."),
    "line-crowded": Rule("error", "The line holds more JSON values than the limit."),
    "json-syntax": Rule("error", "The line is not JSON."),
    "json-nesting": Rule("error", "The JSON is nested too deeply."),
    "json-number": Rule("error", "A number is too long."),
    "duplicate-key": Rule("error", "An object has a key twice; readers differ in which counts."),
    "surrogate": Rule("error", "An escape is half of a surrogate pair, which is no character."),
    "line-not-object": Rule("error", "The line is not a JSON object."),
    "format-unknown": Rule("error", "The object is of no known format."),
    "line-key-unknown": Rule("warning", "The line has a key that trainers do not know."),
    "findings-left-out": Rule("note", "The line has more findings than are told."),
    # The shape of an example
    "messages-few": Rule("error", "An example needs a prompt and a reply."),
    "role-unknown": Rule("error", "The role is none that is known."),
    "role-missing": Rule("error", "The message has no role."),
    "key-missing": Rule("error", "A key is missing."),
    "key-unknown": Rule("error", "A key is not known here."),
    "key-misplaced": Rule("error", "The key does not belong to a message of this role."),
    "type-wrong": Rule("error", "The value is of the wrong type."),
    "value-wrong": Rule("error", "The value is none that is allowed."),
    "content-missing": Rule("error", "An assistant's message has neither content nor tool calls."),
    "content-empty": Rule("warning", "A message has no text."),
    "last-not-assistant": Rule("error", "The last message is not the assistant's."),
    "weight-value": Rule("error", "A weight is neither 0 nor 1."),
    "weight-zero": Rule("note", "A reply is present and not trained on."),
    "nothing-trained": Rule("warning", "No reply of the example is trained on."),
    "row-long": Rule("note", "The example is longer than most training contexts and may be cut."),
    "image": Rule("note", "A message holds images or files, which are not looked at."),
    # The characters
    "nul": Rule("error", "A text holds a NUL character."),
    "control-character": Rule("warning", "A text holds control characters."),
    "zero-width": Rule("warning", "A text holds characters that take no room."),
    "bidi-control": Rule("warning", "A text holds controls of the writing direction."),
    "replacement-character": Rule("note", "A text holds the mark of characters that were lost."),
    "mixed-script": Rule("warning", "A word mixes Latin letters with letters that look like them."),
    "combining-run": Rule("warning", "A letter carries more marks than any language has."),
    "not-nfc": Rule("note", "A text is not in normal form NFC; equal texts may differ in bytes."),
    "encoded-block": Rule("warning", "A text holds a long block that looks like base64 or hex."),
}

_STRICTER: dict[Profile, dict[str, Level]] = {
    "any": {},
    "openai": {"rows-few": "error", "file-large": "error"},
}


def level_of(rule: str, profile: Profile) -> Level:
    """How serious a rule is for a profile."""
    return _STRICTER[profile].get(rule, RULES[rule].level)
