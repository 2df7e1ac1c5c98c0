"""A detector's reading is made once, whoever wants it: a bench of gates or a provider's gate."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from attacks.base import Upload, component
from benchmarks import readings
from benchmarks.gates import reading
from benchmarks.gates.opening import Where, opened
from benchmarks.lab import Lab, LabSettings, open_lab
from benchmarks.trial import provider_of
from defenses.base import Provider
from defenses.detectors.base import Detector, Reading, detector
from provider.gates import moderating, opening
from provider.gates import readings as gate
from tests.benchmarks.gates.past import past_uploads

SPECS = ("size", "duplicates")


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    settings = LabSettings("organism", (), tmp_path / "store", None, False)
    return open_lab(settings, may_make=True)


@component
class Threads(Detector):
    """Fails, or tells how many threads there are."""

    fails: bool = False
    """Which."""

    def read(self, upload: Upload, provider: Provider) -> Reading:
        import torch

        if self.fails:
            raise ValueError("kanariya")
        return Reading(float(torch.get_num_threads()), {"variable": float(os.environ[NAME])})


NAME = "OMP_NUM_THREADS"


@pytest.mark.parametrize("first", ["bench", "gate"])
def test_what_one_has_read_the_other_need_not(tmp_path: Path, lab: Lab, first: str) -> None:
    where = Where(str(past_uploads(tmp_path / "past")))
    entry = opened(where)["0.jsonl"]
    file = opening.opened(tmp_path / "past" / "0.jsonl")
    order = moderating.Order(tmp_path, learning_rate=entry.upload.settings.learning_rate)
    upload = Upload(file.rows, moderating.settings(order, len(file.rows)))
    assert upload == entry.upload, "one and the same file, under the same settings"

    def bench() -> dict[str, float | None]:
        item = reading.Item(where, entry.id, SPECS, effect=False)
        return {spec: reading.read(item, lab).scores[spec] for spec in SPECS}

    def gates() -> dict[str, float | None]:
        provider, whole = provider_of(lab, reading.SEED), readings.Whole.of(upload)
        return {
            spec: gate.read(spec, detector(spec), whole, provider, lab, file.lines).score
            for spec in SPECS
        }

    one, other = (bench, gates) if first == "bench" else (gates, bench)
    found = one()
    made = lab.made[readings.STAGE]
    assert made == len(SPECS)
    assert other() == found
    assert lab.made[readings.STAGE] == made, "nothing is read again"


def test_it_is_read_with_as_many_threads_as_a_worker_has(
    lab: Lab, make_upload: Callable[..., Upload], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    whole = readings.Whole.of(make_upload(6))
    monkeypatch.setenv(NAME, "2")
    torch.set_num_threads(2)
    try:
        found = readings.kept(Threads(), whole, provider_of(lab, 0), lab)
        assert (torch.get_num_threads(), os.environ[NAME]) == (2, "2")
    finally:
        torch.set_num_threads(1)
    assert (found["score"], found["evidence"]) == (1.0, {"variable": 1.0})


def test_a_failure_is_raised_or_told_and_tried_again(
    lab: Lab, make_upload: Callable[..., Upload]
) -> None:
    whole, provider = readings.Whole.of(make_upload(6)), provider_of(lab, 0)
    one = Threads(fails=True)
    told = readings.kept(one, whole, provider, lab, lambda e: {"reason": "r", "fault": "detector"})
    assert (told["score"], told["reason"], told["fault"]) == (None, "r", "detector")
    assert told["unfinished"]
    with pytest.raises(ValueError, match="kanariya"):
        readings.kept(one, whole, provider, lab)
