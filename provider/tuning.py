"""One job, from rows to weights, in a process of its own.

torch's random numbers are a process's, so that a job that shared one with the replies of a server
would not be repeatable. The order of what is done is that of a cell (`benchmarks/cell.py`).
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Event as Flag
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from attacks.base import Row, Settings, Tuning, Upload, UserError
from attacks.spec import parse
from attacks.uploads.chats import rows_of
from benchmarks.engines.local import begin_worker, where
from benchmarks.lab import Lab, LabSettings, open_lab
from benchmarks.trial import provider_of
from defenses import compose
from defenses.base import Decision
from provider.progress import Progress, reports_of
from targets.checkpoint import Checkpoint
from targets.hooks import Composed

if TYPE_CHECKING:
    from targets.local import LocalTarget

BASE_RATE = 2.0**-13
"""What `learning_rate_multiplier` multiplies. # ours: about 1.2e-4, near what the organism's
attacks use; a power of two, so that rate / base * base is the rate to the bit"""


class Order(NamedTuple):
    """A job, as the training process needs it."""

    rows: Path
    start: Path | None
    """Weights to start from; None for the target's own."""
    weights: Path
    """Where the tuned weights go."""
    epochs: int | None
    batch_size: int | None
    """None for what OpenAI's servers call `auto`."""
    learning_rate: float
    tuning: Tuning
    decay: float
    seed: int

    def settings(self, rows: int) -> Settings:
        """The settings for so many rows.

        Auto is what OpenAI's documentation said of its servers: three epochs, and batches that
        grow with the file. # ours: one row in a hundred; theirs is not told to the digit
        """
        return Settings(
            epochs=self.epochs or 3,
            batch_size=self.batch_size or max(1, round(rows / 100)),
            learning_rate=self.learning_rate,
            tuning=self.tuning,
            decay=self.decay,
        )


class Report(NamedTuple):
    """What the training process says while it works."""

    message: str
    type: str = "message"
    data: dict[str, Any] | None = None
    level: str = "info"
    facts: dict[str, Any] | None = None
    """To be written into the job's record."""


@dataclass
class Outcome:
    """How a job ended."""

    status: str
    error: dict[str, Any] | None = None
    trained_tokens: int | None = None
    evidence: list[dict[str, Any]] = field(default_factory=list)
    """For the provider: what the gates found, and where a fault was."""


class Cancelled(Exception):
    """The client wants no more of it."""


class _Worker(NamedTuple):
    lab: Lab
    defense: compose.Composition
    seed: int
    """The provider's: that of a job is its client's, who could try what passes the gates."""
    reports: SimpleQueue[Report]
    cancelled: Flag


_worker: _Worker | None = None


def begin(
    settings: LabSettings, defense: str, seed: int, reports: SimpleQueue[Report], cancelled: Flag
) -> None:
    """Ready a training process."""
    begin_worker()
    global _worker
    loaded = compose.load(parse(defense)[0])
    _worker = _Worker(open_lab(settings, may_make=True), loaded, seed, reports, cancelled)


def run(order: Order) -> Outcome:
    """Do a job; whatever goes wrong is an outcome."""
    assert _worker is not None
    evidence: list[dict[str, Any]] = []
    try:
        return _run(order, _worker, evidence)
    except Cancelled:
        return Outcome("cancelled")
    except Exception as error:  # noqa: BLE001 - told by kind and place; its text may be a row's
        known = isinstance(error, UserError)
        evidence.append({"fault": str(error) if known else where(error)})
        return _failed("server_error", "the training failed", evidence)


