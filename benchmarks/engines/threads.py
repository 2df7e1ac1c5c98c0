"""Cells beside each other in this process: where the work is done by somebody's server.

Threads, so that one budget and one memory hold for all, and no library is loaded for waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

from benchmarks.engines.local import Done, Item, Result, Work, attempt, turns
from benchmarks.lab import Lab

JOBS = 3
"""Cells at a time.  # ours: as many jobs as OpenAI lets a new account run beside each other."""


def run(
    chains: Sequence[Sequence[Item]],
    lab: Lab,
    count: int,
    work: Work[Item, Result],
    halt: Callable[[], None],
) -> Iterator[Done[Item, Result]]:
    """Results as they come; `halt` is called when it is left early."""
    free: SimpleQueue[Lab] = SimpleQueue()
    for _ in range(count):
        free.put(lab.beside())

    def do(item: Item) -> Done[Item, Result]:
        mine = free.get()
        try:
            return attempt(work, item, mine)
        finally:
            free.put(mine)

    with ThreadPoolExecutor(count) as pool:
        try:
            yield from turns(chains, count, lambda item: pool.submit(do, item))
        except BaseException:
            halt()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
