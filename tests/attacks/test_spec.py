"""The grammar reads back what it writes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attacks.base import UserError
from attacks.spec import Part, format_spec, parse

names = st.from_regex(r"[a-z_][a-z0-9_]*", fullmatch=True) | st.just("./mine.py")
keys = st.from_regex(r"[a-z_][a-z0-9_]*", fullmatch=True)
values = st.text(min_size=1) | st.sampled_from(
    ["1e+5", "0.5", "a+b", 'say "x"', "a,b", " x ", "-1"]
)
parts = st.builds(Part, names, st.dictionaries(keys, values, max_size=3))


@given(st.lists(parts, min_size=1, max_size=3).map(tuple))
def test_what_is_written_is_read_back(spec: tuple[Part, ...]) -> None:
    assert parse(format_spec(spec)) == [spec]


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    try:
        specs = parse(text)
    except UserError as refusal:
        said = str(refusal)
    else:
        said = ""
        assert all(parse(format_spec(spec)) == [spec] for spec in specs)
    assert "\n" not in said.replace(repr(text), "")


def test_a_sweep_is_every_point() -> None:
    specs = parse("mix:n=0,10,50,order=static,interleaved")
    assert [format_spec(spec) for spec in specs] == [
        f"mix:n={n},order={order}" for n in (0, 10, 50) for order in ("static", "interleaved")
    ]


def test_a_plus_composes_but_not_inside_a_number() -> None:
    (spec,) = parse("cap:factor=1e+2+mix:n=3")
    assert [(part.name, dict(part.params)) for part in spec] == [
        ("cap", {"factor": "1e+2"}),
        ("mix", {"n": "3"}),
    ]


def test_the_first_parameter_may_go_unnamed() -> None:
    (spec,) = parse("mix:100")
    assert dict(spec[0].params) == {"": "100"}
    assert format_spec(spec) == "mix:100"


@pytest.mark.parametrize(
    "text",
    ["", "mix:", "mix:n=", "+mix", "mix+", "mix:n=1,n=2", "a b", "mix:n==1", r'file:"a\q.jsonl"'],
)
def test_bad_specs_are_refused(text: str) -> None:
    with pytest.raises(UserError):
        parse(text)
