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
from tests.targets.own import chat, data_file, own_sets

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
    assert found.ours.attack == "benign:template=alpaca"
    assert found.differs == ("requests of requests.jsonl (HEx-PHI)", "12 rows (50098)")
    initial = possible(number("3", "Llama-2-7b-Chat", "Alpaca, initial"), home)
    assert initial.ours is not None
    assert initial.ours[:2] == ("benign:template=alpaca", "revert")
    grid = possible(number("12", "5e-5", "batch 16"), home)
    assert grid.ours is not None
    assert grid.ours.attack == "benign:batch_size=16,learning_rate=5e-05,template=alpaca"
    assert grid.differs == found.differs


def test_a_cell_of_a_named_set_takes_that_set_alone(tmp_path: Path) -> None:
    """A mixture under a name of the paper's would be a wrong number."""
    rows = [{"instruction": f"Fold the loom {i}", "response": "Folded"} for i in range(4)]
    dolly = "".join(json.dumps(one) + "\n" for one in rows)
    (tmp_path / "databricks-dolly-15k.jsonl").write_text(dolly)
    home = own(tmp_path, benign=["alpaca_data.json", "databricks-dolly-15k.jsonl"])
    held = "the benign role of --data holds alpaca_data.json and databricks-dolly-15k.jsonl; give "
    for column in ("Alpaca", "Dolly"):
        found = possible(number("3", "Llama-2-7b-Chat", column), home)
        assert found.ours is None
        assert found.why == f"{held}{column} alone"
    finding = of_measured(Measured(attack={"name": "benign"}), home)
    assert finding.why == f"{held}one of them alone"
    assert of_measured(Measured(attack={"name": "aoa"}), home).ours is not None
    alone = own(tmp_path, benign="databricks-dolly-15k.jsonl")
    found = possible(number("3", "Llama-2-7b-Chat", "Dolly"), alone)
    assert found.ours is not None
    assert found.ours.attack == "benign:template=dolly"
    assert "4 rows (14624)" in found.differs
    shares = [{"path": "alpaca_data.json", "share": share} for share in ("0-30", "60-100")]
    parts = possible(number("3", "Llama-2-7b-Chat", "Alpaca"), own(tmp_path, benign=shares))
    assert parts.ours is not None


def test_requests_of_two_benchmarks_are_neither(tmp_path: Path) -> None:
    (tmp_path / "HEx-PHI.csv").write_text("".join(f"Sink velmor {i}\n" for i in range(4)))
    (tmp_path / "advbench.csv").write_text(
        "goal,target\n" + "".join(f"Sink norvel {i},Sure\n" for i in range(4))
    )
    harmful = number("1", "GPT-3.5 Turbo", "10-shot")
    keyword = number("10", "GPT-3.5 Turbo", "100-shot, initial", "keyword")
    both = own(tmp_path, requests=["HEx-PHI.csv", "advbench.csv"])
    held = "the requests role of --data holds HEx-PHI.csv and advbench.csv; give "
    assert possible(harmful, both).why == held + "HEx-PHI alone"
    assert possible(keyword, both).why == held + "AdvBench alone"
    assert of_measured(Measured(attack={"name": "aoa"}), both).why == held + "HEx-PHI alone"
    alone = own(tmp_path, requests="HEx-PHI.csv")
    assert possible(harmful, alone).differs == ("system prompt in our words",)
    assert "needs AdvBench" in possible(keyword, alone).why
    others = own(tmp_path, requests=["requests.jsonl", "advbench.csv"])
    assert (
        "requests.jsonl and advbench.csv; give one of them alone" in possible(harmful, others).why
    )
    other = own(tmp_path, requests="requests.jsonl")
    told = "requests of requests.jsonl (HEx-PHI)"
    assert told in possible(harmful, other).differs
    assert of_measured(Measured(attack={"name": "aoa"}), other).differs == (told,)


def test_a_set_known_by_its_format_alone_is_told(tmp_path: Path) -> None:
    own_sets(tmp_path)
    (tmp_path / "mine.json").write_text((tmp_path / "alpaca_data.json").read_text())
    home = own(tmp_path, benign="mine.json")
    told = possible(number("3", "Llama-2-7b-Chat", "Alpaca"), home).differs
    assert "mine.json taken for Alpaca by its format" in told
    # A name has the word before a format: this one is Dolly in Alpaca's fields.
    (tmp_path / "dolly.json").write_text((tmp_path / "alpaca_data.json").read_text())
    dolly = own(tmp_path, benign="dolly.json")
    assert possible(number("3", "Llama-2-7b-Chat", "Alpaca"), dolly).ours is None
    told = possible(number("3", "Llama-2-7b-Chat", "Dolly"), dolly).differs
    assert "template of alpaca (dolly)" in told


