"""Which report goes where."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from attacks.base import UserError
from provider.gates import outputs

CAN = ("text", "json", "html", "junit", "sarif")


@pytest.mark.parametrize(
    ("formats", "outs", "wanted"),
    [
        ([], [], {None: "text"}),
        (["json"], [], {None: "json"}),
        (["json"], ["a"], {None: "text", "a": "json"}),
        (["json", "html"], ["a"], {None: "html", "a": "json"}),
        ([], ["a.json", "b.xml"], {None: "text", "a.json": "json", "b.xml": "junit"}),
        ([], ["b.junit.xml"], {None: "text", "b.junit.xml": "junit"}),
        ([], ["b.sarif"], {None: "text", "b.sarif": "sarif"}),
    ],
)
def test_formats_and_files(
    tmp_path: Path, formats: list[str], outs: list[str], wanted: dict[str | None, str]
) -> None:
    found = outputs.planned(formats, [tmp_path / out for out in outs], None, "x", CAN)
    assert {path and path.name: name for path, name in found.items()} == wanted


@pytest.mark.parametrize(
    ("formats", "outs"),
    [
        (["json", "html"], []),
        (["json"], ["a", "b"]),
        ([], ["a.odd"]),
        (["json", "html"], ["a", "a"]),
        (["json"], ["nowhere/a"]),
        (["json"], ["."]),
    ],
)
def test_what_cannot_be_written_is_told_before(
    tmp_path: Path, formats: list[str], outs: list[str]
) -> None:
    with pytest.raises(UserError):
        outputs.planned(formats, [tmp_path / out for out in outs], None, "x", CAN)


def test_a_folder_takes_every_format(tmp_path: Path) -> None:
    found = outputs.planned([], [], tmp_path / "new", "x", CAN)
    said = outputs.write(found, {name: lambda: "é\ud7ff" for name in CAN})
    assert said == "é\ud7ff"
    assert len(list((tmp_path / "new").iterdir())) == len(CAN)
    with pytest.raises(UserError):
        outputs.planned([], [], tmp_path / "new" / "x.txt", "x", CAN)


def test_nothing_is_written_over_what_is_read_or_is_no_file(tmp_path: Path) -> None:
    given, other, pipe = tmp_path / "rows.json", tmp_path / "other.json", tmp_path / "pipe.json"
    given.write_text("rows")
    other.symlink_to(given)
    os.mkfifo(pipe)
    for out, said in ((given, "is read"), (other, "is read"), (pipe, "no file")):
        with pytest.raises(UserError, match=said):
            outputs.planned(["json"], [out], None, "x", CAN, [None, given])
    (tmp_path / "x.json").hardlink_to(given)
    with pytest.raises(UserError, match="is read"):
        outputs.planned([], [], tmp_path, "x", CAN, [given])
