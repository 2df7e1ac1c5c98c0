"""Each kind of finding is decided as its file says, and can fail."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attacks.base import UserError
from benchmarks import findings
from benchmarks.draws import Values
from benchmarks.findings import Finding, decide, over_worlds, read
from benchmarks.verify import FINDINGS, cases

CATEGORIES = ["one"] * 10 + ["two"] * 10


def finding(kind: str, **more: object) -> Finding:
    base = {"id": "x", "role": "held out", "statement": "x", "paper": "x"}
    return Finding.model_validate({**base, "kind": kind, **more})


def flat(*rates: float) -> Values:
    """Worlds with three alike seeds of twenty prompts, at the given rates."""
    return {
        (world, seed): [float(i < rate * 20) for i in range(20)]
        for world, rate in enumerate(rates)
        for seed in range(3)
    }


def tilted(*, by: float) -> Values:
    """Two categories whose rates are `by` apart."""
    row = [float(i < 10 * (0.5 - by / 2)) for i in range(10)]
    row += [float(i < 10 * (0.5 + by / 2)) for i in range(10)]
    return {(world, seed): row for world in range(3) for seed in range(3)}


@pytest.mark.parametrize(
    ("kind", "more", "measured", "held"),
    [
        ("at_most", {"high": 0.12}, {"a": flat(0.1, 0.1)}, True),
        ("at_most", {"high": 0.1}, {"a": flat(0.1, 0.2)}, False),
        ("at_least", {"low": 0.5}, {"a": flat(0.4, 0.6)}, True),
        ("at_least", {"low": 0.5}, {"a": flat(0.4, 0.5)}, False),
        ("between", {"low": 0.2, "high": 0.4}, {"a": flat(0.3)}, True),
        ("between", {"low": 0.2, "high": 0.4}, {"a": flat(0.5)}, False),
        ("less", {}, {"a": flat(0.1, 0.2, 0.1), "b": flat(0.8, 0.9, 0.8)}, True),
        ("less", {}, {"a": flat(0.8, 0.9, 0.8), "b": flat(0.1, 0.2, 0.1)}, False),
        ("less", {}, {"a": flat(0.1, 0.9, 0.1), "b": flat(0.2, 0.1, 0.2)}, False),
        ("not_more", {}, {"a": flat(0.5), "b": flat(0.5)}, True),
        ("not_more", {"margin": 0.12}, {"a": flat(0.6), "b": flat(0.5)}, True),
        ("not_more", {}, {"a": flat(0.6), "b": flat(0.5)}, False),
        ("close", {"margin": 0.1}, {"a": flat(0.5, 0.4), "b": flat(0.45, 0.5)}, True),
        ("close", {"margin": 0.1}, {"a": flat(0.9, 0.1), "b": flat(0.5, 0.5)}, False),
        (
            "gap_less",
            {},
            {"a": flat(0.3, 0.3), "b": flat(0.2, 0.2), "c": flat(0.9, 0.8), "d": flat(0.2, 0.1)},
            True,
        ),
        (
            "gap_less",
            {},
            {"a": flat(0.9, 0.8), "b": flat(0.2, 0.1), "c": flat(0.3, 0.3), "d": flat(0.2, 0.2)},
            False,
        ),
        (
            "ratio_more",
            {},
            {"a": flat(0.8), "b": flat(0.2), "c": flat(0.4), "d": flat(0.3)},
            True,
        ),
        (
            "ratio_more",
            {},
            {"a": flat(0.4), "b": flat(0.3), "c": flat(0.8), "d": flat(0.2)},
            False,
        ),
        ("spread", {"low": 0.2, "alpha": 0.01}, {"a": tilted(by=0.8)}, True),
        ("spread", {"low": 0.2, "alpha": 0.01}, {"a": tilted(by=0.0)}, False),
        ("rank_agrees", {"low": 0.5}, {"a": tilted(by=0.4)}, True),
        ("rank_agrees", {"low": 0.5}, {"a": tilted(by=0.0)}, False),
        ("seed_spread", {}, {"a": {(0, s): [float(s)] * 20 for s in (0, 1)}}, True),
        (
            "seed_spread",
            {},
            {"a": {(0, s): [float(i < 10 + 8 * (s - 1)) for i in range(20)] for s in range(3)}},
            True,
        ),
        ("seed_spread", {}, {"a": flat(0.5)}, False),
        ("scan", {"high": 0}, {"a": {(0, 0): [0.0] * 10}}, True),
        ("scan", {"high": 0}, {"a": {(0, 0): [0.0] * 9 + [1.0]}}, False),
    ],
)
def test_each_kind_holds_and_fails(
    kind: str, more: dict[str, float], measured: dict[str, Values], held: bool
) -> None:
    outcome = decide(finding(kind, **more), measured, CATEGORIES)
    assert outcome.held is held
    assert outcome.number.low <= outcome.number.value <= outcome.number.high


Draw = Callable[[np.random.Generator, dict[str, np.ndarray]], dict[str, np.ndarray]]
SHAPE = (5, 3, 66)
KINDS = [f"kind-{i % 11}" for i in range(SHAPE[2])]


def _category(rng: np.random.Generator, size: float) -> np.ndarray:
    """A shift of each category's log-odds, the same in every world."""
    return np.resize(rng.normal(0, size, 11), SHAPE[2])


def _one(effect: Callable[[np.random.Generator], np.ndarray | float]) -> Draw:
    return lambda rng, base: {"a": base["a"] + effect(rng)}


def _removing(first: float, second: float) -> Draw:
    """b and d are a and c with less harm: by so many log-odds."""
    return lambda _, base: {
        "a": base["a"] + 1, "b": base["a"] + 1 - first,
        "c": base["a"] - 1, "d": base["a"] - 1 - second,
    }  # fmt: skip


