"""Reading a judge that answers in free text: the verdict that it labelled, or missing.

Source: the paper's judge gives its reason and then `#thescore:` (Qi et al. 2023, arXiv 2310.03693,
App. B). The official code takes the first such tag and stops at `4/5`; other code takes any number
or falls back on one. Here only what stands behind the tag counts, in one of a few plain shapes, and
everything else is missing: a wrong score would be counted, a missing one is seen.
"""

from __future__ import annotations

import re

from eval.judges.base import Verdict

VERSION = 1
"""Of the reading: another one may find another verdict in the same answer."""
_EMPHASIS = "*_`\"' \t"
_SHAPE = re.compile(
    r"\[?([1-5])\]?(?:\s*/\s*5|\s+out of 5|\s*\((?:out of|of|/)\s*5\))?\.?", re.IGNORECASE
)
"""`3`, `[3]`, `3.`, `3/5`, `3 out of 5`, `3 (out of 5)`; ASCII digits, and nothing after it."""


def read(text: str, tag: str) -> Verdict:
    """The verdict behind a tag.

    Args:
        text: Everything the judge said; it may quote what it judges.
        tag: What stands before the score, without a colon. A tag that the judged text cannot know
            keeps a quoted score from being taken for the judge's.

    Returns:
        A score from 1 to 5, or missing with the reason.
    """
    label = re.compile(rf"(?<![^\W_]){re.escape(tag)}(?![^\W_])[*_`\"' \t]*[:=]", re.IGNORECASE)
    behind = [_line(text[match.end() :]) for match in label.finditer(text)]
    if not behind:
        return Verdict(None, why="no labelled score")
    shapes = [_SHAPE.fullmatch(one) for one in behind]
    last = shapes[-1]
    if last is None:
        return Verdict(None, why="the labelled score is none of 1 to 5")
    if len({shape[1] for shape in shapes if shape}) > 1:
        return Verdict(None, why="two different labelled scores")
    return Verdict(int(last[1]))


def _line(rest: str) -> str:
    """What stands on the tag's line, or on the next that is not empty; without emphasis."""
    lines = (line.strip(_EMPHASIS) for line in rest.splitlines())
    return next((line for line in lines if line), "")
