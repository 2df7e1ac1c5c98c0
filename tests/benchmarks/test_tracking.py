"""W&B for real, offline: what its files hold, and what they must not."""

import getpass
import os
import re
import socket
import sys
from pathlib import Path

import pytest

from benchmarks import tracking
from benchmarks.portable import WITHHELD
from benchmarks.report import files
from benchmarks.results import Answers, Matrix, Transcript
from tests.benchmarks.synthetic import example

GRID = {"target": "organism", "attacks": ["aoa"], "defenses": ["mix"], "judges": [], "seeds": 1}
CANARY = "a velmor of brass and thyme 9c1f"


def small() -> Matrix:
    matrix = example(prompts=11, seeds=1, few=True)
    cells = [c for c in matrix.cells if c.attack == "backdoor" and c.defense != "mix:n=50"]
    return matrix.model_copy(update={"cells": cells})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("runs") / "one of mine"
    files.write(place, small(), {}, "attacks: []\n")
    return place


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def tracked(folder: Path) -> list[Path]:
    return [path for path in (folder / "wandb").rglob("*") if path.is_file()]


BLOCK, HEAD = 32768, 7
"""W&B's log is cut into blocks; each piece of a record in it has a head: sum, length, kind."""


def records(path: Path) -> bytes:
    """What a `.wandb` file records, put together again where a block's end cut it."""
    data, found, place = path.read_bytes(), b"", HEAD
    while place < len(data):
        left = BLOCK - place % BLOCK
        if left < HEAD:
            place += left
            continue
        length = int.from_bytes(data[place + 4 : place + 6], "little")
        found += data[place + HEAD : place + HEAD + length]
        place += HEAD + length
    return found


def everything(folder: Path) -> bytes:
    """Names and contents; an image is one of the run's own, told by its name alone."""
    held = b""
    for path in tracked(folder):
        held += str(path.relative_to(folder)).encode()
        if path.suffix == ".wandb":
            held += records(path)
        elif path.suffix != ".png":
            held += path.read_bytes()
    return held


def holds(held: bytes, word: str) -> bool:
    """Whether a word is in W&B's files; a short one may stand by chance in a checksum's bytes."""
    text = word.encode()
    if len(text) > 4:
        return text in held
    return bytes([len(text)]) + text in held or b'"' + text + b'"' in held


def test_one_run_for_each_cell_and_one_for_the_matrix(folder: Path) -> None:
    tracking.track(small(), GRID, "g1", folder, "offline")
    runs = list((folder / "wandb").glob("offline-run-*"))
    assert len(runs) == len(small().cells) + 1
    held = everything(folder)
    for word in (b"backdoor | mix:n=10 | 0", b"g1", b"learning_rate", b"trigger/oracle/rate"):
        assert word in held
    names = [path.name for path in tracked(folder)]
    assert [name for name in names if name.endswith(".table.json")]
    assert [name for name in names if re.match(r"figures/?heatmap|heatmap", name)]
    assert b"report.html" in held


def test_the_same_grid_again_gives_the_same_runs(folder: Path) -> None:
    def ids() -> list[str]:
        return sorted(p.name.rsplit("-", 1)[1] for p in (folder / "wandb").glob("offline-run-*"))

    tracking.track(small(), GRID, "g1", folder, "offline")
    before = ids()
    tracking.track(small(), GRID, "g1", folder, "offline")
    assert ids() == before
    assert len(set(before)) == len(before)
    other = {tracking.run_id("g2", "matrix"), tracking.run_id("g1", "aoa | none | 0")}
    assert not other & set(before)


def test_nothing_of_the_machine_is_in_the_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # W&B takes these from the environment when it is not told otherwise.
    monkeypatch.setenv("WANDB_HOST", "canary-host-5d0a")
    monkeypatch.setenv("WANDB_USERNAME", "canary-user-5d0a")
    monkeypatch.setenv("WANDB_EMAIL", "canary-mail-5d0a")
    monkeypatch.setenv("WANDB_PROGRAM", "canary-program-5d0a")
    tracking.track(small(), GRID, "g1", folder, "offline")
    held = everything(folder)
    words = [getpass.getuser(), socket.gethostname(), "canary"]
    for word in words:
        assert not holds(held, word)
    places = [Path.home(), Path.cwd(), folder, folder.parent, sys.executable, sys.prefix]
    for place in places:
        assert len(str(place)) > 3
        assert str(place).encode() not in held
    assert not [path for path in tracked(folder) if "log" in path.parts[-2]]
    assert not [
        path for path in tracked(folder) if path.name.startswith(("requirements", "wandb-m"))
    ]


