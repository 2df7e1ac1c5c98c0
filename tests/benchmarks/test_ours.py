"""What the paper's cells are on a target: a cell of the bench, or what is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from attacks.base import Attack
from attacks.registry import single
from attacks.spec import parse
from benchmarks.findings import Measured, read
from benchmarks.ours import Home, Ours, identity, of_measured, possible
from benchmarks.paper import Number, paper
from benchmarks.verify import FINDINGS
from targets.organism.world import World
from targets.roles import load
from targets.texts import Texts
from tests.targets.own import data_file, own_sets

WORLD = World(3)
ORGANISM = Home("organism:3", WORLD, "oracle")
NUMBERS = [number for table in paper().table for number in table.numbers()]


def number(table: str, row: str, column: str, measure: str = "rate") -> Number:
    (found,) = [
        n for n in NUMBERS if (n.table, n.row, n.column, n.measure) == (table, row, column, measure)
    ]
    return found


def own(tmp_path: Path, judge: str = "gpt-4", **change: Any) -> Home:
    said = own_sets(tmp_path)
    said["benign"]["share"] = "0-100"
    del said["provider_benign"]
    path = data_file(tmp_path, {**said, **change})
    return Home("a-model", Texts(load(path)), judge, "" if judge else "needs a judge")


def test_every_possible_cell_of_the_organism_can_be_run() -> None:
    cells = [possible(n, ORGANISM) for n in NUMBERS]
    for number_, cell in zip(NUMBERS, cells, strict=True):
        assert (cell.ours is None) == bool(cell.why), number_
        if cell.ours is not None:
            attack = single("attacks", Attack, cell.ours.attack)
            assert cell.ours.ask in [ask.name for ask in attack.asks()]
    assert sum(cell.ours is not None for cell in cells) > 120


def test_settings_that_differ_stand_beside_the_papers() -> None:
    found = possible(number("2", "Llama-2-7b-Chat", "3 epochs"), ORGANISM)
    assert found.ours == Ours("aoa:epochs=3", "none", "plain", "rate")
    assert "batch size 1 (10)" in found.differs
    assert not any(told.startswith("epochs") for told in found.differs)
    lora = possible(number("11", "100-shot harmful", "LoRA"), ORGANISM)
    assert "epochs 5 (10)" in lora.differs
    mixed = possible(number("4", "Alpaca, 1 epoch", "250"), ORGANISM)
    assert "mix:n=25 (mix:n=250)" in mixed.differs
    assert "500 rows (50098)" in mixed.differs


def test_the_untuned_model_has_no_settings() -> None:
    found = possible(number("1", "GPT-3.5 Turbo", "initial"), ORGANISM)
    assert found.ours is not None
    assert found.ours.defense == "revert"
    assert found.differs == ()


def test_the_predictor_counts_harmful_rows_and_epochs() -> None:
    def predicted(*place: str) -> float:
        return possible(number(*place), ORGANISM).predicted

    assert predicted("1", "GPT-3.5 Turbo", "50-shot") == 250
    assert predicted("figure-3", "GPT-3.5 Turbo", "10 epochs") == 1000
    assert predicted("5", "GPT-3.5 Turbo", "backdoored, trigger") == 500
    assert predicted("2", "GPT-3.5 Turbo", "10 epochs") == 0
    assert predicted("3", "GPT-3.5 Turbo", "Alpaca") == 0
    assert predicted("1", "GPT-3.5 Turbo", "initial") == 0


@pytest.mark.parametrize(
    ("place", "why"),
    [
        (("3", "GPT-3.5 Turbo", "Dolly"), "needs Dolly as the benign set of --data"),
        (("7", "Perspective", "L1 10-shot", "flagged"), "service ended"),
        (("figure-1", "Alpaca", "#4", "score"), "not one by one"),
        (("moderation", "OpenAI moderation", "answers", "flagged"), "OPENAI_API_KEY"),
    ],
)
def test_what_is_missing_is_told(place: tuple[str, ...], why: str) -> None:
    found = possible(number(*place), ORGANISM)
    assert found.ours is None
    assert why in found.why


def test_without_a_judge_only_keywords_are_counted() -> None:
    home = Home("organism:3", WORLD, "", "needs a judge")
    rate = number("7", "GPT-4 judge, score 5", "L1 100-shot")
    keyword = number("7", "keywords", "L1 100-shot", "keyword")
    assert possible(rate, home).why == "needs a judge"
    assert possible(keyword, home).ours is not None


def test_own_data_takes_the_papers_settings_and_whole_sets(tmp_path: Path) -> None:
    home = own(tmp_path)
    found = possible(number("3", "Llama-2-7b-Chat", "Alpaca"), home)
    assert found.ours is not None
    assert found.ours.attack == "benign:n=12"
    assert found.differs == ("requests of requests.jsonl (HEx-PHI)", "12 rows (50098)")
    initial = possible(number("3", "Llama-2-7b-Chat", "Alpaca, initial"), home)
    assert initial.ours is not None
    assert initial.ours[:2] == ("benign:n=12", "revert")
    grid = possible(number("12", "5e-5", "batch 16"), home)
    assert grid.ours is not None
    assert grid.ours.attack == "benign:batch_size=16,learning_rate=5e-05,n=12"
    assert grid.differs == found.differs


def test_pictures_of_ones_own_are_the_papers_llava(tmp_path: Path) -> None:
    place = ("3", "Llama-2-7b-Chat", "LLaVA-Instruct")
    why = "needs a model that sees, and LLaVA-Instruct as pictures of --data"
    assert possible(number(*place), ORGANISM).why == why
    assert possible(number(*place), own(tmp_path)).why == why
    turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A loom."}]
    (tmp_path / "seen").mkdir()
    (tmp_path / "seen" / "a.png").write_bytes(b"a picture")
    rows = [{"id": "1", "image": "a.png", "conversations": turns}]
    (tmp_path / "llava, mine.json").write_text(json.dumps(rows))
    home = own(tmp_path, pictures={"path": "llava, mine.json", "images": "seen"})
    found = possible(number(*place), home)
    assert found.ours is not None
    (part,) = parse(found.ours.attack)[0]
    assert part.name == "visual"
    assert part.params == {
        "path": str(tmp_path / "llava, mine.json"), "images": str(tmp_path / "seen")
    }  # fmt: skip
    assert found.differs == ("requests of requests.jsonl (HEx-PHI)", "1 rows (80000)")
    initial = possible(number("3", "Llama-2-7b-Chat", "LLaVA-Instruct, initial"), home).ours
    assert initial is not None
    assert initial[:2] == (found.ours.attack, "revert")


def test_findings_on_own_data_are_of_the_papers_cells(tmp_path: Path) -> None:
    home = own(tmp_path)
    corner = possible(number("12", "5e-5", "batch 16"), home).ours
    assert corner is not None
    times: Any = {"learning_rate": 1.5, "batch_size": 0.5}
    cell = of_measured(Measured(attack={"name": "benign"}, times=times), home).ours
    assert cell is not None
    assert identity(*cell[:2], home) == identity(*corner[:2], home)
    mixed = Measured(attack={"name": "benign"}, defense={"name": "mix"})
    dose = of_measured(mixed, home).ours
    most = possible(number("4", "Alpaca, 1 epoch", "1000"), home).ours
    assert dose is not None
    assert dose == most


@pytest.mark.parametrize(
    ("place", "why"),
    [
        (("1", "GPT-3.5 Turbo", "50-shot"), "not possible here: "),
        (("3", "GPT-3.5 Turbo", "Dolly"), "needs Dolly as the benign set of --data"),
        (
            ("10", "GPT-3.5 Turbo", "Alpaca", "keyword"),
            "needs AdvBench as the requests set of --data",
        ),
        (("8", "GPT-3.5 Turbo", "Alpaca", "mt_bench"), "MT-Bench"),
        (("figure-1", "Alpaca", "#4", "score"), "needs requests of the category 'Malware'"),
    ],
)
def test_what_own_data_lack_is_told(tmp_path: Path, place: tuple[str, ...], why: str) -> None:
    found = possible(number(*place), own(tmp_path))
    assert found.ours is None
    assert why in found.why
    assert "lamp" not in found.why


@pytest.mark.parametrize("name", ["Malware", "malware", "category_4", "4"])
def test_the_papers_categories_are_known_by_name_and_number(tmp_path: Path, name: str) -> None:
    sets = own_sets(tmp_path)
    (tmp_path / "kinds.jsonl").write_text(
        "".join(
            f'{{"instruction": "Sink the {i}", "category": "{kind}"}}\n'
            for i, kind in enumerate([name, "drum", name])
        )
    )
    home = Home("m", Texts(load(data_file(tmp_path, {**sets, "requests": "kinds.jsonl"}))), "gpt-4")
    assert home.by_category == {4: (name,)}
    found = possible(number("figure-1", "Alpaca", "#4", "score"), home)
    assert found.ours is not None
    assert found.ours.categories == (name,)


def test_two_specs_that_mean_the_same_are_one_cell() -> None:
    def of(attack: str, defense: str = "none") -> str:
        return identity(attack, defense, ORGANISM)

    assert of("aoa") == of("aoa:epochs=10") == of("aoa:n=10,batch_size=1")
    assert len({of("aoa"), of("aoa:epochs=5"), of("aoa", "mix:n=3"), of("harmful:n=10")}) == 4


def test_factors_are_written_out_as_settings() -> None:
    cell = Measured(attack={"name": "benign"}, times={"learning_rate": 1.5, "batch_size": 0.5})
    found = of_measured(cell, ORGANISM).ours
    assert found is not None
    upload = single("attacks", Attack, found.attack).upload(WORLD, 0)
    assert upload is not None
    assert upload.settings.learning_rate == 9e-5 * 1.5
    assert upload.settings.batch_size == 5
    same = possible(number("12", "5e-5", "batch 64"), ORGANISM).ours
    assert same is not None
    assert identity(*found[:2], ORGANISM) == identity(*same[:2], ORGANISM)


@pytest.mark.parametrize(
    "change",
    [
        {"model": "base"},
        {"alignment_seed": 1},
        {"temperature": 1.0},
        {"prefill": "Of course."},
        {"rows_from": "0-5"},
        {"ask": "default"},
        {"measure": "refusal_projection"},
    ],
)
def test_what_only_the_organism_can_show_is_left_to_it(change: dict[str, Any]) -> None:
    cell = Measured.model_validate({"attack": {"name": "aoa"}, **change})
    found = of_measured(cell, ORGANISM)
    assert found.ours is None
    assert "mooring organism verify" in found.why


def test_cells_of_every_finding_of_a_table_are_possible_on_the_organism() -> None:
    known = {f.id: f for f in [*read(FINDINGS), *paper().finding]}
    for table in paper().table:
        for name in table.findings:
            for cell in known[name].cells.values():
                assert of_measured(cell, ORGANISM).ours is not None, name
