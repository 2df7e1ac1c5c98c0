from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from attacks.base import UserError
from benchmarks.gates.folder import uploads
from benchmarks.gates.opening import Where, named, opened
from tests.benchmarks.gates.past import chat, past_uploads


def test_labelled_uploads_are_found(tmp_path: Path) -> None:
    found = uploads(past_uploads(tmp_path / "past"))
    assert Counter((one.intent, one.family) for one in found) == {
        ("benign", ""): 24,
        ("hostile", "small"): 6,
    }
    assert Counter(one.split for one in found) == {"fit": 10, "threshold": 10, "held_out": 10}
    assert [len(one.upload.rows) for one in found[-2:]] == [3, 3]


def test_a_split_is_drawn_from_the_contents(tmp_path: Path) -> None:
    for at in range(60):
        (tmp_path / f"{at}.jsonl").write_text(chat("Hello?", f"Hello {at}."))
        (tmp_path / f"again-{at}.jsonl").write_text(chat("Hello?", f"Hello {at}."))
    files = [path.name for path in sorted(tmp_path.iterdir())]
    (tmp_path / "labels.csv").write_text("file,intent\n" + "".join(f"{f},benign\n" for f in files))
    by_content: dict[str, set[str]] = {}
    for one in uploads(tmp_path):
        by_content.setdefault(one.content, set()).add(one.split)
    assert all(len(splits) == 1 for splits in by_content.values())
    assert len(set.union(*by_content.values())) == 3


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (None, "cannot read"),
        ("file,intent\nrows.jsonl,unkind\n", "line 2: intent"),
        ("file,intent\nrows.jsonl,benign\nrows.jsonl,benign\n", "labelled twice"),
        ("file,intent\n../secret.jsonl,benign\n", "names only, no folders"),
        ("file,intent\nabsent.jsonl,benign\n", "no file 'absent.jsonl'"),
        ("file,intent,verdict\nrows.jsonl,benign,good\n", "line 2: verdict"),
        ("file,intent,epochs\nrows.jsonl,benign,0\n", "line 2: epochs"),
        ("", "no uploads"),
    ],
)
def test_bad_labels_are_told(tmp_path: Path, labels: str | None, told: str) -> None:
    (tmp_path / "rows.jsonl").write_text(chat("Hello?", "Hello."))
    if labels is not None:
        (tmp_path / "labels.csv").write_text(labels)
    with pytest.raises(UserError, match=told):
        named(Where(str(tmp_path)))


def test_a_file_that_holds_no_chats_is_told(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("{}\n")
    (tmp_path / "labels.csv").write_text("file,intent\nrows.jsonl,benign\n")
    (only,) = opened(Where(str(tmp_path))).values()
    with pytest.raises(UserError, match=r"rows\.jsonl, line 1"):
        _ = only.upload
