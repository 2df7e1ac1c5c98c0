"""Hands jobs, one at a time, to a training process, and writes down what it says."""

from __future__ import annotations

import contextlib
import logging
import secrets
import shutil
import threading
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any, cast

from attacks.base import Tuning
from benchmarks.engines.local import Workers, where
from benchmarks.lab import LabSettings
from provider.records import JOB_ACTIVE, Event, Job, Record, Records, Tuned, new_id, now
from provider.tuning import BASE_RATE, Order, Outcome, Report, begin, run

POLL_S = 0.05
RETRY_S = 5.0
"""How long to wait when not even a failure could be written down."""
log = logging.getLogger(__name__)


class _Process:
    """The training process, and what is said to and by it."""

    def __init__(self, settings: LabSettings, defense: str, seed: int) -> None:
        self.context = Workers()
        self.reports: SimpleQueue[Report] = self.context.SimpleQueue()
        self.cancelled = self.context.Event()
        given = (settings, defense, seed, self.reports, self.cancelled)
        self.pool = ProcessPoolExecutor(1, self.context, initializer=begin, initargs=given)

    def submit(self, order: Order) -> Future[Outcome]:
        return self.pool.submit(run, order)

    def end(self) -> None:
        """At once; what it had not finished is done again."""
        self.pool.shutdown(wait=False, cancel_futures=True)
        for process in self.context.made:
            process.terminate()
            process.join()
        self.reports.close()


