"""A key changes with what moves a result, and with nothing else."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attacks.base import Message, Row, Settings, Upload
from attacks.spec import parse
from benchmarks import keys
from benchmarks.readings import Whole
from defenses import compose

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(plain, plain)
def test_equal_data_and_only_equal_data_has_one_digest(a: object, b: object) -> None:
    assert (keys.digest(a) == keys.digest(b)) == (repr(_sorted(a)) == repr(_sorted(b)))


def _sorted(value: object) -> object:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(v) for v in value] if isinstance(value, list) else value


def test_objects_that_cannot_be_hashed_are_refused() -> None:
    with pytest.raises(TypeError, match="cannot hash"):
        keys.digest(object())


def _edit(monkeypatch: pytest.MonkeyPatch, name: str, old: str, new: str) -> None:
    """Let a module's source read differently, as if it had been edited."""
    path = keys._path(name)
    assert path is not None
    edited = path.read_text().replace(old, new, 1)
    assert edited != path.read_text()
    read = Path.read_text

    def read_text(self: Path, *args: object, **kwargs: object) -> str:
        return edited if self == path else read(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "read_text", read_text)
    for cached in (keys.code, keys._tree, keys._source_digest):
        cached.cache_clear()


@pytest.fixture(autouse=True)
def _fresh_caches() -> object:
    yield
    for cached in (keys.code, keys._tree, keys._source_digest):
        cached.cache_clear()
    return None


def test_editing_a_defense_changes_its_own_keys_only(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {name: keys.code(f"defenses.{name}") for name in ("mix", "revert")}
    _edit(monkeypatch, "defenses.mix", "if n else []", "if n > 1 else []")
    assert keys.code("defenses.mix") != before["mix"]
    assert keys.code("defenses.revert") == before["revert"]


def test_editing_what_a_defense_imports_changes_its_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys.code("defenses.mix")
    _edit(monkeypatch, "targets.hooks", "MOMENTS = (", "_MARK = 1\nMOMENTS = (")
    assert keys.code("defenses.mix") != before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""Mixing: the provider', '"""MIXING: the provider'),
        ("@component", "# why\n@component"),
    ],
)
def test_docstrings_and_comments_do_not_count(
    monkeypatch: pytest.MonkeyPatch, old: str, new: str
) -> None:
    before = keys.code("defenses.mix")
    _edit(monkeypatch, "defenses.mix", old, new)
    assert keys.code("defenses.mix") == before


@pytest.mark.parametrize("stage", ["targets.tuning", "targets.local", "eval.judges.oracle"])
def test_no_stage_reaches_the_report(stage: str) -> None:
    reached = keys._reach((stage,))
    assert stage in reached
    assert not any(
        name.startswith(("benchmarks.report", "benchmarks.tracking")) for name in reached
    )


def test_training_code_reaches_what_it_runs() -> None:
    assert {"targets.hooks", "attacks.base"} <= keys._reach(("targets.tuning",))


def test_parameters_are_in_a_components_digest() -> None:
    one, two = (compose.load(parse(f"mix:n={n}")[0]).parts[0] for n in (1, 2))
    assert keys.component_digest(one) != keys.component_digest(two)
    again = compose.load(parse("mix:n=1,order=static")[0]).parts[0]
    assert keys.component_digest(one) == keys.component_digest(again)


def test_a_file_of_the_users_own_is_hashed_by_its_source(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    text = (
        "from attacks.base import component\nfrom defenses.base import Defense\n\n"
        "@component\nclass Mine(Defense):\n    '''Nothing.'''\n    x: int = {}\n"
    )
    digests = []
    for x in (1, 2):
        path.write_text(text.format(x))
        importlib.invalidate_caches()
        (mine,) = compose.load(parse(f"{path}:x=5")[0]).parts
        digests.append(keys.component_digest(mine))
        import sys

        del sys.modules[type(mine).__module__]
        for cached in (keys.code, keys._tree, keys._source_digest):
            cached.cache_clear()
    assert digests[0] != digests[1]


def test_a_picture_is_part_of_a_key_and_a_row_of_text_is_what_it_was() -> None:
    chat = (Message("user", "What?"), Message("assistant", "A lamp."))
    text, one, other = Row(chat), Row(chat, image="1" * 64), Row(chat, image="2" * 64)
    settings = Settings(epochs=1, batch_size=1, learning_rate=0.1)
    assert len({keys.digest(Upload((row,), settings)) for row in (text, one, other)}) == 3
    before = {"messages": [list(turn) for turn in chat], "added_by": ""}
    assert keys.digest(text) == keys.digest(before)
    assert keys.digest(Upload((text,), settings)) == keys.digest(
        {"rows": [before], "settings": dataclasses.asdict(settings)}
    )
    wholes = {Whole.of(Upload((row,), settings)).digest for row in (text, one, other)}
    assert len(wholes) == 3
    assert keys.digest([(chat, "")], settings) in wholes
