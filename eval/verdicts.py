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


def read(text: str, tag: str) -> Verdict:
    """The verdict behind a tag: a score from 1 to 5, or missing with the reason."""
    score, why = number(text, tag, 1, 5)
    return Verdict(score, why=why)


def number(text: str, tag: str, low: int, high: int) -> tuple[int | None, str]:
    """The number behind a tag.

    Args:
        text: Everything the judge said; it may quote what it judges.
        tag: What stands before the number, without a colon. A tag that the judged text cannot know
            keeps a quoted number from being taken for the judge's.
        low: The lowest whole number allowed.
        high: The highest.

    Returns:
        The number and nothing, or None and why there is none.
    """
    behind = [_line(text[match.end() :]) for match in _labels(text, tag)]
    if not behind:
        return None, "no labelled score"
    # `3`, `[3]`, `3.`, `3/5`, `3 out of 5`, `3 (out of 5)`; ASCII digits, and nothing after it.
    allowed = "|".join(map(str, range(low, high + 1)))
    shape = re.compile(
        rf"\[?({allowed})\]?"
        rf"(?:\s*/\s*{high}|\s+out of {high}|\s*\((?:out of|of|/)\s*{high}\))?\.?",
        re.IGNORECASE,
    )
    shapes = [shape.fullmatch(one) for one in behind]
    last = shapes[-1]
    if last is None:
        return None, f"the labelled score is none of {low} to {high}"
    if len({one[1] for one in shapes if one}) > 1:
        return None, "two different labelled scores"
    return int(last[1]), ""


def place(text: str, tag: str) -> int | None:
    """Where the digit of a score stands that was read: none stands between it and its tag."""
    labels = _labels(text, tag)
    digit = re.compile("[1-5]").search(text, labels[-1].end()) if labels else None
    return digit.start() if digit else None


def _labels(text: str, tag: str) -> list[re.Match[str]]:
    label = rf"(?<![^\W_]){re.escape(tag)}(?![^\W_])[*_`\"' \t]*[:=]"
    return list(re.finditer(label, text, re.IGNORECASE))


def _line(rest: str) -> str:
    """What stands on the tag's line, or on the next that is not empty; without emphasis."""
    lines = (line.strip(_EMPHASIS) for line in rest.splitlines())
    return next((line for line in lines if line), "")
