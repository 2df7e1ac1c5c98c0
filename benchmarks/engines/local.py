"""Cells in parallel on this machine: persistent worker processes with one thread each.

One thread a worker: two spinning thread pools beside each other are many times slower than one.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from typing import Any, Generic, TypeVar

from attacks.base import UserError
from benchmarks.keys import THREADS
from benchmarks.lab import Lab, LabSettings, open_lab

WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": str(THREADS),
    "MKL_NUM_THREADS": str(THREADS),
    "OMP_WAIT_POLICY": "passive",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
"""Read by the libraries when they are first imported, so a worker is started in it."""


DEBUG = "MOORING_DEBUG"
"""When it is set, workers print whole tracebacks, texts of rows and replies in them included."""

Item = TypeVar("Item")
Result = TypeVar("Result")
Work = Callable[[Item, Lab], Result]
"""What is done with one item in one worker's lab; a function of a module, so that it travels."""


@dataclass(frozen=True)
class Done(Generic[Item, Result]):
    """One item's result, and what was made for it."""

    item: Item
    result: Result | None
    """None when it failed."""
    failure: str
    """Why it failed; no text of a row or a reply is in it."""
    made: dict[str, int]
    seconds: dict[str, float]


class WorkFailed(UserError):
    """What a worker did raised something that no user is to blame for."""

    exit_code = 4


class WorkerDied(UserError):
    """A worker ended without a word: killed, or out of memory."""

    exit_code = 4

    def __init__(self) -> None:
        super().__init__(
            "a worker process ended, perhaps killed for want of memory; what it had finished is "
            "stored, and the same command goes on (fewer --workers take less memory; in a script "
            'of your own, put the call under: if __name__ == "__main__":)'
        )


def workers(asked: int | None, chains: int, alone: bool = False) -> int:
    """How many processes: as asked, or one a core, and no more than there are chains.

    Where a model fills a GPU alone, one unless others are asked for.
    """
    if alone:
        return max(1, min(asked or 1, chains))
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(asked or available or 1, chains))


def run(
    chains: Sequence[Sequence[Item]],
    settings: LabSettings,
    count: int,
    work: Work[Item, Result],
) -> Iterator[Done[Item, Result]]:
    """Results as they come.

    A chain's items share models, so one of them runs at a time; chains take turns, so that
    every chain's first item is known early.

    Raises:
        WorkerDied: a worker was killed; everything it had finished is in the store.
    """
    with _pool(count, settings) as pool:
        yield from turns(chains, count, lambda item: pool.submit(_do, work, item))


def turns(
    chains: Sequence[Sequence[Item]],
    count: int,
    submit: Callable[[Item], Future[Done[Item, Result]]],
) -> Iterator[Done[Item, Result]]:
    """Results as they come, of at most `count` chains at a time."""
    ready = deque(deque(chain) for chain in chains if chain)
    running: dict[Future[Done[Item, Result]], deque[Item]] = {}
    while ready or running:
        while ready and len(running) < count:
            chain = ready.popleft()
            running[submit(chain.popleft())] = chain
        finished, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in finished:
            chain = running.pop(future)
            if chain:
                ready.append(chain)
            yield future.result()


def each(items: Sequence[Item], work: Callable[[Item], object], asked: int | None) -> Iterator[int]:
    """Do something without a lab for every item, in worker processes; how many are done.

    Raises:
        WorkerDied: a worker was killed.
        UserError: what the work itself raised, or where it failed; nothing more is begun then.
    """
    if items:
        with _pool(workers(asked, len(items)), None) as pool:
            futures = [pool.submit(_tried, work, item) for item in items]
            for done, future in enumerate(as_completed(futures), 1):
                if failure := future.result():
                    raise failure
                yield done


def _tried(work: Callable[[Item], object], item: Item) -> UserError | None:
    """Why the work failed, as something that can be sent to the parent."""
    try:
        work(item)
    except UserError as error:
        return error
    except Exception as error:  # noqa: BLE001 - the parent raises it
        return WorkFailed(f"{item}: {where(error)}")
    return None


@contextmanager
def _pool(count: int, settings: LabSettings | None) -> Iterator[ProcessPoolExecutor]:
    """Worker processes, each with a lab where there are settings for one.

    They end by themselves after a whole block, and are stopped at once when it is left early.
    """
    context = Workers()
    pool = ProcessPoolExecutor(count, context, initializer=_begin, initargs=(settings,))
    try:
        yield pool
        pool.shutdown()
    except BrokenProcessPool as error:
        raise WorkerDied from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in context.made:
            process.terminate()


_starting = threading.Lock()


class _Worker(SpawnProcess):
    """A process that is started in the workers' environment; its parent's stays as it is."""

    def start(self) -> None:
        with _starting:
            before = dict(os.environ)
            os.environ.update(WORKER_ENVIRONMENT)
            try:
                super().start()
            finally:
                for name in WORKER_ENVIRONMENT:
                    os.environ.pop(name)
                    if name in before:
                        os.environ[name] = before[name]


class Workers(SpawnContext):
    """Makes workers, and remembers which are its own."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[_Worker] = []

    def Process(self, *args: Any, **given: Any) -> _Worker:  # type: ignore[override]
        """A worker that is about to be started."""
        self.made.append(_Worker(*args, **given))
        return self.made[-1]


_lab: Lab | None = None


def begin_worker() -> None:
    """Ready this process to work for its parent, and to end with it."""
    # Ctrl-C is the parent's to handle, so that a stage is never cut while it is being kept.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # The parent alone logs to W&B; transformers would announce the mode once a worker.
    os.environ["WANDB_MODE"] = "disabled"


def _begin(settings: LabSettings | None) -> None:
    """Open this worker's lab; torch is imported by the first item that needs it."""
    global _lab
    begin_worker()
    if settings is not None:
        _lab = open_lab(settings, may_make=True)


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _do(work: Work[Item, Result], item: Item) -> Done[Item, Result]:
    assert _lab is not None
    return attempt(work, item, _lab)


def attempt(work: Work[Item, Result], item: Item, lab: Lab) -> Done[Item, Result]:
    """One item's result, or why there is none."""
    before, spent = dict(lab.made), dict(lab.seconds)
    result, failure = None, ""
    try:
        result = work(item, lab)
    except UserError as error:
        failure = str(error)
    except Exception as error:  # noqa: BLE001 - one item's fault must not lose the others
        failure = where(error)
        if os.environ.get(DEBUG):
            traceback.print_exc()
    made = {name: n - before.get(name, 0) for name, n in lab.made.items()}
    seconds = {name: s - spent.get(name, 0.0) for name, s in lab.seconds.items()}
    return Done(item, result, failure, made, seconds)


def where(error: Exception) -> str:
    """The kind of an error and its place: a foreign message may hold text of a row or a reply."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    place = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "?"
    return f"{type(error).__module__}.{type(error).__qualname__} at {place}"