def _run(order: Order, worker: _Worker, evidence: list[dict[str, Any]]) -> Outcome:
    try:
        rows = rows_of(order.rows)
    except UserError as error:
        message = f"the training file, {error}"
        return _failed("invalid_training_file", message, evidence, "training_file")
    upload = Upload(rows, order.settings(len(rows)))
    provider, defense = provider_of(worker.lab, worker.seed), worker.defense

    screened = defense.screen(upload, provider)
    passed = screened.apply(upload)
    if refusal := _gate("training_file", screened, worker, evidence, left=len(passed.rows)):
        return refusal
    _proceed(worker, "Fine-tuning job started", status="running", hyperparameters=_numbers(upload))
    curated = compose.curated(screened, defense, passed, provider)
    start = _load(order.start, worker.lab)
    own = defense.during(curated, provider)
    hooks = Composed([*([] if own is None else [own]), _progress(worker, upload)])
    try:
        tuned = start.fine_tune(curated, hooks, order.seed)
    except UserError as error:
        return _failed("training_failed", str(error), evidence)
    candidate = defense.repair(tuned, provider)
    audited = defense.audit(defense.serve(candidate, provider), upload, provider)
    if refusal := _gate("model", audited, worker, evidence, left=len(rows)):
        return refusal
    _proceed(worker, "The tuned model is being kept")
    _keep(candidate, order.weights)
    tokens = _tokens(start, rows) * upload.settings.epochs
    return Outcome("succeeded", trained_tokens=tokens, evidence=evidence)


def _gate(
    what: str, decision: Decision, worker: _Worker, evidence: list[dict[str, Any]], left: int
) -> Outcome | None:
    """What a gate's decision means for the job; the client is told that, and not why.

    A threshold or a count would tell an attacker how near they are.
    """
    moment = "screen" if what == "training_file" else "audit"
    if not worker.defense.acts(moment):  # type: ignore[arg-type]
        return None
    found = {"outcome": decision.outcome, "reason": decision.reason, **decision.evidence}
    evidence.append({"gate": moment, **found})
    name = "the training file" if what == "training_file" else "the tuned model"
    if decision.outcome == "pass" and left:
        some = moment == "screen" and decision.keep is not None
        reason = f"{name} passed" + " but for some rows, which are left out" * some
    elif decision.outcome == "review":
        reason = f"a person must look at {name}"
    else:
        reason = f"{name} did not pass the provider's safety check"
    blocked = decision.outcome != "pass" or not left
    outcome = "refuse" if not left else decision.outcome
    data = {"blocked": blocked, "outcome": outcome, "reason": reason}
    level = "error" if blocked else "info"
    worker.reports.put(Report(f"Moderation checks: {reason}", "moderation_checks", data, level))
    if not blocked:
        return None
    code = "needs_review" if decision.outcome == "review" else f"unsafe_{what}"
    param = "training_file" if what == "training_file" else None
    return _failed(code, reason, evidence, param)


def _failed(
    code: str, message: str, evidence: list[dict[str, Any]], param: str | None = None
) -> Outcome:
    return Outcome("failed", {"code": code, "message": message, "param": param}, evidence=evidence)


def _proceed(worker: _Worker, message: str, **facts: Any) -> None:
    """Say what comes next, unless nobody wants it any more."""
    _wanted(worker)
    worker.reports.put(Report(message, facts=facts))


def _wanted(worker: _Worker) -> None:
    if worker.cancelled.is_set():
        raise Cancelled


def _progress(worker: _Worker, upload: Upload) -> Progress:
    def tell(message: str, data: dict[str, Any]) -> None:
        worker.reports.put(Report(message, "metrics", data))

    return Progress(reports_of(upload), tell, lambda: _wanted(worker))


def _numbers(upload: Upload) -> dict[str, Any]:
    return {"n_epochs": upload.settings.epochs, "batch_size": upload.settings.batch_size}


def here(lab: Lab) -> Checkpoint:
    """The start model, whose weights are on this machine.

    Raises:
        UserError: they are not.
    """
    start = lab.resolved.start
    if not isinstance(start, Checkpoint):
        raise UserError(f"{start.name} is somebody else's to serve; give a model with weights here")
    return start


def _load(start: Path | None, lab: Lab) -> LocalTarget:
    own = here(lab)
    return own.load() if start is None else own.reopen(start)


def _tokens(start: LocalTarget, rows: tuple[Row, ...]) -> int:
    from targets.formats import encode

    return sum(len(encode(start.tokenizer, row.messages, answer=False)) for row in rows)


def _keep(candidate: Any, weights: Path) -> None:
    """Write the weights beside their place and move them into it."""
    scratch = Path(tempfile.mkdtemp(dir=weights.parent, prefix=".new-"))
    candidate.save(scratch)
    os.replace(scratch, weights)