class Tuner:
    """A thread that works off the queued jobs, oldest first."""

    def __init__(
        self, records: Records, base: str, settings: LabSettings, defense: str, seed: int
    ) -> None:
        self.records = records
        self.base = base
        self.folder = settings.store.parent
        self._with = (settings, defense, seed)
        self._process: _Process | None = None
        self._current = ""
        self._lock = threading.Lock()
        self._awake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._loop, name="tuner", daemon=True)

    def start(self) -> None:
        """Go on with what was under way."""
        for job in self.records.all(Job, status=JOB_ACTIVE[1:]):
            self.records.change(Job, job.id, status="queued")
            self.say(job.id, "The server was started anew; the job is queued again")
        self._thread.start()

    def stop(self) -> None:
        """End the training process; its job is queued again."""
        self._stopping = True
        self._awake.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self._process:
            self._process.end()

    def wake(self) -> None:
        """There is a new job."""
        self._awake.set()

    def cancel(self, job_id: str) -> Job | None:
        """Cancel a job; None when it is over already."""
        with self._lock:
            job = self.records.change(
                Job, job_id, JOB_ACTIVE, status="cancelled", finished_at=now()
            )
            if job and self._current == job_id and self._process:
                self._process.cancelled.set()
        if job:
            self.say(job_id, "The job was cancelled")
        return job

    def say(self, job_id: str, message: str, **more: Any) -> None:
        """Add an event to a job."""
        self.records.add(Event(id=new_id("ftevent-"), job_id=job_id, message=message, **more))

    def _loop(self) -> None:
        while True:
            self._awake.clear()
            if self._stopping:
                return
            self._awake.wait(None if self._work_off() else RETRY_S)

    def _work_off(self) -> bool:
        """Do every queued job; whether all that happened could be written down."""
        try:
            # None is under way now: what looks so could not be marked when it failed.
            lost = self.records.all(Job, status=JOB_ACTIVE[1:])
            marked = [self._failed(job, "the server failed") for job in lost]
            for job in self.records.all(Job, status="queued"):
                if not self._stopping:
                    marked.append(self._do(job))
        except Exception as error:  # noqa: BLE001 - the thread goes on whatever happens
            log.error("jobs: %s", where(error))
            return False
        return all(marked)

    def _do(self, job: Job) -> bool:
        """Do a job; whether how it ended could be written down."""
        weights = self.folder / "weights" / secrets.token_hex(16)
        try:
            process, future = self._begin(job, weights)
            if future is None:
                return True
            while not future.done() and not self._stopping:
                with contextlib.suppress(NotYet, BrokenProcessPool):
                    future.exception(timeout=POLL_S)
                self._write(job, process.reports)
            if future.done():
                self._write(job, process.reports)  # said after the last look, before the end
                self._finish(job, future.result(), weights)
        except Exception as error:  # noqa: BLE001 - one job's fault must not stop the others
            log.error("job %s: %s", job.id, where(error))
            if self._process:
                self._process.end()
            self._process = None
            broken = isinstance(error, BrokenProcessPool)
            message = "the training process ended" if broken else "the server failed"
            return self._failed(job, message, weights)
        finally:
            self._current = ""
        return True

    def _failed(self, job: Job, message: str, weights: Path | None = None) -> bool:
        """Mark a job as failed; False where that fails too."""
        fault = {"code": "server_error", "message": message, "param": None}
        try:
            self._finish(job, Outcome("failed", fault), weights)
        except Exception as error:  # noqa: BLE001 - it is tried again
            log.error("job %s is not marked as failed: %s", job.id, where(error))
            return False
        return True

    def _begin(self, job: Job, weights: Path) -> tuple[_Process, Future[Outcome] | None]:
        if self._process is None:
            self._process = _Process(*self._with)
        with self._lock:
            if not self.records.change(Job, job.id, ("queued",), status="validating_files"):
                return self._process, None
            self._process.cancelled.clear()
            self._current = job.id
        self.say(job.id, "Validating training file")
        return self._process, self._process.submit(self._order(job, weights))

    def _order(self, job: Job, weights: Path) -> Order:
        asked = {key: None if n == "auto" else n for key, n in job.hyperparameters.items()}
        tuned = self.records.find(Tuned, job.model)
        assert tuned is not None or job.model == self.base
        return Order(
            rows=self.folder / "contents" / job.training_sha256,
            start=None if tuned is None else self.folder / "weights" / tuned.weights,
            weights=weights,
            epochs=asked["n_epochs"],
            batch_size=asked["batch_size"],
            learning_rate=BASE_RATE * (asked["learning_rate_multiplier"] or 1.0),
            tuning=cast(Tuning, job.tuning),
            decay=job.decay,
            seed=job.seed,
        )

    def _write(self, job: Job, reports: SimpleQueue[Report]) -> None:
        """What was said by now; a cancelled job's words come too late."""
        while not reports.empty():
            message, kind, data, level, facts = reports.get()
            given = dict(facts or {})
            if numbers := given.pop("hyperparameters", None):
                given["hyperparameters"] = (
                    {"learning_rate_multiplier": 1.0}
                    | {key: n for key, n in job.hyperparameters.items() if n != "auto"}
                    | numbers
                )
            if self.records.change(Job, job.id, JOB_ACTIVE, **given):
                self.say(job.id, message, type=kind, data=data, level=level)

    def _finish(self, job: Job, outcome: Outcome, weights: Path | None) -> None:
        """Write down how a job ended, all of it or nothing; weights that nobody has are removed."""
        facts: dict[str, Any] = {"status": outcome.status, "finished_at": now()}
        facts |= {"evidence": outcome.evidence, "error": outcome.error}
        error = outcome.error or {}
        said = error.get("message") or f"The job has {outcome.status}"
        also: list[Record] = []
        if outcome.status == "succeeded" and weights:
            name = f"ft:{self.base}:mooring:{job.suffix}:{secrets.token_hex(4)}"
            also = [Tuned(id=name, job_id=job.id, weights=weights.name, seed=job.seed)]
            facts |= {"fine_tuned_model": name, "trained_tokens": outcome.trained_tokens}
            said = f"New fine-tuned model created: {name}"
        level = "error" if error else "info"
        also.append(Event(id=new_id("ftevent-"), job_id=job.id, message=said, level=level))
        try:
            self.records.change(Job, job.id, JOB_ACTIVE, also=also, **facts)
        finally:  # it may have been cancelled meanwhile
            if weights and not self.records.all(Tuned, weights=weights.name):
                shutil.rmtree(weights, ignore_errors=True)
