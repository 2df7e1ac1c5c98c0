"""Mix: the dose, the prompt, and the order of the safety rows."""

from __future__ import annotations

from typing import Any

import pytest

from attacks.base import UserError
from defenses.base import Provider
from defenses.mix import Mix


def test_the_dose() -> None:
    assert [Mix().dose(n) for n in (10, 100, 500, 50_000)] == [10, 100, 100, 1000]
    assert Mix(n=7).dose(100) == 7
    assert Mix(ratio=0.5).dose(5) == 2
    with pytest.raises(UserError, match="n or ratio, not both"):
        Mix(n=1, ratio=1.0)


def test_rows_of_other_defenses_do_not_raise_the_dose(make_upload: Any, provider: Provider) -> None:
    once = Mix().curate(make_upload(4), provider)
    assert len(Mix().curate(once, provider).rows) == 4 + 4 + 4


def test_the_control_adds_as_many_harmless_rows(make_upload: Any, provider: Provider) -> None:
    rows = [
        Mix(n=5, rows=kind).curate(make_upload(3), provider).rows for kind in ("safety", "benign")
    ]  # type: ignore[arg-type]
    assert [len(some) for some in rows] == [8, 8]
    assert [r.messages[1].content for r in rows[1][3:]] == [
        pair.reply for pair in provider.pools.provider_benign(5, 0)
    ]
    assert not set(rows[0][3:]) & set(rows[1][3:])


def test_interleaving_spreads_the_safety_rows(make_upload: Any, provider: Provider) -> None:
    mix = Mix(n=4, order="interleaved")
    curated = mix.curate(make_upload(12, epochs=2, batch_size=4), provider)
    hooks = mix.during(curated, provider)
    assert hooks is not None
    plan = hooks.plan(curated.rows, curated.settings, 0)
    assert plan is not None
    assert [sum(row >= 12 for row in batch) for batch in plan] == [1] * 8
    for epoch in (plan[:4], plan[4:]):
        assert sorted(row for batch in epoch for row in batch) == list(range(16))


def test_it_acts_where_there_is_something_to_do() -> None:
    assert Mix().acts("curate")
    assert not Mix().acts("during")
    assert not Mix().needs()
    assert Mix(order="interleaved").acts("during")
    assert Mix(order="interleaved").needs() == {"weights"}
    for nothing in (Mix(n=0, order="interleaved"), Mix(ratio=0.0, order="interleaved")):
        assert not nothing.acts("curate")
        assert not nothing.acts("during")
        assert not nothing.owns()
