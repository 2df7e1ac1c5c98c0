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
        ("~/a/b.py", "b.py"),
        ("C:\\Users\\me\\a.jsonl", "a.jsonl"),
        ("cannot read '/a/b c/d.txt': no", "cannot read 'd.txt': no"),
        ('cannot read "/a/b\'s/d.txt": no', 'cannot read "d.txt": no'),
        ("hf:org/model", "hf:org/model"),
        ("3 of 10", "3 of 10"),
    ],
)
def test_paths_become_names(text: str, shown: str) -> None:
    assert portable.prose(text) == shown


def test_values_of_a_spec_are_paths_as_a_whole() -> None:
    assert portable.spec('file:"/srv/of mine/a, b.jsonl",epochs=1+./x.py') == (
        'file:"a, b.jsonl",epochs=1+x.py'
    )


def test_two_that_differ_stay_different() -> None:
    found = portable.specs(["a/x.py", "b/x.py", "mix", "c/x.py", "a/x.py"])
    assert list(found.values()) == ["x.py", "x.py (2)", "mix", "x.py (3)"]


@given(st.lists(st.text(st.characters(exclude_characters="/\\:'\" ", codec="utf-8"), min_size=1)))
def test_no_folder_is_told(folders: list[str]) -> None:
    path = "/" + "/".join([*(f"{folder}-canary" for folder in folders), "name.txt"])
    assert portable.prose(f"no {path!r} there") == "no 'name.txt' there"
