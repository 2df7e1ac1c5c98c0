"""The store keeps whole records or none, and says so when a file is damaged."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import stat
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attacks.base import UserError
from benchmarks.store import DiskError, Store

KEY = "ab" + 62 * "0"
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@given(plain)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_what_is_written_is_read_back(tmp_path: Path, value: object) -> None:
    store = Store(tmp_path / "store")
    key = f"{abs(hash(repr(value))):064x}"
    store.write("ask", key, value, 1.5)
    record = store.read("ask", key)
    assert record is not None
    assert record.value == value


def test_only_its_owner_can_read_it(store: Store) -> None:
    assert stat.S_IMODE(store.root.stat().st_mode) == 0o700


def test_nothing_is_there_at_first(store: Store) -> None:
    assert store.read("ask", KEY) is None
    assert store.weights(KEY) is None


def test_a_record_takes_the_place_of_another(store: Store) -> None:
    store.write("ask", KEY, "first", 0)
    store.write("ask", KEY, "second", 0)
    record = store.read("ask", KEY)
    assert record is not None
    assert record.value == "second"


@pytest.mark.parametrize(
    "damage", ["", "{", '{"value": 1}', '{"value": 2, "sum": "x", "seconds": 0}']
)
def test_a_damaged_record_is_told_and_can_be_removed(store: Store, damage: str) -> None:
    store.write("ask", KEY, 1, 0)
    path = store.root / "ask" / "ab" / f"{KEY}.json"
    path.write_text(damage)
    with pytest.raises(UserError, match=r"damaged.*gc --damaged"):
        store.read("ask", KEY)
    assert path.read_text() == damage
    assert store.remove_damaged() == 1
    assert store.read("ask", KEY) is None


def test_a_flipped_value_is_noticed(store: Store) -> None:
    store.write("judge", KEY, [5, 1], 0)
    path = store.root / "judge" / "ab" / f"{KEY}.json"
    path.write_text(path.read_text().replace("[5, 1]", "[5, 5]"))
    with pytest.raises(UserError, match="checksum"):
        store.read("judge", KEY)


def test_a_store_of_another_version_is_left_alone(tmp_path: Path) -> None:
    Store(tmp_path / "store")
    (tmp_path / "store" / "format.json").write_text(json.dumps({"format": 999}))
    with pytest.raises(UserError, match="format 999"):
        Store(tmp_path / "store")


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(UserError, match="not a store"):
        Store(tmp_path)


@pytest.mark.parametrize("left", [".lock", ".new-x1"])
def test_a_store_killed_in_its_first_moment_is_used(tmp_path: Path, left: str) -> None:
    (tmp_path / left).write_text('{"form')
    Store(tmp_path).write("ask", KEY, 1, 0)
    assert Store(tmp_path).read("ask", KEY) is not None


def _open(root: Path) -> None:
    Store(root).write("ask", KEY, 1, 0)


def test_many_first_runs_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    for number in range(10):
        arguments = (tmp_path / str(number),)
        processes = [context.Process(target=_open, args=arguments) for _ in range(6)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0] * 6


def test_a_folder_in_place_of_a_record_is_told(store: Store) -> None:
    (store.root / "ask" / "ab" / f"{KEY}.json" / "inner").mkdir(parents=True)
    with pytest.raises(UserError, match=r"damaged.*gc --damaged"):
        store.read("ask", KEY)
    assert store.remove_damaged() == 1
    assert store.read("ask", KEY) is None


def test_a_failing_disk_exits_with_4_and_keeps_what_was(store: Store) -> None:
    store.write("ask", KEY, 1, 0)
    (store.root / "tune").write_text("a file where a folder should be")
    with pytest.raises(DiskError) as caught:
        store.write("tune", KEY, 1, 0)
    assert caught.value.exit_code == 4
    assert store.read("ask", KEY) is not None


def test_weights_appear_whole_or_not_at_all(store: Store) -> None:
    def fail_half_way() -> None:
        with store.new_weights(KEY) as folder:
            (folder / "model.safetensors").write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert store.weights(KEY) is None
    with store.new_weights(KEY) as folder:
        (folder / "model.safetensors").write_bytes(b"whole")
    kept = store.weights(KEY)
    assert kept is not None
    assert (kept / "model.safetensors").read_bytes() == b"whole"
    assert not list(kept.parent.glob(".new-*"))


def test_collect_drops_the_least_recently_used(store: Store) -> None:
    keys = [f"{i:02x}" + 62 * "0" for i in range(3)]
    for age, key in enumerate(keys):
        with store.new_weights(key) as folder:
            (folder / "w").write_bytes(bytes(1000))
        os.utime(store.root / "weights" / key[:2] / key, (age, age))
    store.write("ask", KEY, 1, 0)
    assert store.collect(budget=1500) == 2000
    assert [store.weights(key) is not None for key in keys] == [False, False, True]
    assert store.read("ask", KEY) is not None


def _keep(store: Store, key: str, *, used_s_ago: float) -> None:
    with store.new_weights(key) as folder:
        (folder / "w").write_bytes(bytes(1000))
    then = time.time() - used_s_ago
    os.utime(store.root / "weights" / key[:2] / key, (then, then))


def test_collect_leaves_weights_that_are_being_written(store: Store) -> None:
    with store.new_weights(KEY) as folder:
        (folder / "w").write_bytes(bytes(1000))
        assert store.collect(budget=0, idle=0) == 0
    assert store.weights(KEY) is not None


def test_collect_leaves_weights_used_within_the_hour_unless_asked(store: Store) -> None:
    _keep(store, KEY, used_s_ago=7200)
    assert store.weights(KEY) is not None
    assert store.collect(budget=0) == 0
    assert store.collect(budget=0, idle=0) == 1000
    assert store.weights(KEY) is None


def test_collect_leaves_weights_that_somebody_makes(store: Store) -> None:
    _keep(store, KEY, used_s_ago=7200)
    with store.lock(KEY):
        assert store.collect(budget=0) == 0
    assert store.collect(budget=0) == 1000
    assert list((store.root / "weights" / "ab").iterdir()) == []


def test_collect_sweeps_what_was_left_behind(store: Store) -> None:
    for name, age in (("old", 7200), ("young", 0)):
        left = store.root / "weights" / "ab" / f".new-{name}"
        left.mkdir(parents=True)
        os.utime(left, (time.time() - age, time.time() - age))
    store.collect(budget=0)
    assert [p.name for p in (store.root / "weights" / "ab").iterdir()] == [".new-young"]


def test_weights_that_somebody_else_made_meanwhile_stay(store: Store) -> None:
    with store.new_weights("ab12") as late:
        (late / "w").write_bytes(b"late")
        with store.new_weights("ab12") as early:
            (early / "w").write_bytes(b"early")
    place = store.weights("ab12")
    assert place is not None
    assert (place / "w").read_bytes() == b"early"
    assert [p.name for p in place.parent.iterdir()] == ["ab12"]


def _churn(root: Path) -> None:
    store = Store(root)
    for i in range(300):
        with store.new_weights(f"{i % 7:064x}") as folder:
            (folder / "w").write_bytes(b"x")
        store.collect(0, idle=0)
        store.usage()


def test_two_processes_collect_at_once(store: Store) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_churn, args=(store.root,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]


def test_timings_are_means_over_runs(store: Store) -> None:
    assert store.timings() == {}
    store.add_timings({"tune": 2}, {"tune": 4.0})
    store.add_timings({"tune": 2, "ask": 1}, {"tune": 8.0, "ask": 0.5})
    assert store.timings() == {"tune": 3.0, "ask": 0.5}


def _write_for_ever(root: Path) -> None:
    store = Store(root)
    for i in range(10**6):
        store.write("ask", f"{i:064x}", ["x" * 20000], 0)


def test_kill_9_leaves_only_whole_records(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(
        target=_write_for_ever, args=(tmp_path / "store",)
    )
    process.start()
    while len(list(tmp_path.glob("store/ask/*/*.json"))) < 20:
        assert process.is_alive()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    store = Store(tmp_path / "store")
    for path in tmp_path.glob("store/ask/*/*.json"):
        record = store.read("ask", path.stem)
        assert record is not None
        assert record.value == ["x" * 20000]
    assert store.remove_damaged() == 0
