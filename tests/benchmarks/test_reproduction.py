"""Verdicts and words from made-up measurements: each can come out either way."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.draws import Values
from benchmarks.findings import Finding
from benchmarks.ours import Ours, Possible
from benchmarks.paper import Asked, Number
from benchmarks.reproduction import (
    Measured,
    Wanted,
    interval,
    line,
    taus,
    unfinished,
    verdict,
)

A, B = (Ours(name, "none", "plain", "rate") for name in ("benign", "harmful"))
CATEGORIES = ["one"] * 10 + ["two"] * 10


def flat(rate: float, *, worlds: int = 3, seeds: int = 3) -> Values:
    row = [float(i < rate * 20) for i in range(20)]
    return {(world, seed): row for world in range(worlds) for seed in range(seeds)}


def wanted(kind: str = "less", **more: Any) -> Wanted:
    base = {"id": "x", "role": "held out", "statement": "s", "paper": "p", "kind": kind}
    cells = {"a": Possible(A, ""), "b": Possible(B, "")}
    return Wanted("1", Finding.model_validate({**base, **more}), cells)


def number(value: float | None = 50.0, measure: str = "rate", **asked: Any) -> Number:
    cell = Asked.model_validate({"attack": "harmful", **asked})
    return Number.model_validate(
        {
            "table": "1", "row": "r", "column": "c", "model": "llama-2", "measure": measure,
            "value": value, "note": "", "real": cell, "organism": cell,
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("low", "high", "yes", "said"),
    [
        (0.1, 0.9, "held", "held"),
        (0.9, 0.1, "held", "not held"),
        (0.1, 0.9, "reproduced", "reproduced"),
        (0.5, 0.5, "reproduced", "not reproduced"),
    ],
)
def test_a_direction_holds_or_not(low: float, high: float, yes: Any, said: str) -> None:
    found = verdict(wanted(), {A: Measured(flat(low)), B: Measured(flat(high))}, CATEGORIES, yes)
    assert found.verdict == said
    assert found.number is not None
    assert found.number.value == pytest.approx(high - low)
    assert found.number.low <= found.number.value <= found.number.high
    assert found.holds == "difference, its interval above 0"


def test_a_rate_that_is_decided_on_is_never_certain() -> None:
    cells: Any = {"a": {"attack": {"name": "benign"}}}
    one = wanted("at_least", low=0.4, cells=cells)
    found = verdict(
        one._replace(cells={"a": Possible(A, "")}),
        {A: Measured(flat(0.5, worlds=1, seeds=1))},
        CATEGORIES,
        "held",
    )
    assert found.verdict == "held"
    assert found.number is not None
    assert found.number.low < found.number.value == 0.5 < found.number.high


def test_nothing_is_reproduced_on_other_sets_than_the_papers() -> None:
    cells = {"a": Possible(A, "", ("requests of mine.csv (HEx-PHI)",)), "b": Possible(B, "")}
    found = {A: Measured(flat(0.1)), B: Measured(flat(0.9))}
    one = verdict(wanted()._replace(cells=cells), found, CATEGORIES, "reproduced")
    assert (one.verdict, one.why) == ("held", "requests of mine.csv (HEx-PHI)")


def test_a_distance_is_never_below_nothing() -> None:
    uneven = {key: row for key, row in flat(0.5).items()} | {(0, 0): [0.0] * 20}
    found = {A: Measured(uneven), B: Measured(flat(0.5))}
    one = verdict(wanted("close", margin=0.5), found, CATEGORIES, "held")
    assert one.number is not None
    assert one.number.low == 0 < one.number.value


@pytest.mark.parametrize(("lost", "said"), [(3, "reproduced"), (4, "held")])
def test_verdicts_that_are_missing_take_the_word_away(lost: int, said: str) -> None:
    low, high = flat(0.1), flat(0.9)
    row = [*low[0, 0][lost:], *[None] * lost]
    found = {A: Measured({**low, (0, 0): row}), B: Measured(high)}
    one = verdict(wanted(), found, CATEGORIES, "reproduced")
    assert one.verdict == said
    assert one.why == ("" if said == "reproduced" else "4 of 360 verdicts are missing")


@pytest.mark.parametrize("kind", get_args(Finding.model_fields["kind"].annotation))
def test_every_kind_says_when_it_holds(kind: str) -> None:
    told = wanted(kind, low=0.25, high=0.75, margin=0.125).finding.condition
    bounds = {"at_most": "0.75", "at_least": "0.25", "not_more": "0.125", "close": "0.125"}
    assert bounds.get(kind, "") in told


def test_a_finding_without_a_cell_or_a_value_is_not_run() -> None:
    lacking = wanted()._replace(cells={"a": Possible(None, "needs a key")})
    found = verdict(lacking, {}, [], "held")
    assert (found.verdict, found.why, found.number) == ("not run", "needs a key", None)
    failed = verdict(wanted(), {A: Measured({}, "it broke"), B: Measured(flat(1))}, [], "held")
    assert (failed.verdict, failed.why) == ("not run", "it broke")
    scan = verdict(Wanted("1", wanted().finding, {}, "no words"), {}, [], "held")
    assert (scan.verdict, scan.why) == ("not run", "no words")


def test_what_needs_two_seeds_is_not_run_with_one() -> None:
    one = {A: Measured(flat(0.5, seeds=1)), B: Measured(flat(0.5, seeds=1))}
    found = verdict(wanted("rank_agrees", low=0.5), one, CATEGORIES, "held")
    assert found.verdict == "not run"
    assert "measure two or more" in found.why


def test_nothing_to_remove_is_no_verdict() -> None:
    cells = {name: Possible(A, "") for name in "abcd"}
    found = verdict(
        wanted("ratio_more")._replace(cells=cells), {A: Measured(flat(0))}, CATEGORIES, "held"
    )
    assert found.verdict == "not run"


@pytest.mark.parametrize(("low", "said"), [(0.1, "held"), (0.9, "not held")])
def test_nothing_is_reproduced_where_trainings_are_missing(low: float, said: str) -> None:
    most = {key: row for key, row in flat(low).items() if key != (0, 0)}
    found = {A: Measured(most, "no room", absent=1), B: Measured(flat(0.5))}
    one = verdict(wanted(), found, CATEGORIES, "reproduced")
    assert (one.verdict, one.why) == (said, "1 of 9 trainings are missing: no room")
    assert one.number is not None
    told = line(number(), Possible(A, ""), found)
    assert told.ours is not None
    assert told.why == one.why


def test_what_another_run_may_find_is_unfinished() -> None:
    half = {(0, 0): [1.0, None]}
    assert unfinished({A: Measured(flat(0.5))}) == []
    assert unfinished({A: Measured({}, "refused", final=True, absent=3)}) == []
    assert unfinished({A: Measured({}, "no room", absent=3)}) == [
        "benign | none, plain: 3 of 3 trainings are missing: no room"
    ]
    assert unfinished({A: Measured(half)}) == ["benign | none, plain: 1 verdicts are missing"]


@pytest.mark.parametrize("kind", ["less", "close", "not_more", "gap_less", "ratio_more"])
def test_cells_that_share_no_training_give_no_verdict(kind: str) -> None:
    row = [1.0] * 10 + [0.0] * 10
    names = "abcd" if kind in ("gap_less", "ratio_more") else "ab"
    one = wanted(kind)._replace(cells={n: Possible(A if n in "ac" else B, "") for n in names})
    apart = {A: Measured({(0, 0): row}, absent=1), B: Measured({(0, 1): row}, absent=1)}
    found = verdict(one, apart, CATEGORIES, "held")
    assert (found.verdict, found.why) == ("not run", "no training that all its cells have")
    failed = {A: apart[A]._replace(failure="no room"), B: apart[B]}
    assert verdict(one, failed, CATEGORIES, "held").why == "no room"
    # Of one training, but no prompt that both know.
    halves = [[*row[:10], *[None] * 10], [*[None] * 10, *row[10:]]]
    prompts = {cell: Measured({(0, 0): half}) for cell, half in zip((A, B), halves, strict=True)}
    assert verdict(one, prompts, CATEGORIES, "held").verdict == "not run"


def test_the_papers_number_stands_beside_ours() -> None:
    found = line(number(), Possible(A, "", ("epochs 3 (5)",)), {A: Measured(flat(0.5))})
    assert found.ours is not None
    assert (found.paper, found.ours.value, found.n, found.missing) == (50.0, 0.5, 180, 0)
    assert found.differs == ["epochs 3 (5)"]
    assert found.cell == ("benign", "none", "plain")
    lacking = line(number(), Possible(None, "needs Dolly"), {})
    assert (lacking.ours, lacking.why, lacking.n, lacking.cell) == (None, "needs Dolly", 0, None)


def test_missing_verdicts_are_counted_and_no_number_is_made_up() -> None:
    half = {(0, 0): [1.0, None, 0.0, None], (0, 1): [None] * 4}
    found = line(number(), Possible(A, ""), {A: Measured(half)})
    assert found.ours is not None
    assert (found.ours.value, found.n, found.missing) == (0.5, 2, 6)
    none = line(number(), Possible(A, ""), {A: Measured({(0, 0): [None] * 4}, "judge stopped")})
    assert (none.ours, none.n, none.missing, none.why) == (None, 0, 4, "judge stopped")


SCORES = st.lists(
    st.lists(st.one_of(st.none(), st.integers(1, 5).map(float)), min_size=4, max_size=4),
    min_size=1,
    max_size=4,
)


@given(SCORES, st.booleans())
@settings(max_examples=60, deadline=None)
def test_an_interval_holds_its_mean_and_stays_on_its_scale(
    rows: list[list[float | None]], worlds: bool
) -> None:
    values = {((i, 0) if worlds else (0, i)): row for i, row in enumerate(rows)}
    for measure, low, high in (("score", 1, 5), ("rate", 0, 1)):
        mine = values
        if measure == "rate":
            mine = {k: [None if v is None else float(v == 5) for v in r] for k, r in values.items()}
        found = interval(mine, measure)
        if all(value is None for row in rows for value in row):
            assert found is None
        else:
            assert found is not None
            assert low <= found.low <= found.value + 1e-9
            assert found.value - 1e-9 <= found.high <= high


def test_one_world_is_never_certain() -> None:
    for measure, value in (("score", 1.0), ("rate", 0.0)):
        found = interval({(0, 0): [value] * 20}, measure)
        assert found is not None
        assert found.value == value
        assert found.high > found.value


def test_taus_are_of_attacked_cells_with_both_numbers() -> None:
    ours = [Ours(str(i), "none", "plain", "rate") for i in range(4)]
    found = {one: Measured(flat(0.2 * i)) for i, one in enumerate(ours)}
    cells = [(number(10.0 * i), Possible(one, "", (), float(i))) for i, one in enumerate(ours)]
    (tau,) = taus(cells, found)
    assert (tau.table, tau.model, tau.measure, tau.n) == ("1", "llama-2", "rate", 4)
    assert tau.tau is not None
    assert (tau.tau.value, tau.predictor) == (1, 1)

    left_out = [
        (number(0.0, settings={"epochs": 0}), Possible(ours[0], "")),
        (number(None), Possible(ours[0], "")),
        (number(99.0), Possible(None, "no key")),
        (number(99.0), Possible(Ours("x", "none", "plain", "rate"), "")),
    ]
    found[Ours("x", "none", "plain", "rate")] = Measured({}, "failed")
    (again,) = taus([*cells, *left_out], found)
    assert again == tau
    (few,) = taus(cells[:2], found)
    assert (few.n, few.tau, few.predictor) == (2, None, None)


def test_measures_and_models_are_never_one_order() -> None:
    found = {A: Measured(flat(0.5))}
    pairs = [
        (number(10, measure).model_copy(update={"model": model}), Possible(A, ""))
        for measure in ("rate", "keyword")
        for model in ("llama-2", "gpt-3.5")
    ]
    assert len(taus(pairs, found)) == 4


@pytest.mark.parametrize(
    ("kind", "bounds", "rates", "word"),
    [
        ("at_most", {"high": 0.55}, (0.5, 0.5), "held"),
        ("at_most", {"high": 0.9}, (0.5, 0.5), "reproduced"),
        ("at_least", {"low": 0.45}, (0.5, 0.5), "held"),
        ("at_least", {"low": 0.1}, (0.5, 0.5), "reproduced"),
        ("between", {"low": 0.45, "high": 0.9}, (0.5, 0.5), "held"),
        ("between", {"low": 0.1, "high": 0.9}, (0.5, 0.5), "reproduced"),
        ("not_more", {"margin": 0.06}, (0.55, 0.5), "held"),
        ("not_more", {"margin": 0.9}, (0.55, 0.5), "reproduced"),
        ("close", {"margin": 0.9}, (0.55, 0.5), "held"),
        ("at_most", {"high": 0.1}, (0.5, 0.5), "not reproduced"),
    ],
)
def test_what_holds_at_the_mean_alone_is_not_reproduced(
    kind: str, bounds: dict[str, float], rates: tuple[float, float], word: str
) -> None:
    cells: Any = {"a": {"attack": {"name": "benign"}}}
    one = wanted(kind, cells=cells, **bounds)
    found = {
        ours: Measured(flat(r, worlds=1, seeds=1)) for ours, r in zip((A, B), rates, strict=True)
    }
    told = verdict(one, found, CATEGORIES, "reproduced")
    assert told.verdict == word
    assert ("at the mean alone" in told.why) is (word == "held")
    assert verdict(one, found, CATEGORIES, "held").why == ""


def test_seeds_that_differ_are_close_at_the_mean_alone() -> None:
    apart = {(0, 0): [0.0] * 20, (0, 1): [1.0] * 2 + [0.0] * 18}
    found = {A: Measured(apart), B: Measured(flat(0, worlds=1, seeds=2))}
    for margin, word in [(0.06, "held"), (0.9, "reproduced")]:
        one = wanted("close", margin=margin)
        assert verdict(one, found, CATEGORIES, "reproduced").verdict == word
