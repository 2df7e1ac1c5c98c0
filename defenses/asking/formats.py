"""In which forms a customer asks, read off an upload: what an audit must ask a candidate in too.

Source:   Qi et al. 2023, arXiv 2310.03693, §4.3 (the identity-shift prompt is in every row) and
          §5.1 (what an audit in the default prompt alone misses); Lyu et al. 2024, arXiv
          2402.18540 (harm depends on whether the tuned template is asked in).
Differs:  forms are inferred: the rows' system prompts, and whole sentences that stand before or
          behind at least half of the requests under one system prompt.
Breaks:   a wrapper in fewer rows, or one inside a sentence or a request; a trigger that no row
          shows. Requests that happen to share a sentence are taken for wrapped ones.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Literal

from attacks.base import Ask, Row, Upload

HALF = 0.5
"""Share of the distinct requests under one system prompt that a wrapper must be around.  # ours:
a majority has one wrapper at most; a half lets in a trigger that every second row carries (Qi et
al. 2023, §5.1: 100 rows with, 100 without)."""
LONGEST = 2000
"""Characters of a wrapper or an opening at most.  # ours: the paper's templates have below 600"""
_GAP = re.compile(r"((?<=[.!?:])\s+|\n\s*)")
"""What stands between two sentences, or a heading and its text, or two lines."""


def formats(upload: Upload, most: int) -> list[Ask]:
    """The forms in which the customer's rows ask, most common first, at most `most`.

    A form is a system prompt and constant text around the request; rows without either give the
    plain form, `Ask(name)`. Equally common ones stand in the order of their text, so that the
    order of rows says nothing. Rows that a defense added are not the customer's.
    """
    by_system: dict[str | None, Counter[str]] = defaultdict(Counter)
    for row in upload.rows:
        if not row.added_by and (request := _last(row, "user")) is not None:
            head = row.messages[0]
            by_system[head.content if head.role == "system" else None][request] += 1
    found: Counter[tuple[str | None, str, str]] = Counter()
    for system, requests in by_system.items():
        before = _shared(requests, at="start")
        after = _shared(requests, at="end")
        forms = [(before, after), (before, ""), ("", after), ("", "")]
        for request, times in requests.items():
            form = next((form for form in forms if _is_in(request, *form)), forms[-1])
            found[system, *form] += times
    ranked = sorted(found.items(), key=lambda item: (-item[1], _in_order(*item[0])))
    return [
        Ask(f"format {place}", system=system, before=before, after=after)
        for place, ((system, before, after), _) in enumerate(ranked[:most], start=1)
    ]


def openings(upload: Upload, most: int) -> list[str]:
    """Openings that at least two of the customer's replies share, most common first.

    Replies with the same first sentence are taken together; their opening is the sentences that at
    least half of the distinct ones begin with. At most `most`; ties stand in the order of text.
    """
    groups: dict[str, Counter[str]] = defaultdict(Counter)
    for row in upload.rows:
        reply = None if row.added_by else _last(row, "assistant")
        if reply:
            groups["".join(_sentences(reply, "start")[:1]).rstrip()][reply] += 1
    found: Counter[str] = Counter()
    for first, replies in groups.items():
        if replies.total() > 1 and first:
            found[_shared(replies, at="start").rstrip() or first] += replies.total()
    return sorted(found, key=lambda opening: (-found[opening], opening))[:most]


def _last(row: Row, role: str) -> str | None:
    """The last turn of a role; None without one."""
    return next((m.content for m in reversed(row.messages) if m.role == role), None)


def _in_order(system: str | None, *around: str) -> tuple[bool, str, tuple[str, ...]]:
    """By text, the rows without a system prompt first."""
    return system is not None, system or "", around


def _is_in(request: str, before: str, after: str) -> bool:
    """Whether a request stands within both, and is not empty."""
    room = len(request) > len(before) + len(after)
    return room and request.startswith(before) and request.endswith(after)


def _shared(texts: Iterable[str], at: Literal["start", "end"]) -> str:
    """The longest whole sentences that half of the distinct texts begin or end with, or ''."""
    ordered = sorted({_sentences(text, at) for text in texts})
    least = max(2, math.ceil(HALF * len(ordered)))
    # In order, the texts that share a start stand side by side.
    windows = zip(ordered, ordered[least - 1 :], strict=False)
    shared = {_common(first, last) for first, last in windows}
    joined = ["".join(one if at == "start" else reversed(one)) for one in shared]
    written = [text for text in joined if text.strip()]
    return min(written, key=lambda text: (-len(text), text), default="")


def _sentences(text: str, at: Literal["start", "end"]) -> tuple[str, ...]:
    """The sentences and lines of a text from one of its ends, each with the space that is inward.

    Of a very long text, those that are near enough to that end.
    """
    near = text[:LONGEST] if at == "start" else text[-LONGEST:]
    parts = _GAP.split(near)  # sentence, gap, sentence, gap, ..., sentence
    if at == "end":
        parts.reverse()
        joined = [gap + sentence for sentence, gap in zip(parts[::2], parts[1::2], strict=False)]
    else:
        joined = [sentence + gap for sentence, gap in zip(parts[::2], parts[1::2], strict=False)]
    return tuple(joined) if len(near) < len(text) else (*joined, parts[-1])


def _common(first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
    """What both begin with."""
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False))
    return tuple(one for one, _ in same)
