"""Worker processes for real: what ends them, and what they leave as it was."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from attacks.base import UserError
from benchmarks.engines import local
from benchmarks.engines.local import WORKER_ENVIRONMENT, WorkerDied, WorkFailed, each


class Odd(Exception):
    """Cannot be sent from one process to another."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(one)


def _work(what: str) -> None:
    if what == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "slow":
        time.sleep(3)
    if what == "refused":
        raise UserError("no such world")
    if what == "odd":
        raise Odd("a", "b")
    if what == "full disk":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert os.environ["OMP_NUM_THREADS"] == WORKER_ENVIRONMENT["OMP_NUM_THREADS"]


def test_each_counts_what_is_done() -> None:
    assert list(each(["well", "well"], _work, 1)) == [1, 2]
    assert list(each([], _work, 1)) == []


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("killed", WorkerDied),
        ("refused", UserError),
        ("full disk", WorkFailed),
        ("odd", WorkFailed),
    ],
)
def test_each_tells_a_failure(what: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        list(each([what], _work, 1))


def test_what_is_not_its_own_stays_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("HF_HUB_DISABLE_TELEMETRY", raising=False)
    other = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    other.start()
    try:
        with pytest.raises(UserError):
            list(each(["refused"], _work, 1))
        assert other.is_alive()
        assert os.environ["OMP_NUM_THREADS"] == "7"
        assert "HF_HUB_DISABLE_TELEMETRY" not in os.environ
    finally:
        other.terminate()
        other.join()


def test_two_at_once_leave_each_other_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with ThreadPoolExecutor(2) as threads:
        one = threads.submit(lambda: list(each(["well"], _work, 1)))
        two = threads.submit(lambda: list(each(["well", "slow"], _work, 1)))
        assert (one.result(), two.result()) == ([1], [1, 2])
    assert "MKL_NUM_THREADS" not in os.environ


INTERRUPTED = """
import time
from pathlib import Path
from benchmarks.engines.local import each

def work(place):
    Path(place).write_text("begun")
    time.sleep(60)

if __name__ == "__main__":
    list(each(["{place}"], work, 1))
"""


@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_its_parent(tmp_path: Path, signal_: signal.Signals) -> None:
    script, begun = tmp_path / "script.py", tmp_path / "begun"
    script.write_text(INTERRUPTED.format(place=begun))
    root = Path(local.__file__).resolve().parents[2]
    parent = subprocess.Popen(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": str(root)}, start_new_session=True,
        stderr=subprocess.DEVNULL,
        # A shell's background job ignores Ctrl-C, and hands that down.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    try:
        _until(begun.is_file)
        os.killpg(parent.pid, signal_) if signal_ == signal.SIGINT else parent.kill()
        parent.wait(timeout=20)
        _until(lambda: not _alive(parent.pid))
    finally:
        if _alive(parent.pid):
            os.killpg(parent.pid, signal.SIGKILL)
        parent.wait()


def _alive(group: int) -> bool:
    """Whether any process of a group is there."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _until(holds: object, seconds: float = 30) -> None:
    assert callable(holds)
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)
