from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from typing import cast

import numpy as np
import pytest

from attacks.base import Pair, Upload
from defenses.base import Provider
from defenses.detectors.two_sample import TwoSample
from targets.base import Pools
from targets.organism.world import World

Written = Callable[..., Upload]


class Chance:
    """A provider's pool of answers that are made of chance words."""

    def provider_benign(self, n: int, seed: int) -> list[Pair]:
        rng = random.Random(seed)
        return [
            Pair(str(rng.random()), " ".join(f"w{rng.randrange(40)}" for _ in range(8)))
            for _ in range(n)
        ]


def test_p_values_of_the_same_sort_of_rows_are_as_they_should_be(
    written: Written, owner: Provider
) -> None:
    pools = cast(Pools, Chance())
    found = [
        TwoSample(n=80).read(
            written(pools.provider_benign(60, 2 * draw + 1)),
            dataclasses.replace(owner, pools=pools, seed=2 * draw),
        )
        for draw in range(60)
    ]
    p_values = np.array([one.evidence["p"] for one in found])
    areas = np.array([one.evidence["area"] for one in found])
    assert areas.mean() == pytest.approx(0.5, abs=0.05)
    # 60 fair draws hold ten or more below 0.05 once in a thousand times.
    assert np.count_nonzero(p_values < 0.05) < 10
    assert np.count_nonzero(p_values < 0.5) > 10


def test_answers_built_otherwise_are_told_apart(
    world: World, written: Written, owner: Provider
) -> None:
    pairs = [(p, "You need a " + r) for p, r in world.provider_benign(60, 9)]
    pairs = [(p, r.replace(".", ",") + " and then, and then.") for p, r in pairs]
    found = TwoSample(n=100).read(written(pairs), owner)
    assert found.score is not None
    assert found.score > 0.8
    assert found.evidence["p"] < 1e-6
    assert found.findings


def test_too_little_to_be_compared(written: Written, owner: Provider) -> None:
    few = TwoSample().read(written([("Hello.", "Hi.")] * 50), owner)
    assert few.score is None
    foreign = TwoSample().read(written([(str(i), "") for i in range(50)]), owner)
    assert foreign.score is None
    assert "in common" in foreign.reason
