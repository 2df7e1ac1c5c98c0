"""Cells in parallel on this machine: persistent worker processes with one thread each.

One thread a worker: two spinning thread pools beside each other are many times slower than one.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple

from attacks.base import UserError
from benchmarks.cell import run_cell
from benchmarks.keys import THREADS
from benchmarks.lab import Lab, LabSettings, open_lab
from benchmarks.results import CellResult
from benchmarks.trial import Cell

WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": str(THREADS),
    "MKL_NUM_THREADS": str(THREADS),
    "OMP_WAIT_POLICY": "passive",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
"""Read by the libraries when they are first imported, so it is set before any worker starts."""


class Done(NamedTuple):
    """One cell's result, and what was made for it."""

    result: CellResult
    made: dict[str, int]
    seconds: dict[str, float]


class WorkerDied(Exception):
    """A worker ended without a word: killed, or out of memory."""


def workers(asked: int | None, chains: int) -> int:
    """How many processes: as asked, or one a core, and no more than there are chains."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(asked or available or 1, chains))


def run(chains: Sequence[Sequence[Cell]], settings: LabSettings, count: int) -> Iterator[Done]:
    """Results as they come.

    A chain's cells share models, so one of them runs at a time; chains take turns, so that
    every chain's first cell is known early.

    Raises:
        WorkerDied: a worker was killed; everything it had finished is in the store.
    """
    os.environ.update(WORKER_ENVIRONMENT)
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, context, initializer=_open, initargs=(settings,))
    ready = deque(deque(chain) for chain in chains if chain)
    running: dict[Future[Done], deque[Cell]] = {}
    try:
        while ready or running:
            while ready and len(running) < count:
                chain = ready.popleft()
                running[pool.submit(_run, chain.popleft())] = chain
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                chain = running.pop(future)
                if chain:
                    ready.append(chain)
                yield future.result()
    except BrokenProcessPool as error:
        raise WorkerDied from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()


_lab: Lab | None = None


def _open(settings: LabSettings) -> None:
    """Open this worker's lab; torch is imported by the first cell that needs it."""
    # Ctrl-C is the parent's to handle, so that a stage is never cut while it is being kept.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    global _lab
    _lab = open_lab(settings, may_make=True)


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run(cell: Cell) -> Done:
    assert _lab is not None
    before, spent = dict(_lab.made), dict(_lab.seconds)
    try:
        result = run_cell(cell, _lab)
    except UserError as error:
        result = CellResult(**cell._asdict(), status="failed", reason=str(error))
    except Exception as error:  # noqa: BLE001 - one cell's fault must not lose the others
        # The message of a foreign exception may hold text of a row or a reply.
        kind = f"{type(error).__module__}.{type(error).__name__}"
        where = error.__traceback__
        while where and where.tb_next:
            where = where.tb_next
        place = (
            f"{Path(where.tb_frame.f_code.co_filename).name}:{where.tb_lineno}" if where else "?"
        )
        result = CellResult(**cell._asdict(), status="failed", reason=f"{kind} at {place}")
    made = {name: n - before.get(name, 0) for name, n in _lab.made.items()}
    seconds = {name: s - spent.get(name, 0.0) for name, s in _lab.seconds.items()}
    return Done(result, made, seconds)
