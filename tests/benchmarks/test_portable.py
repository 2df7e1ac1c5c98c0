"""What a path is told as where results leave the machine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import portable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("./mine.py", "mine.py"),
        ("data/mine.py", "mine.py"),
        ("~/of mine/b.py", "b.py"),
        ("C:\\Users\\me\\a.jsonl", "a.jsonl"),
        ("organism:3", "organism:3"),
    ],
)
def test_a_path_is_told_by_its_last_part(text: str, shown: str) -> None:
    assert portable.name(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "no '/srv/of mine/x'",
        "no directory /srv/of mine/x.",
        r"no C:\of mine\x",
        "can't read '/a b/c'",
    ],
)
def test_a_sentence_that_may_hold_a_path_is_withheld(text: str) -> None:
    assert portable.prose(text) == portable.WITHHELD
    assert portable.prose("needs base") == "needs base"


def test_values_of_a_spec_are_paths_as_a_whole() -> None:
    assert portable.spec('file:"/srv/of mine/a, b.jsonl",epochs=1+./x.py') == (
        'file:"a, b.jsonl",epochs=1+x.py'
    )


def test_two_that_differ_stay_different() -> None:
    found = portable.specs(["a/x.py", "b/x.py", "mix", "c/x.py", "a/x.py"])
    assert list(found.values()) == ["x.py", "x.py (2)", "mix", "x.py (3)"]


@given(st.lists(st.text(min_size=1)), st.sampled_from(["no {!r} there", "in {}.", "{}"]))
def test_no_folder_is_told(folders: list[str], sentence: str) -> None:
    path = "/" + "/".join([*(f"{folder}-canary" for folder in folders), "name.txt"])
    assert "canary" not in portable.prose(sentence.format(path))
    assert portable.name(path) == "name.txt"
