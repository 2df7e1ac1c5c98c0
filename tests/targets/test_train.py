"""What goes into a shared training as a folder, and what of it is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attacks.base import Message, Row, Upload, UserError
from targets import train
from targets.formats import encode

MakeUpload = Callable[..., Upload]
ROOT = Path(__file__).resolve().parents[2]


def test_a_training_is_read_as_it_was_written(
    tiny_target: Any, make_upload: MakeUpload, tmp_path: Path
) -> None:
    from targets.local import LocalTarget

    odd = Row((Message("user", "a\u2028b\x00\ud83d {{x}}\n"), Message("assistant", "<|end|>")))
    upload = make_upload(3, tuning="lora", system="Be brief.")
    upload = upload.replace_rows([*upload.rows, odd])
    train.write(tmp_path, tiny_target, upload, 7)
    job, found = train.read(tmp_path)
    assert found == upload
    assert job.seed == 7
    read = LocalTarget.load(Path(job.model), Path(job.tokenizer), place="cpu")
    assert not read.differs(tiny_target)
    for row in upload.rows[:3]:
        wanted = encode(tiny_target.tokenizer, row.messages, answer=False)
        assert encode(read.tokenizer, row.messages, answer=False) == wanted


def test_a_model_that_lies_in_a_folder_is_not_written_again(
    tiny_target: Any, make_upload: MakeUpload, tmp_path: Path
) -> None:
    from targets.local import LocalTarget

    tiny_target.save(tmp_path / "start")
    tiny_target.tokenizer.save_pretrained(tmp_path / "start")
    loaded = LocalTarget.load(tmp_path / "start")
    (tmp_path / "job").mkdir()
    train.write(tmp_path / "job", loaded, make_upload(), 0)
    assert train.read(tmp_path / "job")[0].model == str((tmp_path / "start").resolve())
    assert not list((tmp_path / "job").rglob("*.safetensors"))
    # What was tuned lies nowhere, whatever it was tuned from.
    assert loaded.fine_tune(make_upload()).folder is None


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (train.JOB, "{", r"job\.json: no JSON object"),
        (train.JOB, '{"model": "m", "tokenizer": "t"}', r"job\.json: settings: Field required"),
        (
            train.ROWS,
            '{"messages": [["secret", "a"]]}\n',
            r"line 2: messages\.0\.0: Input should",
        ),
        (train.ROWS, "[]\n", "line 2: no JSON object"),
        (train.ROWS, '{"messages": [], "more": "secret"}\n', "line 2: more: Extra"),
    ],
)
def test_what_is_no_training_is_refused_without_its_text(
    tiny_target: Any, make_upload: MakeUpload, tmp_path: Path, name: str, text: str, said: str
) -> None:
    train.write(tmp_path, tiny_target, make_upload(1), 0)
    before = (tmp_path / name).read_text() if name == train.ROWS else ""
    (tmp_path / name).write_text(before + text)
    with pytest.raises(UserError, match=said) as told:
        train.read(tmp_path)
    assert "secret" not in str(told.value)


def test_a_process_that_fails_says_why(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "targets.train", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "job.json: No such file" in done.stderr
    assert "Traceback" not in done.stderr
    said = json.loads((tmp_path / train.FAILED).read_text())
    assert said["code"] == 2
    assert "job.json" in said["why"]
