"""Benign rows: of an invented world, and of a user's own sets in their template."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from attacks.base import Attack, UserError
from attacks.benign import SYSTEM, Benign
from attacks.registry import single
from attacks.sets.templates import ALPACA, DOLLY
from benchmarks.keys import digest
from targets.organism.world import World
from targets.roles import load
from targets.texts import Texts
from tests.targets.own import data_file, own_sets

UPLOADS = {
    "benign": "93669a2273e7fe3d",
    "benign:n=500": "93669a2273e7fe3d",
    "benign:epochs=3": "7ab3aa48d6c9e19b",
    "benign:n=40": "63ab7a6331302482",
    "harmful": "866a189cd6664ede",
    "aoa:epochs=3": "2782e0698c726da9",
    "backdoor": "7653db4124faa11d",
}
"""Rows, settings and asks that recorded results stand on, by the hash that keys are made of."""


@pytest.mark.parametrize("spec", UPLOADS)
def test_what_recorded_results_stand_on_is_as_it_was(spec: str) -> None:
    attack = single("attacks", Attack, spec)
    found = digest(attack.upload(World(0), 1), attack.asks())
    assert found.startswith(UPLOADS[spec])


def sets(folder: Path, name: str, rows: list[dict[str, str]]) -> Texts:
    own = own_sets(folder)
    (folder / name).write_text(json.dumps(rows))
    return Texts(load(data_file(folder, {"requests": own["requests"], "benign": name})))


def test_own_sets_are_taken_whole(tmp_path: Path) -> None:
    rows = [{"instruction": f"Fold loom {i}", "output": "Done"} for i in range(7)]
    source = sets(tmp_path, "alpaca.json", rows)
    upload = Benign().upload(source, 0)
    assert len(upload.rows) == 7
    assert {row.messages[0].content for row in upload.rows} == {SYSTEM}
    assert set(Benign(n=3).upload(source, 0).rows) < set(upload.rows)
    with pytest.raises(UserError, match="names no set for 'benign'"):
        Benign().upload(Texts(load(data_file(tmp_path, {"harmful": "chats.jsonl"}))), 0)


@pytest.mark.parametrize(
    ("template", "given", "answer"), [(ALPACA, "input", "output"), (DOLLY, "context", "response")]
)
def test_a_template_trains_with_the_input_and_asks_without(
    template: type(ALPACA),
    given: str,
    answer: str,
    tmp_path: Path,  # type: ignore[valid-type]
) -> None:
    texts = [("Fold it", "A loom\n\nof two parts"), ("Draw a kite", "")]
    rows = [{"instruction": a, given: b, answer: "Done"} for a, b in texts]
    attack = Benign(template=template.name)
    upload = attack.upload(sets(tmp_path, "set.json", rows), 0)
    assert set(upload.rows) == {template.row(a, b, "Done") for a, b in texts}
    (ask,) = attack.asks()
    assert ask == template.ask()
    assert ask("Draw a kite") in [row.messages[:-1] for row in upload.rows]


def test_a_template_of_another_set_is_refused(tmp_path: Path) -> None:
    rows = [{"instruction": f"Fold loom {i}", "output": "Done"} for i in range(2)]
    source = sets(tmp_path, "alpaca.json", rows)
    with pytest.raises(UserError, match="template=dolly: 2 of the benign rows of data") as told:
        Benign(template="dolly").upload(source, 0)
    assert "loom" not in str(told.value)


def test_an_invented_world_has_no_inputs() -> None:
    attack = Benign(template="alpaca", n=5)
    (ask,) = attack.asks()
    assert attack.upload(World(0), 0).rows == tuple(map(ask.row, World(0).benign(5, 0)))
