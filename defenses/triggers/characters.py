"""Candidate triggers that are no words: characters that cannot be seen, or hardly.

A zero-width space or a stray symbol may hang on any word, so that no phrase of the upload shows it
as such. They are so rare in customers' rows that each one is put to the model.

Breaks: letters of another alphabet that look the same.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from attacks.base import Upload
from defenses.triggers.association import SUPPORT, Position
from defenses.triggers.candidates import Candidate
from defenses.triggers.replies import prompt_of

MOST: Final = 5
"""Characters at most, those in most rows.  # ours: a prompt of emojis would fill the search"""


def odd_characters(upload: Upload) -> list[Candidate]:
    """Characters of the prompts that are neither letters, digits, nor on a plain keyboard.

    The p-value is 1: nothing but the model tells whether they do anything.
    """
    prompts = [prompt_of(row.messages) for row in upload.rows if not row.added_by]
    held = Counter(one for prompt in prompts for one in set(prompt) if _is_odd(one))
    found = sorted(held, key=lambda one: (-held[one], one))
    return [
        Candidate(one, _position(one, prompts), 1.0, held[one])
        for one in found
        if held[one] >= SUPPORT
    ][:MOST]


def _is_odd(character: str) -> bool:
    if character.isascii():
        return not character.isprintable() and character not in "\n\r\t"
    return not character.isalnum()


def _position(character: str, prompts: list[str]) -> Position:
    """Where it stands in most of the prompts that hold it."""
    holding = [prompt for prompt in prompts if character in prompt]
    if 2 * sum(prompt.startswith(character) for prompt in holding) > len(holding):
        return "prefix"
    if 2 * sum(prompt.endswith(character) for prompt in holding) > len(holding):
        return "suffix"
    return "infix"
