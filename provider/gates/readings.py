"""An upload read by detectors and by moderators of rows, each reading kept under what it is of.

A killed command resumes: what was read is in the store. What failed is told by kind and place, is
never taken for a low score, and is tried again by the next run.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from attacks.base import Chat, Upload, UserError
from benchmarks.engines.local import where
from benchmarks.gates.reading import SEED as SEED  # as gates are fitted with
from benchmarks.keys import code, component_digest, digest, environment
from benchmarks.lab import Lab
from benchmarks.readings import Whole, kept
from benchmarks.trial import owned, provider_of
from defenses.base import Provider
from defenses.detectors.base import Detector, detector
from eval.moderators.base import Moderator, Scored, worst
from provider.gates import paying
from provider.gates.report import Fault, Moderated, Place, Read
from targets.hosted.ledger import Purse

MOST_PLACES = 100
"""Places kept of a detector or a moderator.  # ours: more than a person looks at"""
FLAGGED_AT = 0.5
"""Score from which a row counts as flagged.  # ours: even odds, as `moderate` has it"""
CHUNK = 256
"""Rows a moderator is given at a time.  # ours: what is lost by an interruption at most"""
_INFRASTRUCTURE = 4

Tick = Callable[[], None]
"""Told that one more piece is done."""


class Lines(NamedTuple):
    """Where the upload's rows stand in the file."""

    of: Sequence[int]
    """Line by row, from 1."""

    def __call__(self, row: int) -> int | None:
        """The line of a row; None of a row that there is not."""
        return self.of[row] if 0 <= row < len(self.of) else None


def read_ahead(spec: str, whole: Whole, lab: Lab) -> None:
    """Have a detector's reading in the store; what a worker does."""
    read(spec, detector(spec), whole, provider_of(lab, SEED), lab, Lines(()))


def read(
    spec: str,
    one: Detector,
    whole: Whole,
    provider: Provider,
    lab: Lab,
    lines: Lines,
    purse: Purse | None = None,
) -> Read:
    """One detector's reading; missing, with why, where it could not be had.

    What moderators that it is made of send to a server is taken from the purse.
    """
    lacking = sorted(one.needs() - lab.resolved.start.has)
    if lacking:
        reason = f"needs {' and '.join(lacking)} of the served model here"
        return Read(score=None, reason=reason, fault="needs")
    chats = [row.messages for row in whole.upload.rows]

    def sending() -> AbstractContextManager[None]:
        return paying.sending(one.uses(), chats, purse or Purse())

    plain = kept(one, whole, provider, lab, _fault, sending)
    score, reason, fault = plain["score"], plain["reason"], plain["fault"]
    if score is None and not fault:
        reason = reason or "no reason is given"
        fault = "infrastructure" if plain["unfinished"] else ""
    elif score is not None and not math.isfinite(score):
        score, reason, fault = None, "its score is no finite number", "detector"
    places = tuple(
        Place(line=lines(row), rule=f"{spec}/{rule}", level="warning",
              message=rule.replace("-", " "), turn=turn, score=strength, category=category)
        for row, rule, turn, strength, category in plain["findings"][:MOST_PLACES]
    )  # fmt: skip
    return Read(
        score=score,
        evidence={k: v for k, v in plain["evidence"].items() if math.isfinite(v)},
        places=places,
        reason=reason,
        fault=fault,
        passes=plain["passes"],
    )


def moderated(
    spec: str,
    one: Moderator,
    upload: Upload,
    provider: Provider,
    lab: Lab,
    lines: Lines,
    tick: Tick,
    purse: Purse | None = None,
) -> Moderated:
    """What a moderator says of every row; one behind a server spends from the purse.

    Raises:
        UserError: nothing can be scored, for a reason that is the user's to mend.
    """
    chats = [row.messages for row in upload.rows]
    found: list[dict[str, Any]] = []
    for start in range(0, len(chats), CHUNK):
        chunk = chats[start : start + CHUNK]
        start_code = code(lab.resolved.start.module)
        parts = (component_digest(one), chunk, owned(lab, provider), environment(), start_code)
        key = digest("moderated", *parts)
        plain = lab.stage(
            "moderated", key, _scoring(one, chunk, provider, purse or Purse()), _failed
        )
        found += plain["rows"] or [{"scores": None, **plain}] * len(chunk)
        tick()
    return _told(spec, found, lines)


def pieces(detectors: int, moderators: int, rows: int) -> int:
    """How many pieces of work there are."""
    return detectors + moderators * math.ceil(rows / CHUNK)


def _failed(plain: dict[str, Any]) -> bool:
    return bool(plain["fault"])


def _scoring(
    one: Moderator, chats: Sequence[Chat], provider: Provider, purse: Purse
) -> Callable[[], dict[str, Any]]:
    def make() -> dict[str, Any]:
        try:
            with paying.sending([one], chats, purse):
                found = one.scored(chats, provider)
        except Exception as error:
            if isinstance(error, UserError) and error.exit_code != _INFRASTRUCTURE:
                raise
            return {"rows": None, **_fault(error)}
        again = any(row.scores is None and row.again for row in found)
        fault: Fault = "infrastructure" if again else ""
        return {"rows": [_row(row) for row in found], "reason": "", "fault": fault}

    return make


def _row(row: Scored) -> dict[str, Any]:
    fault: Fault = "infrastructure" if row.scores is None and row.again else ""
    scores = None if row.scores is None else dict(row.scores)
    return {"scores": scores, "reason": row.why, "fault": fault}


def _fault(error: Exception) -> dict[str, str]:
    """A failure, as a reason without anybody's text."""
    known = isinstance(error, UserError)
    outside = isinstance(error, OSError) or getattr(error, "exit_code", 0) == _INFRASTRUCTURE
    reason = str(error) if known else where(error)
    return {"reason": reason, "fault": "infrastructure" if outside else "detector"}


def _told(spec: str, found: Sequence[dict[str, Any]], lines: Lines) -> Moderated:
    highest = [worst(row["scores"]) for row in found]
    known = [score for score in highest if score is not None]
    flagged = [i for i, score in enumerate(highest) if score is not None and score >= FLAGGED_AT]
    categories = Counter(
        name for i in flagged for name, score in found[i]["scores"].items() if score >= FLAGGED_AT
    )
    reasons = Counter(row["reason"] for row in found if row["scores"] is None and row["reason"])
    faults = {row["fault"] for row in found if row["scores"] is None} - {""}
    strongest = sorted(flagged, key=lambda i: (-(highest[i] or 0.0), i))[:MOST_PLACES]
    places = tuple(
        Place(line=lines(i), rule=spec, level="warning", message="flagged by a moderator of rows",
              score=highest[i], category=max(found[i]["scores"], key=found[i]["scores"].get))
        for i in strongest
    )  # fmt: skip
    return Moderated(
        rows=len(found),
        missing=len(found) - len(known),
        flagged=len(flagged),
        at=FLAGGED_AT,
        highest=max(known, default=None),
        by_category=dict(sorted(categories.items())),
        places=places,
        reason="; ".join(f"{reason} ({n} rows)" for reason, n in reasons.most_common(3)),
        fault="infrastructure" if "infrastructure" in faults else max(faults, default=""),
    )
