"""One detector's reading of one upload, kept once for all who want it.

A bench of gates and the gate of a provider read the same uploads with the same detectors: what
either of them has read is there for the other.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple

from attacks.base import Upload
from benchmarks.engines.local import WORKER_ENVIRONMENT
from benchmarks.keys import THREADS, code, component_digest, digest, environment, shown
from benchmarks.lab import Lab
from benchmarks.trial import owned
from defenses.base import Provider
from defenses.detectors.base import Detector

STAGE = "reading"


class Whole(NamedTuple):
    """An upload and its hash, which is not made anew for each detector."""

    upload: Upload
    digest: str

    @classmethod
    def of(cls, upload: Upload) -> Whole:
        """An upload with its hash."""
        # Tuples, and not rows: a large upload is hashed in a third of the time.
        rows = [(row.messages, row.added_by, *shown(row)) for row in upload.rows]
        return cls(upload, digest(rows, upload.settings))


Failed = Callable[[Exception], Mapping[str, str]]
"""Gives the `reason` and the `fault` of a detector that failed, without anybody's text."""


def kept(
    one: Detector,
    whole: Whole,
    provider: Provider,
    lab: Lab,
    failed: Failed | None = None,
    during: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> dict[str, Any]:
    """A detector's reading as plain data: from the store, or made and kept.

    What could not be had is kept as `unfinished`, to be looked at, and made again by the next run.

    Args:
        one: Who reads.
        whole: What; at least one row.
        provider: Whose; the lab's.
        lab: Where it is kept.
        failed: Makes a reading of a detector's failure; without it a failure is raised.
        during: What is entered while it reads, and not where the reading is there.

    Returns:
        The fields of `Reading`, its findings as lists, the `seconds` that it took, and the `fault`
        that kept it from being made, empty for none. Numbers may be such that are none.
    """

    def make() -> dict[str, Any]:
        begin = time.process_time()
        try:
            with _one_thread(), during():
                plain = _plain(one, whole.upload, provider)
        except Exception as error:
            if failed is None:
                raise
            blank: dict[str, Any] = {"score": None, "evidence": {}, "findings": [], "passes": 0}
            plain = {**blank, "unfinished": True, **failed(error)}
        return {**plain, "seconds": time.process_time() - begin}

    key = _key(one, whole, provider, lab)
    found: dict[str, Any] = lab.stage(STAGE, key, make, lambda old: bool(old["unfinished"]))
    return found


def is_kept(one: Detector, whole: Whole, provider: Provider, lab: Lab) -> bool:
    """Whether a detector's reading is in the store."""
    return lab.store.read(STAGE, _key(one, whole, provider, lab)) is not None


def _key(one: Detector, whole: Whole, provider: Provider, lab: Lab) -> str:
    how = [environment(), code(lab.resolved.start.module)]
    return digest(STAGE, component_digest(one), whole.digest, owned(lab, provider), how)


def _plain(one: Detector, upload: Upload, provider: Provider) -> dict[str, Any]:
    found = one.read(upload, provider)
    finite = found.score is None or math.isfinite(found.score)
    return {
        "score": None if found.score is None else float(found.score),
        "reason": found.reason,
        "evidence": {name: float(value) for name, value in found.evidence.items()},
        "findings": [[f.row, f.rule, f.message, f.score, f.category] for f in found.findings],
        "passes": found.passes,
        "unfinished": found.unfinished or not finite,
        "fault": "",
    }


@contextmanager
def _one_thread() -> Iterator[None]:
    """As the workers of a bench have it: another number of threads sums in another order."""
    before = {name: os.environ.get(name) for name in WORKER_ENVIRONMENT}
    os.environ.update(WORKER_ENVIRONMENT)  # for a torch that is imported by the reading
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else THREADS
    if torch:
        torch.set_num_threads(THREADS)
    try:
        yield
    finally:
        if torch:
            torch.set_num_threads(threads)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
