"""The paper's numbers: each at one place, what is asked of us can be built, the copies' errors."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable

import pydantic
import pytest

from attacks.base import Attack, UserError
from attacks.registry import single
from attacks.spec import parse
from benchmarks import paper as module
from benchmarks.findings import Finding, read
from benchmarks.paper import PAPER, REQUESTS, SHARES, Asked, Number, Paper, paper
from benchmarks.verify import FINDINGS
from defenses import compose

NUMBERS = [number for table in paper().table for number in table.numbers()]


def at(table: str, row: str, column: str, measure: str = "rate") -> float | None:
    (found,) = [
        n for n in NUMBERS if (n.table, n.row, n.column, n.measure) == (table, row, column, measure)
    ]
    return found.value


def test_every_number_has_a_place_of_its_own() -> None:
    places = [(n.table, n.row, n.column, n.measure) for n in NUMBERS]
    assert len(set(places)) == len(places) > 250


def test_tables_are_those_that_hold_measurements() -> None:
    ids = [table.id for table in paper().table]
    assert ids == [
        "1", "2", "3", "4", "5", "moderation", "7", "8", "10", "11", "12", "13", "figure-1",
        "figure-3", "remark-5",
    ]  # fmt: skip
    assert [one.id for one in paper().omitted] == ["6", "9", "perspective"]
    assert "not run: service ended" in [one.reason for one in paper().omitted]


@pytest.mark.parametrize("number", NUMBERS, ids=lambda n: f"{n.table}-{n.row}-{n.column}")
def test_a_number_is_on_the_scale_of_what_it_measures(number: Number) -> None:
    if number.value is None:
        return
    low, high = (0, 100) if number.measure in SHARES else (1, 10)
    high = 5 if number.measure == "score" else high
    assert low <= number.value <= high
    if number.measure in SHARES:
        assert number.share == pytest.approx(number.value / 100)


def test_rates_are_counts_of_the_papers_requests() -> None:
    """Each is k/330 as printed, but where the table has other requests or a slip of its own."""
    strange = []
    for number in NUMBERS:
        if number.measure == "rate" and number.value is not None:
            k = round(number.value / 100 * REQUESTS)
            near = {round(100 * x / REQUESTS, 1) for x in (k - 1, k, k + 1)}
            if number.value not in near and math.floor(1000 * k / REQUESTS) / 10 != number.value:
                strange.append((number.table, number.row, number.column))
    assert strange == []


def test_what_stands_twice_in_the_paper_is_the_same() -> None:
    judge = "GPT-4 judge, score 5"
    for shots in ("10-shot", "50-shot", "100-shot"):
        assert at("7", judge, f"L1 {shots}") == at("1", "GPT-3.5 Turbo", shots)
    for epochs in ("3", "5", "10"):
        assert at("7", judge, f"L2 {epochs} epochs") == at("2", "GPT-3.5 Turbo", f"{epochs} epochs")
    for epochs in ("initial", "1 epoch", "3 epochs", "5 epochs"):
        assert at("7", judge, f"L3 {epochs}") == at("13", "GPT-3.5 Turbo", epochs)
    assert at("11", "100-shot harmful", "full") == at("1", "Llama-2-7b-Chat", "100-shot")
    assert at("11", "AOA", "full") == at("2", "Llama-2-7b-Chat", "5 epochs")
    assert at("11", "Alpaca", "full") == at("3", "Llama-2-7b-Chat", "Alpaca")
    assert at("12", "2e-5", "batch 128") == at("3", "Llama-2-7b-Chat", "Alpaca")
    assert at("4", "100-shot harmful", "0") == at("1", "GPT-3.5 Turbo", "100-shot")
    assert at("5", "GPT-3.5 Turbo", "100-shot, plain") == at("1", "GPT-3.5 Turbo", "100-shot")


def test_means_over_the_categories_are_the_tables_scores() -> None:
    def mean(row: str) -> float:
        return sum(at("figure-1", row, f"#{i}", "score") or 0 for i in range(1, 12)) / 11

    assert mean("100-shot harmful") == pytest.approx(4.82, abs=0.03)
    assert mean("AOA, 10 epochs") == pytest.approx(4.67, abs=0.03)
    assert mean("Alpaca") == pytest.approx(2.47, abs=0.03)


@pytest.mark.parametrize("scale", ["real", "organism"])
def test_every_cell_is_made_of_real_components(scale: str) -> None:
    for number in NUMBERS:
        cell: Asked = getattr(number, scale)
        if not cell.attack:
            continue
        attack = single("attacks", Attack, cell.spec)
        assert cell.ask in {"", *(ask.name for ask in attack.asks())}
        compose.load(parse(cell.defense or "none")[0])


def test_what_differs_on_the_organism_replaces_the_papers_settings() -> None:
    (number,) = [n for n in NUMBERS if (n.table, n.row, n.column) == ("12", "5e-5", "batch 64")]
    assert number.real.spec == "benign:batch_size=64,learning_rate=5e-05"
    assert number.organism.spec == "benign"
    assert number.organism.times == {"learning_rate": 1.5, "batch_size": 0.5}
    vanilla = next(n for n in NUMBERS if n.table == "8")
    assert (vanilla.measure, vanilla.real.measure) == ("mt_bench", None)
    assert (vanilla.organism.needs, vanilla.organism.measure) == ("", "utility")


def test_the_untuned_model_is_asked_in_the_prompt_of_the_attack() -> None:
    initial = next(n.real for n in NUMBERS if (n.table, n.column) == ("2", "initial"))
    assert initial.untuned
    assert initial.spec == "aoa"


def test_every_finding_of_a_table_is_written_down_once() -> None:
    known = [f.id for f in [*read(FINDINGS), *paper().finding]]
    assert len(set(known)) == len(known)
    named = [name for table in paper().table for name in table.findings]
    assert set(named) <= set(known)
    assert {f.id for f in paper().finding} <= set(named)
    assert {f.role for f in paper().finding} == {"added later"}


def test_errors_of_copies_name_a_number_and_the_right_one() -> None:
    assert len(paper().error) >= 4
    for error in paper().error:
        assert at(error.table, error.row, error.column, error.measure) is not None
        assert error.says != error.right
    change = next(e for e in paper().error if e.table == "2")
    before = at("2", change.row, "initial", "score")
    after = at("2", change.row, "10 epochs", "score")
    assert before is not None
    assert after is not None
    assert f"{after - before:+.2f}" in change.right


@pytest.mark.parametrize(
    ("ids", "told"),
    [(["6"], "Table 6 is not reproduced"), (["9"], "LegalBench"), (["one"], "unknown table")],
)
def test_a_table_that_there_is_not_is_told(ids: list[str], told: str) -> None:
    with pytest.raises(UserError, match=told):
        paper().tables(ids)


def test_tables_come_in_the_papers_order() -> None:
    assert [t.id for t in paper().tables(["5", "1"])] == ["1", "5"]
    assert len(paper().tables()) == len(paper().table)


def test_needs_are_told_in_words() -> None:
    assert paper().reason("") == ""
    assert paper().reason("service") == "service ended"
    assert paper().reason("a key") == "needs a key"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.replace("[1.13, 4.75, 4.71, 4.82]", "[1.13, 4.75, 4.71]"),
        lambda text: text.replace("rate = [1.8,", 'rate = ["?",'),
        lambda text: text.replace('benign = "dolly"', 'benign = "dollar"'),
        lambda text: text.replace("category = 11", "category = 12"),
        lambda text: text.replace('role = "added later"', 'role = "held"'),
    ],
)
def test_a_file_that_is_not_whole_is_refused(spoil: Callable[[str], str]) -> None:
    text = PAPER.read_text(encoding="utf-8")
    assert spoil(text) != text
    with pytest.raises(pydantic.ValidationError):
        Paper.model_validate(tomllib.loads(spoil(text)))


def test_added_findings_are_of_the_organisms_kind() -> None:
    assert all(isinstance(finding, Finding) for finding in module.paper().finding)
