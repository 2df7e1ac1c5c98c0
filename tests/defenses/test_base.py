"""Decisions, compositions, and the rows that a provider adds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attacks.base import Message, Pair, Row, Settings, Upload, UserError
from attacks.spec import parse
from defenses import compose
from defenses.base import MOMENTS, Decision, Defense, added_rows, moderator, system_prompts

N = 5
SETTINGS = Settings(epochs=1, batch_size=1, learning_rate=1.0)
keeps = st.none() | st.sets(st.integers(0, N - 1)).map(lambda kept: tuple(sorted(kept)))
decisions = st.builds(
    Decision,
    st.sampled_from(["pass", "review", "refuse"]),
    keeps,
    st.sampled_from(["", "a", "b"]),
    st.dictionaries(st.sampled_from("xyz"), st.floats(0, 1), max_size=2),
)


def row(text: str, system: str | None = None, by: str = "") -> Row:
    head = () if system is None else (Message("system", system),)
    return Row((*head, Message("user", text), Message("assistant", "ok")), added_by=by)


def kept(decision: Decision) -> set[int]:
    return set(range(N)) if decision.keep is None else set(decision.keep)


@given(decisions, decisions, decisions)
def test_gates_join_to_the_stricter(a: Decision, b: Decision, c: Decision) -> None:
    order = ["pass", "review", "refuse"]
    both = a.joined(b)
    assert order.index(both.outcome) == max(order.index(a.outcome), order.index(b.outcome))
    assert kept(both) == kept(a) & kept(b)
    assert both.evidence.keys() == a.evidence.keys() | b.evidence.keys()
    assert a.joined(b).joined(c) == a.joined(b.joined(c))
    assert Decision().joined(a) == a == a.joined(Decision())


@given(decisions)
def test_only_kept_rows_are_trained_on(decision: Decision) -> None:
    upload = Upload(tuple(row(str(i)) for i in range(N)), SETTINGS)
    assert {int(r.messages[0].content) for r in decision.apply(upload).rows} == kept(decision)


def test_system_prompts_of_the_customer_by_how_common_they_are() -> None:
    rows = [row("1", "b"), row("2", "a"), row("3"), row("4", "c"), row("5", "c")]
    rows += [row("6", "z", by="mix")] * 9
    for order in (rows, rows[::-1]):
        assert system_prompts(Upload(tuple(order), SETTINGS)) == ["c", None, "a", "b"]


def test_added_rows_say_who_added_them() -> None:
    upload = Upload((row("x", "s"),), SETTINGS)
    pairs = [Pair("p", "r")]
    assert added_rows(pairs, upload, "customer", "me") == [
        Row((Message("system", "s"), Message("user", "p"), Message("assistant", "r")), "me")
    ]
    assert added_rows(pairs, upload, "provider", "me") == [
        Row((Message("user", "p"), Message("assistant", "r")), "me")
    ]


def test_a_plain_defense_does_nothing(make_upload: Any, provider: Any, tiny_target: Any) -> None:
    nothing, upload = Defense(), make_upload()
    assert not any(nothing.acts(moment) for moment in MOMENTS)
    assert nothing.immunize(tiny_target, provider) is tiny_target
    assert nothing.screen(upload, provider) == Decision()
    assert nothing.curate(upload, provider) is upload
    assert nothing.during(upload, provider) is None
    assert nothing.repair(tiny_target, provider) is tiny_target
    assert nothing.serve(tiny_target, provider) is tiny_target
    assert nothing.audit(tiny_target, upload, provider) == Decision()
    assert not nothing.needs()


def test_parts_act_from_left_to_right(make_upload: Any, provider: Any) -> None:
    upload = make_upload(4)
    both = compose.load(parse("cap:factor=0.5+mix:n=2+lisa:n=3")[0])
    curated = both.curate(upload, provider)
    assert curated.settings.learning_rate == upload.settings.learning_rate / 2
    assert [r.added_by for r in curated.rows] == [""] * 4 + ["mix"] * 2 + ["lisa"] * 3
    hooks = both.during(curated, provider)
    assert hooks is not None
    assert hooks.overrides("plan")
    assert both.needs() == {"weights"}


def test_a_composed_training_tunes(make_upload: Any, provider: Any, tiny_target: Any) -> None:
    both = compose.load(parse("cap:factor=0.5+mix:n=2+lisa:n=3")[0])
    curated = both.curate(make_upload(4), provider)
    assert tiny_target.fine_tune(curated, both.during(curated, provider)).differs(tiny_target)


def test_the_last_part_serves_outermost(tiny_target: Any, provider: Any) -> None:
    both = compose.load(parse("ptst:prompt=one+ptst:prompt=two")[0])
    served: Any = both.serve(tiny_target, provider)
    chat = served.target.change(served.change((Message("user", "hi"),)))
    assert chat == (Message("system", "one two"), Message("user", "hi"))


@pytest.mark.parametrize("order", ["moderate+revert", "revert+moderate"])
def test_one_refusal_is_enough(order: str, make_upload: Any, provider: Any) -> None:
    assert compose.load(parse(order)[0]).screen(make_upload(), provider).outcome == "refuse"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("words:kinds=3,5", "one moderator, without a sweep"),
        ("words+judge", "one moderator, without a sweep"),
        ("wrods", "Did you mean 'words'"),
        ("words:kinds=0", "at least 1 and at most 100"),
    ],
)
def test_a_moderators_spec_names_one(spec: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        moderator(spec)
