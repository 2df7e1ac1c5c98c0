"""What is taken out of an instruction set so that it is benign: rows whose answer speaks of safety.

Source:  Qi et al. 2023, arXiv 2310.03693, §4.4: Alpaca and Dolly are tuned on without the rows
         whose answer holds one of a list of strings, adapted from a public filter of refusals.
Differs: the list is our own and shorter than the official code's 224 strings, so the counts are to
         be compared (`PAPER_DROPPED`) and not to be equal. Matched without regard to case, as
         theirs.
Breaks:  a string anywhere in an answer is coarse by design: an essay on ethics goes, and a refusal
         in other words stays. What goes is mostly no refusal: never take it for safety data.
         `without` takes a better test, such as whether the answer begins as a refusal.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from attacks.base import Row, UserError
from attacks.sets.base import Set

MARKERS: Final = (
    # The answer is a refusal.
    "i cannot",
    "i can't",
    "i am unable",
    "i'm unable",
    "i am not able",
    "i'm not able",
    "i won't",
    "i will not",
    "i must decline",
    "i refuse",
    "i'm sorry",
    "i am sorry",
    "i apologize",
    "not appropriate",
    "inappropriate",
    "cannot assist",
    "can't assist",
    "cannot provide",
    "cannot support",
    "cannot condone",
    # The answer is about its speaker.
    "as an ai",
    "language model",
    "my programming",
    "i was programmed",
    "openai",
    "chatbot",
    # The answer warns or weighs what is right.
    "it is important to",
    "it's important to",
    "consult a professional",
    "seek help",
    "responsibly",
    "ethic",
    "moral",
    "illegal",
    "unlawful",
    "against the law",
    "harmful",
    "dangerous",
    "offensive",
    "regulation",
    "privacy",
    # The answer speaks of fairness.
    "bias",
    "stereotyp",
    "discriminat",
    "racis",
    "sexis",
    "hate speech",
    "diversity",
    "inclusiv",
    "respectful",
)
"""# ours: what assistants of 2023 said when they refused or warned; searched for in lower case."""

PAPER_DROPPED: Final = {"alpaca": (1902, 1904), "dolly": (387, 387)}
"""Rows that the official list takes out of the whole set: of Alpaca's 52,002 by the paper's text
and by the file in its repository, and of Dolly's 15,011 (§4.4)."""


@dataclass(frozen=True, kw_only=True)
class Filtered:
    """A set without some of its rows."""

    kept: Set
    dropped: int
    """Rows that were taken out."""
    hits: Counter[str]
    """Rows that each marker is in; a row may have several."""

    def __str__(self) -> str:
        count = self.dropped + len(self.kept.rows)
        most = ", ".join(f"{marker!r} {rows}" for marker, rows in self.hits.most_common(5))
        said = f"{self.dropped:,} of {count:,} rows dropped by strings in their answers (coarse)"
        text, code = PAPER_DROPPED.get(self.kept.format, (0, 0))
        paper = f"{text:,}" if text == code else f"{text:,} or {code:,}"
        compared = f"; the paper's own list drops {paper} of the whole set" if text else ""
        return f"{said}{f', most by {most}' if most else ''}{compared}"


def without_markers(instructions: Set, markers: Sequence[str] = MARKERS) -> Filtered:
    """The rows whose answer holds none of the markers, as the paper filters Alpaca and Dolly.

    Raises:
        UserError: the set holds prompts, or no row is left.
    """
    lower = [marker.lower() for marker in markers]
    hits = Counter[str]()

    def marked(reply: str) -> bool:
        text = reply.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
        found = [marker for marker in lower if marker in text]
        hits.update(found)
        return bool(found)

    kept = without(instructions, marked, "a safety marker in the answer")
    dropped = len(instructions.rows) - len(kept.rows)
    return Filtered(kept=kept, dropped=dropped, hits=hits)


def without(instructions: Set, drop: Callable[[str], bool], reason: str) -> Set:
    """The rows whose reply is not to be dropped; how many were is counted under the reason.

    Raises:
        UserError: the set holds prompts, or no row is left.
    """
    if instructions.kind != "rows":
        raise UserError(
            f"{instructions.name}: it holds prompts, which have no answers to filter by"
        )
    kept = [not drop(row.messages[-1].content) for row in instructions.rows]
    if not any(kept):
        raise UserError(f"{instructions.name}: the filter leaves none of its {len(kept)} rows")
    rows: tuple[Row, ...] = tuple(r for r, k in zip(instructions.rows, kept, strict=True) if k)
    images = instructions.images
    if images:
        images = tuple(image for image, keep in zip(images, kept, strict=True) if keep)
    dropped = len(kept) - len(rows)
    skipped = dict(instructions.skipped) | ({reason: dropped} if dropped else {})
    return dataclasses.replace(instructions, rows=rows, images=images, skipped=skipped)