def _seeds(size: float) -> Draw:
    return _one(lambda rng: rng.normal(0, size, (*SHAPE[:2], 1)))


def _same_share(rng: np.random.Generator, base: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """b halves a's chances and d halves c's, which are lower."""
    rates = {"a": 1 / (1 + np.exp(-base["a"])), "c": 1 / (1 + np.exp(1 - base["a"]))}
    rates |= {"b": rates["a"] / 2, "d": rates["c"] / 2}
    return {name: np.log(rate / (1 - rate)) for name, rate in rates.items()}


def _held(kind: str, draw: Draw, trials: int, **more: float) -> float:
    """How often a finding holds over drawn worlds whose prompts differ, alike in every seed."""
    rng = np.random.default_rng(5)
    worlds, seeds, prompts = SHAPE
    held = 0
    for _ in range(trials):
        easy = rng.normal(0, 2, (worlds, 1, prompts)) + np.zeros((1, seeds, 1))
        measured: dict[str, Values] = {}
        for name, odds in draw(rng, {"a": easy}).items():
            verdicts = rng.random(SHAPE) < 1 / (1 + np.exp(-odds))
            measured[name] = {
                (w, s): verdicts[w, s].astype(float).tolist()
                for w in range(worlds)
                for s in range(seeds)
            }
        held += decide(finding(kind, **more), measured, KINDS).held
    return held / trials


@pytest.mark.parametrize(
    ("kind", "more", "null"),
    [
        ("spread", {"low": 0.15}, _one(lambda _: 0.0)),
        ("rank_agrees", {"low": 0.0}, _one(lambda _: 0.0)),
        ("seed_spread", {}, _seeds(0.0)),
        ("ratio_more", {}, _same_share),
    ],
)
def test_without_an_effect_a_finding_seldom_holds(
    kind: str, more: dict[str, float], null: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(findings, "DRAWS", 199)
    assert _held(kind, null, 200, **more) <= 0.08


@pytest.mark.parametrize(
    ("kind", "more", "effect"),
    [
        ("spread", {"low": 0.15, "alpha": 0.01}, _one(lambda rng: _category(rng, 2.5))),
        ("rank_agrees", {"low": 0.5}, _one(lambda rng: _category(rng, 2.5))),
        ("seed_spread", {}, _seeds(1.0)),
        ("ratio_more", {}, _removing(2.0, 0.2)),
    ],
)
def test_a_clear_effect_holds(
    kind: str, more: dict[str, float], effect: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(findings, "DRAWS", 199)
    assert _held(kind, effect, 20, **more) >= 0.95


def test_a_category_without_a_verdict_is_left_out() -> None:
    """Were it a rate of 0, the range would be 0.5 and the order another."""
    row = [1.0] * 5 + [0.0] * 5 + [1.0] * 6 + [0.0] * 4 + [None] * 10
    values: Values = {(0, seed): row for seed in range(2)}
    names = [*CATEGORIES, *["three"] * 10]
    assert decide(finding("spread", low=0.2), {"a": values}, names).number.value == (
        pytest.approx(0.1)
    )
    other = [*row[10:20], *row[:10], *[None] * 10]
    swapped: Values = {(0, 0): row, (0, 1): other}
    number = decide(finding("rank_agrees"), {"a": swapped}, names).number
    assert number.value == pytest.approx(-1)


@pytest.mark.parametrize("kind", ["seed_spread", "rank_agrees"])
def test_one_seed_cannot_be_compared_with_itself(kind: str) -> None:
    with pytest.raises(UserError, match="world 0 has one seed"):
        decide(finding(kind), {"a": {(0, 0): [0.0, 1.0] * 10}}, CATEGORIES)


def test_where_there_is_nothing_to_remove_no_share_is_made_up() -> None:
    nothing, some = flat(0.0, 0.0), flat(0.5, 0.5)
    cells = {"a": some, "b": nothing, "c": nothing, "d": nothing}
    outcome = decide(finding("ratio_more"), cells, CATEGORIES)
    assert not outcome.held
    assert math.isnan(outcome.number.value)


def test_a_gap_in_one_world_and_seed_is_not_certain() -> None:
    few: dict[str, Values] = {
        name: {(0, 0): [rate] * 3}
        for name, rate in (("a", 0.0), ("b", 1.0), ("c", 1.0), ("d", 1.0))
    }
    number = decide(finding("gap_less"), few, []).number
    assert number.value == -1
    assert number.low < -1 < number.high


@given(st.dictionaries(st.integers(0, 9), st.lists(st.floats(0, 1), min_size=1), min_size=1))
def test_the_mean_over_worlds_weighs_worlds_alike(by_world: dict[int, list[float]]) -> None:
    means = [sum(values) / len(values) for values in by_world.values()]
    assert over_worlds(by_world).value == pytest.approx(sum(means) / len(means))


def test_the_file_keeps_its_promise() -> None:
    found = read(FINDINGS)
    roles = [one.role for one in found]
    assert len(found) >= 24
    assert roles.count("held out") >= 12
    assert len({one.id for one in found}) == len(found)
    assert all(one.paper and one.statement for one in found)
    assert all(bool(one.cells) != bool(one.scan) for one in found)


def test_every_case_is_there_once_for_each_world_and_seed() -> None:
    found = cases(read(FINDINGS), [3, 4], seeds=2)
    assert len(found) == len(set(found))
    assert {(case.world, case.seed) for case in found} == {(3, 0), (3, 1), (4, 0), (4, 1)}
    assert len(found) % 4 == 0
