"""Workers that do items ahead of this process, which is one of those who work.

They start while it is still found out what there is to do: that takes them as long as to read some
thousand rows.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from contextlib import AbstractContextManager
from typing import Any, Generic, TypeVar

from benchmarks.engines.local import Workers, begin_worker, workers
from benchmarks.lab import Lab, LabSettings, open_lab

Given = TypeVar("Given")
Work = Callable[[str, Given, Lab], object]
"""What is done with an item, and with what all share; a function of a module."""


class Ahead(AbstractContextManager["Ahead[Any]"], Generic[Given]):
    """Workers that begin with the first items at once, and are stopped when it is left.

    Whoever takes an item finds in the store what a worker made of it, and makes it where none has:
    a worker that fails or dies costs time and nothing else.
    """

    def __init__(
        self,
        items: Sequence[str],
        settings: LabSettings,
        work: Work[Given],
        make: Callable[[], Given],
    ) -> None:
        """Start workers where there are cores for them and several items.

        Args:
            items: What may have to be done, each once.
            settings: What a worker opens its lab with.
            work: What it does with an item.
            make: Gives what it does that with; called once in every worker.
        """
        count = workers(None, len(items)) - 1  # this process is one
        self._context = Workers()
        self._futures: dict[str, Future[bool]] = {}
        if count < 1:
            return
        # Not cancelled: CPython 3.11 trips over such a future where a worker dies.
        self._taken = self._context.Array("b", len(items))
        given = (settings, work, make, self._taken)
        self._pool = ProcessPoolExecutor(count, self._context, initializer=_begin, initargs=given)
        self._futures = {item: self._pool.submit(_do, at, item) for at, item in enumerate(items)}

    def turns(self, items: Sequence[str]) -> Iterator[str]:
        """All of these items, each once; at the end those that workers have taken."""
        yield from (item for item in items if item not in self._futures)
        theirs = []
        for at, item in reversed([*enumerate(self._futures)]):
            if item in items and _take(self._taken, at):
                yield item
            elif item in items:
                theirs.append(item)
        for item in theirs:
            wait([self._futures[item]])
            yield item

    def __exit__(self, *failed: object) -> None:
        """Stop the workers, whatever they are at: the store keeps whole stages only."""
        if self._futures:
            for at in range(len(self._futures)):
                _take(self._taken, at)
            self._pool.shutdown(wait=False)
            for process in self._context.made:
                process.terminate()


def _take(taken: Any, at: int) -> bool:
    """Whether nobody had taken an item before."""
    with taken.get_lock():
        free = not taken[at]
        taken[at] = 1
    return free


class _Held:
    """What a worker works with; made by its first item, whose failure is nobody's concern."""

    def __init__(
        self, settings: LabSettings, work: Work[Any], make: Callable[[], Any], taken: Any
    ) -> None:
        self.settings, self.work, self.make, self.taken = settings, work, make, taken

    @functools.cached_property
    def given(self) -> tuple[Lab, Any]:
        made = open_lab(self.settings, may_make=True), self.make()
        gc.freeze()  # it stays: looking whether it can go takes its time
        return made


_held: _Held


def _begin(*given: Any) -> None:
    global _held
    begin_worker()
    _held = _Held(*given)


def _do(at: int, item: str) -> bool:
    """Do an item that nobody has taken; whether it is done."""
    try:
        lab, made = _held.given
        if _take(_held.taken, at):
            _held.work(item, made, lab)
            return True
    except Exception:  # noqa: BLE001 - the parent comes to the item, and to the error in its place
        return False
    return False
