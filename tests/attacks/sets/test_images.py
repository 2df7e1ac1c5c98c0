"""A picture is what it holds; where it lies is looked up, below one folder only."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attacks.base import UserError
from attacks.sets import images
from attacks.sets.base import Fault


def test_it_is_found_by_its_contents(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"one")
    sha256 = images.known(tmp_path / "a.png")
    assert sha256 == hashlib.sha256(b"one").hexdigest()
    assert images.content(sha256) == b"one"
    (tmp_path / "b.png").write_bytes(b"one")
    assert images.known(tmp_path / "b.png") == sha256
    (tmp_path / "b.png").write_bytes(b"two")
    with pytest.raises(UserError, match="has changed since it was read"):
        images.content(sha256)
    with pytest.raises(UserError, match="nobody has said where"):
        images.content("0" * 64)


def test_what_cannot_be_read_is_told_without_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "canary.png"
    with pytest.raises(UserError, match="an image cannot be read") as gone:
        images.known(path)
    path.write_bytes(b"four")
    monkeypatch.setattr(images, "LARGEST", 3)
    with pytest.raises(UserError, match="an image has 4 bytes, and at most 3") as large:
        images.known(path)
    assert "canary" not in str(gone.value) + str(large.value)


def test_names_stay_in_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    (folder / "in").mkdir(parents=True)
    (folder / "in" / "a.png").write_bytes(b"")
    (tmp_path / "secret").write_bytes(b"")
    os.symlink(tmp_path / "secret", folder / "link")
    os.symlink(tmp_path, folder / "up")
    os.symlink("in/a.png", folder / "alias")
    os.symlink("ring", folder / "ring")
    os.mkfifo(folder / "pipe")
    assert images.place(folder, "in/a.png") == images.place(folder, "alias")
    assert images.place(folder, "in/../in/b.png".replace("../in/", "")) is None
    for missing in ("in", "none.png", "pipe", "ring", "n" * 5000):
        assert images.place(folder, missing) is None
    for out in ("/etc/passwd", "../secret", "in/../../secret", "link", "up/secret", "a\0b"):
        with pytest.raises(Fault, match="leads out"):
            images.place(folder, out)


@given(st.text(st.sampled_from("./\\~a\0é"), max_size=12))
def test_no_name_leads_out(name: str) -> None:
    folder = Path(__file__).parent
    try:
        found = images.place(folder, name)
    except Fault:
        return
    assert found is None or found.is_relative_to(folder.resolve())