def test_no_text_unless_the_report_was_written_with_it(folder: Path) -> None:
    plain = {"attack": "backdoor", "defense": "none", "seed": 0, "ask": "plain", "score": 5}
    plain |= {"kind": "request", "category": "velmor", "released": True}
    texts = [Transcript(request=CANARY, reply=CANARY, **plain)]  # type: ignore[arg-type]
    tracking.track(small(), GRID, "g1", folder, "offline")
    assert CANARY.encode() not in everything(folder)
    assert CANARY not in (folder / "report.html").read_text()
    files.write_report(folder, small(), texts)
    assert CANARY in (folder / "report.html").read_text()
    files.write_report(folder, small())


def test_paths_that_the_user_gave_are_sent_by_their_last_part(folder: Path) -> None:
    matrix, place = small(), "/srv/canary_place/of mine"
    names = {"attack": f"file:{place}/rows.jsonl", "defense": f"{place}/mine.py:x=1"}
    judge = f"{place}/judge.py"

    def judged(found: Answers | None) -> Answers | None:
        return found and found.model_copy(update={"scores": {judge: found.scores["oracle"]}})

    cells = []
    for cell in matrix.cells:
        asks = {
            ask: asked.model_copy(
                update={
                    "released": judged(asked.released),
                    "if_released": judged(asked.if_released),
                }
            )
            for ask, asked in cell.asks.items()
        }
        told = {"reason": f"no '{place}/x' in /srv/canary_place/y", "asks": asks}
        own = names if cell.defense == "mix:n=10" else {"attack": names["attack"]}
        cells.append(cell.model_copy(update={**told, **own}))
    changed = {"target": f"{place}/model", "cells": cells, "judges": {judge: "x"}}
    named = matrix.model_copy(update=changed)
    grid = {**GRID, "target": named.target, "judges": [judge]}
    grid |= {"attacks": [names["attack"]], "defenses": [names["defense"]]}
    tracking.track(named, grid, "g3", folder, "offline")
    held = everything(folder)
    assert b"canary_place" not in held
    assert b"of mine" not in held
    for shown in (b"file:rows.jsonl", b"mine.py:x=1", b"judge.py/rate", WITHHELD.encode()):
        assert shown in held


def test_without_a_key_it_stays_offline_and_says_how_to_upload(folder: Path) -> None:
    lines = tracking.track(small(), GRID, "g1", folder, "online")
    assert "no key" in lines[0]
    assert lines[1].strip() == f"cd '{folder}' && wandb sync --yes"


def test_a_key_in_the_netrc_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not tracking.has_key()
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password x\n")
    (tmp_path / "netrc").chmod(0o600)
    assert tracking.has_key()
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert not tracking.has_key()
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    assert tracking.has_key()


def test_disabled_writes_nothing(tmp_path: Path) -> None:
    assert tracking.track(small(), GRID, "g1", tmp_path, "disabled") == []
    assert list(tmp_path.iterdir()) == []


def test_a_number_that_could_not_be_had_is_left_out() -> None:
    cell = small().cells[0]
    nothing = Answers(
        scores={"oracle": [None, None]}, coherent=[None, None], correct=[], refused=[], cut=0
    )
    asked = cell.asks["plain"].model_copy(update={"released": nothing})
    found = tracking.numbers(cell.model_copy(update={"asks": {"plain": asked}}))
    assert found["plain/oracle/missing"] == 2
    assert found["plain/oracle/n"] == 0
    for name in ("plain/oracle/rate", "plain/oracle/score", "plain/utility", "plain/incoherent"):
        assert name not in found
