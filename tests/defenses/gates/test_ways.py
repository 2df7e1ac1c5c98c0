from __future__ import annotations

import math

import numpy as np
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from defenses.gates.ways import AnyWay, Curve, Highest, Joint, Learned, fit

WIDTH = 3


def uploads(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Benign noise of which two go together, and a family that lifts the third alone a little."""
    random = np.random.default_rng(seed)
    benign = random.exponential(size=(400, WIDTH))
    benign[:, 1] = benign[:, 0] + 0.1 * random.exponential(size=400)
    hostile = random.exponential(size=(20, WIDTH)) + np.array([0.0, 0.0, 3.0])
    return np.vstack([benign, hostile]), np.arange(420) >= 400


@pytest.fixture(scope="module")
def ways() -> dict[str, AnyWay]:
    """Every way, fitted."""
    return {way.kind: way for way in fit(*uploads())}


def test_every_way_is_fitted_where_it_can_be() -> None:
    surprises, hostile = uploads()
    kinds = [way.kind for way in fit(surprises, hostile)]
    assert kinds == ["highest", "joint", "learned"]
    alone = [way.kind for way in fit(surprises[~hostile], hostile[~hostile])]
    assert alone == ["highest", "joint"]
    (single,) = fit(surprises[:, :1], hostile)
    assert single.surprise([3.25]) == 3.25
    few = fit(surprises[:3], hostile[:3])
    assert all(math.isfinite(way.surprise([1.0] * WIDTH)) for way in few)


def test_each_sees_what_the_others_do_not(ways: dict[str, AnyWay]) -> None:
    def rarest(surprises: list[float]) -> str:
        return max(ways, key=lambda kind: ways[kind].surprise(surprises))

    assert rarest([14.0, 14.1, 0.0]) == "highest"  # one and what always goes with it
    assert rarest([2.5, 0.1, 0.5]) == "joint"  # each common, never so together
    assert rarest([0.5, 0.55, 3.5]) == "learned"  # as known attacks are


SURPRISES = st.lists(st.floats(0, 30), min_size=WIDTH, max_size=WIDTH)


@given(SURPRISES, st.integers(0, WIDTH - 1), st.floats(0, 10))
def test_more_surprise_never_lowers_what_the_monotone_ways_say(
    ways: dict[str, AnyWay], surprises: list[float], place: int, more: float
) -> None:
    higher = [s + more * (at == place) for at, s in enumerate(surprises)]
    for kind in ("highest", "learned"):
        assert ways[kind].number(higher) >= ways[kind].number(surprises)
        assert ways[kind].surprise(higher) >= ways[kind].surprise(surprises)


def test_curves_say_what_the_boosted_stumps_said(ways: dict[str, AnyWay]) -> None:
    # The curves are read off the model one surprise at a time; stumps must add up to the whole.
    from sklearn.ensemble import HistGradientBoostingClassifier

    known, hostile = uploads()
    model = HistGradientBoostingClassifier(
        max_iter=200, max_leaf_nodes=2, min_samples_leaf=8, monotonic_cst=[1] * WIDTH,
        class_weight="balanced", early_stopping=False, random_state=0,
    ).fit(known, hostile)  # fmt: skip
    told = model.decision_function(known) - model.decision_function(np.zeros((1, WIDTH)))
    assert [ways["learned"].number(row.tolist()) for row in known] == pytest.approx(told, abs=1e-6)


def test_benign_uploads_are_seldom_surprising(ways: dict[str, AnyWay]) -> None:
    fresh, hostile = uploads(1)
    for kind, way in ways.items():
        found = [way.surprise(row.tolist()) for row in fresh[~hostile]]
        # Of 400 at 5 % nominal 20 are expected; 40 are beyond chance.
        assert sum(nats > math.log(20) for nats in found) < 40, kind


def test_a_detector_that_never_varies_does_no_harm() -> None:
    surprises, hostile = uploads()
    surprises[:, 1] = 0.5
    for way in fit(surprises, hostile):
        assert math.isfinite(way.surprise([1.0, 0.5, 1.0]))
        assert math.isfinite(way.surprise([1.0, 25.0, 1.0]))


def test_of_few_benign_uploads_a_gate_can_still_be_fitted() -> None:
    one = fit(np.ones((1, WIDTH)), np.zeros(1, dtype=bool))
    assert all(math.isfinite(way.surprise([2.0] * WIDTH)) for way in one)
    # Eigenvalues that are nought come out below it, by a share of the largest.
    base = np.random.default_rng(0).exponential(size=(2, 12))
    for power in range(10):
        two = base * np.array([1e-3, *[10.0**-power] * 11])
        for way in fit(two, np.zeros(2, dtype=bool)):
            assert math.isfinite(way.surprise([2.0] * 12))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Highest(most=0),
        lambda: Curve(at=(1.0, 0.5), value=(1.0, 2.0)),
        lambda: Curve(at=(0.5, 1.0), value=(2.0, 1.0)),
        lambda: Curve(at=(0.5, 0.5), value=(1.0, 2.0)),
        lambda: Curve(at=(0.5,), value=(1.0, 2.0)),
        lambda: Curve(at=(0.5,), value=(-1.0,)),
        lambda: Curve(at=(0.5,), value=(float("inf"),)),
        lambda: Learned(curves=()),
        lambda: Joint(mean=(0.0, 0.0), precision=((1.0, 0.0),)),
        lambda: Joint(mean=(0.0, 0.0), precision=((1.0, 0.0), (0.0,))),
        lambda: Joint(mean=(0.0, 0.0), precision=((1.0, 0.0), (0.0, -1.0))),
        lambda: Joint(mean=(0.0, 0.0), precision=((1e308, 1e308), (1e308, -1e308))),
        lambda: Joint(mean=(0.0,) * 9, precision=((1e308,) * 9,) * 9),
        lambda: Joint(mean=(0.0,), precision=((1e300,),)),
        lambda: Joint(mean=(), precision=()),
    ],
)
def test_a_way_that_makes_no_sense_is_refused(make: object) -> None:
    assert callable(make)
    with pytest.raises(pydantic.ValidationError):
        make()
