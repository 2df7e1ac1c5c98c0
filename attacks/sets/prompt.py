"""A system prompt in a text file: a copy that the user has of the paper's, in place of our words.

Source:  the protocol of Qi et al. 2023, arXiv 2310.03693, §4.1: one prompt trains and asks, the
         untuned model too.
Differs: blanks and line breaks around it do not count, since editors add them.
"""

from __future__ import annotations

from pathlib import Path

from attacks.base import UserError
from attacks.sets.decoding import decoded


def system_prompt(path: Path | None, ours: str) -> str:
    """What a file says, or our words where there is none.

    Raises:
        UserError: it cannot be read, is no text, or is empty.
    """
    if path is None:
        return ours
    try:
        text = decoded(path.read_bytes()).strip()
    except OSError as error:
        raise UserError(f"system={path}: cannot be read: {error.strerror}") from error
    except UserError as error:
        raise UserError(f"system={path}: {error}") from None
    if not text:
        raise UserError(f"system={path}: it is empty; give a text file with a system prompt")
    return text
