"""Workers for real, that do things ahead of whoever started them."""

from __future__ import annotations

import functools
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from benchmarks.engines import ahead
from benchmarks.engines.ahead import Ahead
from benchmarks.lab import Lab, LabSettings


class Odd(Exception):
    """Cannot be sent from one process to another."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(one)


@pytest.fixture(autouse=True)
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "workers", lambda asked, chains: 2)


def _said(item: str, given: Path, lab: Lab) -> None:
    if item == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if item == "odd":
        raise Odd("a", "b")
    (given / item).write_text(str(os.getpid()))


def _begun(items: list[str], folder: Path) -> Ahead[Path]:
    settings = LabSettings("organism", (), folder / "store", None, False)
    return Ahead(items, settings, _said, functools.partial(Path, folder))


def _until(there: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not there():
        assert time.monotonic() < end
        time.sleep(0.05)


def _ended(pid: int) -> bool:
    """Whether a child has ended; it is left to the pool, which waits for its end for ever."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_items_are_done_ahead_and_each_is_taken_once(tmp_path: Path) -> None:
    items = ["odd", "first", "b", "c", "d", "last"]
    taken = []
    with _begun(items, tmp_path) as workers:
        for item in workers.turns(["own", *items]):
            taken.append(item)
            _until((tmp_path / "first").exists) if item == "last" else None
    assert taken[:2] == ["own", "last"]
    assert sorted(taken) == sorted(["own", *items])
    assert not (tmp_path / "last").exists(), "it is taken here"


def test_what_is_not_asked_for_is_not_waited_for(tmp_path: Path) -> None:
    with _begun(["a", "b", "c"], tmp_path) as workers:
        assert list(workers.turns(["b"])) == ["b"]
    made = [process.pid for process in workers._context.made]
    assert made
    _until(lambda: all(pid is None or _ended(pid) for pid in made))


def _nothing() -> Path:
    raise OSError("kanariya")


def test_where_nothing_is_given_it_is_quiet(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = LabSettings("organism", (), tmp_path / "store", None, False)
    with Ahead(["a", "b"], settings, _said, _nothing) as workers:
        for future in workers._futures.values():
            assert future.result(60) is False
        assert sorted(workers.turns(["a", "b"])) == ["a", "b"]
    assert capfd.readouterr() == ("", "")


def test_a_worker_that_dies_is_nobodys_concern(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even a thread's, whose failure would be printed."""
    failed: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda told: failed.append(str(told.exc_value)))
    items = ["first", "killed", "b", "c", "d", "e"]
    taken = []
    with _begun(items, tmp_path) as workers:
        for item in workers.turns(items):
            taken.append(item)
            if item == "e":
                _until((tmp_path / "first").exists)
                time.sleep(0.5)
    assert sorted(taken) == sorted(items)
    assert not failed