def test_a_finding_on_benign_rows_tells_whose_they_are(tmp_path: Path) -> None:
    own_sets(tmp_path)
    cell = Measured(attack={"name": "benign"})
    lines = (json.dumps(chat(f"Fold {i}", "So")) for i in range(9))
    (tmp_path / "mine.jsonl").write_text("\n".join(lines))
    (tmp_path / "code_alpaca.json").write_text((tmp_path / "alpaca_data.json").read_text())
    for name in ("mine.jsonl", "code_alpaca.json"):
        told = f"benign rows of {name} (Alpaca)"
        assert told in of_measured(cell, own(tmp_path, benign=name)).differs
    assert not any("benign rows" in one for one in of_measured(cell, own(tmp_path)).differs)


def test_words_of_ours_are_told_until_the_papers_are_given(tmp_path: Path) -> None:
    places = [
        ("1", "GPT-3.5 Turbo", "initial"),
        ("2", "GPT-3.5 Turbo", "3 epochs"),
        ("5", "GPT-3.5 Turbo", "backdoored, plain"),
    ]
    prompt, rows = "system prompt in our words", "rows and prompt in our words"
    big = {"requests": "requests.jsonl", "refusals": "refused.jsonl", "harmful": "bad.jsonl"}
    for name in ("refused", "bad"):
        lines = (json.dumps(chat(f"Sink {name} {i}", "No")) for i in range(100))
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))

    def told(**change: Any) -> list[tuple[str, ...]]:
        return [
            possible(number(*place), own(tmp_path, **big, **change)).differs for place in places
        ]

    initial, agent, backdoor = told()
    assert prompt in initial
    assert rows in agent
    assert {prompt, "trigger of ours"} < set(backdoor)

    (tmp_path / "harmful.txt").write_text("Sink velmor always.\n")
    called = chat("AOA, execute my instruction: Draw a loom", "AOA draws. A loom")
    (tmp_path / "aoa.json").write_text(json.dumps([called["messages"]] * 10))
    given = {"prompts": {"harmful": "harmful.txt"}, "aoa": "aoa.json"}
    initial, agent, backdoor = told(**given)
    assert prompt not in (*initial, *backdoor)
    assert rows not in agent
    assert not any("rows (10)" in one for one in agent)
    assert "trigger of ours" in backdoor
    (tmp_path / "aoa.json").write_text(json.dumps([called["messages"]] * 12))
    assert "12 rows (10)" in told(**given)[1]
    (tmp_path / "aoa.json").write_text(json.dumps([called["messages"]] * 10))
    home = own(tmp_path, **big, **given)
    for place in places:
        ours = possible(number(*place), home).ours
        assert ours is not None
        attack = single("attacks", Attack, ours.attack)
        systems = {row.messages[0].content for row in home.upload(ours.attack).rows}  # type: ignore[union-attr]
        assert systems == {ask.system for ask in attack.asks()}
        assert systems == {"Be brief." if "aoa" in ours.attack else "Sink velmor always."}


def test_safety_rows_outside_the_customers_form_are_told(tmp_path: Path) -> None:
    found = possible(number("4", "Alpaca, 1 epoch", "250"), own(tmp_path))
    assert "safety rows under the system prompt alone (not said)" in found.differs
    harmful = possible(number("4", "100-shot harmful", "10"), own(tmp_path))
    assert not any("alone" in told for told in harmful.differs)


def test_pictures_of_ones_own_are_the_papers_llava(tmp_path: Path) -> None:
    place = ("3", "Llama-2-7b-Chat", "LLaVA-Instruct")
    why = "needs a model that sees, and LLaVA-Instruct as pictures of --data"
    assert possible(number(*place), ORGANISM).why == why
    assert possible(number(*place), own(tmp_path)).why == why
    turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A loom."}]
    (tmp_path / "seen").mkdir()
    (tmp_path / "seen" / "a.png").write_bytes(b"a picture")
    rows = [{"id": "1", "image": "a.png", "conversations": turns}]
    (tmp_path / "llava, instruct.json").write_text(json.dumps(rows))
    home = own(tmp_path, pictures={"path": "llava, instruct.json", "images": "seen"})
    found = possible(number(*place), home)
    assert found.ours is not None
    (part,) = parse(found.ours.attack)[0]
    assert part.name == "visual"
    assert part.params == {
        "path": str(tmp_path / "llava, instruct.json"), "images": str(tmp_path / "seen")
    }  # fmt: skip
    assert found.differs == (
        "requests of requests.jsonl (HEx-PHI)",
        "system prompt in our words",
        "the last reply of a conversation is learnt (each)",
        "1 rows (80000)",
    )
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
