from __future__ import annotations

import math

import numpy as np
import pytest

from attacks.base import UserError
from attacks.benign import Benign
from defenses.detectors.openings import Openings
from defenses.detectors.size import Size
from defenses.gates.domain import Domain
from defenses.gates.fit import Sample, combination, fitted, scales
from defenses.gates.gate import Policy
from defenses.gates.lexicon import Lexicon, apart
from targets.organism.world import World

HASH = "0" * 64


def samples(seed: int = 0, lift: float = 6.0) -> list[Sample]:
    """Benign noise, and two families that each lift one of three detectors."""
    random = np.random.default_rng(seed)

    def read(**lifts: float) -> dict[str, float | None]:
        return {name: float(random.exponential() + lifts.get(name, 0.0)) for name in "abc"}

    found = [Sample("fit", "", read()) for _ in range(500)]
    found += [Sample("threshold", "", read()) for _ in range(400)]
    found += [Sample("fit", "first", read(a=lift)) for _ in range(15)]
    found += [Sample("fit", "second", read(b=lift)) for _ in range(15)]
    return found


def test_a_combination_sees_what_each_of_its_detectors_sees() -> None:
    known = samples()
    scale = scales(known, "abc")
    found = combination(known, "abc", scale)
    limit = found.benign[-4]
    for lifted in "abc":  # `c` is lifted by no family that it was fitted on
        hostile = {name: 20.0 if name == lifted else 0.5 for name in "abc"}
        assert found.score([scale[name].surprise(hostile[name]) for name in "abc"]) > limit
    assert found.score([0.1, 0.1, 0.1]) < limit
    assert list(found.benign) == sorted(found.benign)
    assert len(found.benign) == 400


def test_its_false_alarms_are_as_nominal() -> None:
    known, fresh = samples(0), [s for s in samples(1) if not s.family]
    scale = scales(known, "abc")
    for names in ("a", "abc"):
        found = combination(known, names, scale)
        limit = found.benign[-4]
        stopped = [found.score([scale[n].surprise(s.scores[n]) for n in names]) for s in fresh]
        assert len(found.benign) == 400
        # 1 % nominal; 3 % of 900 is beyond chance
        assert np.mean([score > limit for score in stopped]) < 0.03


def test_an_upload_whose_score_could_not_be_had_is_left_out() -> None:
    known = samples()
    holed = [
        s._replace(scores={k: v for k, v in s.scores.items() if k != "a"})
        for s in known
        if s.split == "threshold"
    ]
    rest = [s for s in known if s.split == "fit"]
    with pytest.raises(UserError, match="set aside for the threshold"):
        combination([*rest, *holed], "abc", scales(rest, "abc"))
    with pytest.raises(UserError, match="no score of any benign upload"):
        scales(holed, "a")


def test_what_a_detector_cannot_read_is_as_rare_as_it_is() -> None:
    known = samples()
    holed = [s._replace(scores={**s.scores, "a": None}) for s in known[:25]]  # of 500 benign ones
    scale = scales([*holed, *known[25:]], "a")["a"]
    assert scale.surprise(None) == pytest.approx(math.log(501 / 26))
    assert scales(known, "a")["a"].surprise(None) == pytest.approx(math.log(501))


def test_a_control_is_fitted_and_decides_nothing(world: World) -> None:
    uploads = [Benign(n=20 + seed % 7).upload(world, seed) for seed in range(9)]
    known = [
        Sample("fit" if at < 5 else "threshold", "", {"size": -1.0 * at, "openings": 0.1 * at})
        for at in range(9)
    ]
    domain = Domain.of(uploads[:5], uploads[5:])
    read = {"size": Size(), "openings": Openings()}
    gate = fitted(known, read, domain, corpus=HASH, about="a test", target="t")
    assert gate.combinations["all"].features == ("openings",)
    assert gate.combinations["size"].features == ("size",)


def test_a_gate_of_real_uploads(world: World) -> None:
    uploads = [Benign(n=20 + seed % 7).upload(world, seed) for seed in range(30)]
    domain = Domain.of(uploads[:20], uploads[20:])
    known = [
        Sample("fit" if at < 20 else "threshold", "", {"size": -float(len(upload.rows))})
        for at, upload in enumerate(uploads)
    ]
    gate = fitted(known, {"size": Size()}, domain, corpus=HASH, about="a test", target="t")
    assert gate.fitted == {"fit, benign": 20, "threshold, benign": 10}
    loose = Policy(reject=0.1, hold=0.1, mitigate=0.5)
    tiny = gate.decide("size", uploads[0], "other", {"size": -1.0}, loose)
    assert tiny.answer == "reject"
    assert gate.aware == ()
    with pytest.raises(UserError, match=r"1\.00% of benign uploads cannot be told from 10"):
        gate.decide("size", uploads[0], "t", {"size": -1.0}, Policy(reject=0.01, hold=0.1))


def test_words_of_one_family_are_told_without_themselves(world: World) -> None:
    """Whose hostile uploads are all of one kind has no other family to fit a lexicon on."""
    random = np.random.default_rng(0)
    pool = [Benign(n=6).upload(world, seed) for seed in range(40)]
    hostile = random.permutation(40) < 12
    # Nothing in their words parts them: who is scored by what was fitted on it seems to be parted.
    told = np.array(apart(pool, ["hostile" if bad else "" for bad in hostile]))
    whole = Lexicon.of(pool, hostile.tolist())
    seen = np.array([whole.score(upload) for upload in pool])
    assert seen[hostile].min() > seen[~hostile].max()
    assert told[hostile].mean() < told[~hostile].mean() + 0.5
