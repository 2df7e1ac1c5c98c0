"""The paper beside ours, to be read: every number, what is missing, and nothing that is markup."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from markupsafe import escape
from rich.console import Console

from benchmarks.paper import paper
from benchmarks.report import reproduction
from benchmarks.report.reproduction import ahead, page, result, shown, write
from benchmarks.reproduce import Preview, plan, put_together
from benchmarks.reproduction import Line, Reproduction, Verdict
from eval.metrics import Interval
from tests.benchmarks.reproduced import made_up


@pytest.fixture(scope="module")
def found() -> Reproduction:
    planned = plan(["1", "3", "7", "8", "figure-1", "remark-5"], worlds="3-4")
    return put_together(planned, made_up(planned))


def printed(found: Reproduction, width: int = 160) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(result(found))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_terminal_shows_every_table_and_finding(found: Reproduction) -> None:
    text = " ".join(printed(found).split())
    for told in ("Table 1, §4.2", "Llama-2-7b-Chat 100-shot", "4.54 · 80 %", "service ended"):
        assert told in text
    assert "Dolly, initial, Dolly of GPT-3.5 Turbo: not run: needs Dolly" in text
    assert "learning rate 0.00017 (5e-05)" in text
    assert "Kendall's tau" in text
    for omitted in paper().omitted:
        assert omitted.place in text
    for one in found.verdicts:
        assert one.role in text
    assert "an invented-world model, not an LLM" in text
    assert "requests, greedy replies of one turn, judge oracle" in text


def test_roles_are_counted_apart(found: Reproduction) -> None:
    text = " ".join(printed(found).split())
    held_out = [one for one in found.verdicts if one.role == "held out"]
    held = sum(one.verdict == "held" for one in held_out)
    assert f"held out: {held} of {len(held_out)} held" in text
    assert "reproduced;" not in text


def test_the_page_asks_nothing_of_a_network(found: Reproduction) -> None:
    text = page(found)
    assert "http://" not in text
    assert "https://" not in text
    assert "<script" not in text
    assert "Content-Security-Policy" in text
    for one in found.verdicts:
        assert one.role in text
    for error in paper().error:
        assert escape(error.copy_) in text
    assert text.count("<section") == len(found.tables) + 3


def test_what_comes_from_outside_is_never_markup(found: Reproduction) -> None:
    bad = "<img src=x onerror=alert(1)>[bold]"
    line = Line(
        table="1", row=bad, column="c", model="", measure="rate", paper=None, ours=None, why=bad
    )
    spoilt = found.model_copy(
        update={"lines": [line], "target": bad, "data": bad, "caveats": [bad], "worlds": []}
    )
    text = page(spoilt)
    assert "<img" not in text
    assert "&lt;img" in text
    assert bad in " ".join(printed(spoilt, 400).split())


def test_a_place_with_two_measures_is_one_row(found: Reproduction) -> None:
    rows = list(shown([line for line in found.lines if line.table == "1"]))
    assert len(rows) == 8
    assert all(len(row.papers) == 2 for row in rows)
    initial = rows[0]
    assert initial.papers == ["1.13", "1.8 %"]
    assert initial.level is not None
    assert 0 <= initial.level <= 1


def test_what_is_missing_stands_under_a_number(found: Reproduction) -> None:
    why = "1 of 3 trainings are missing: no room"
    facts = {"table": "1", "row": "r", "column": "c", "model": "llama-2", "paper": 50.0}
    number = Interval(0.1, 0.0, 0.2)
    rate = Line(**facts, measure="rate", measured="rate", ours=number, n=9, why=why)  # type: ignore[arg-type]
    score = Line(**facts, measure="score", ours=None, why="no judge")  # type: ignore[arg-type]
    held = Verdict(table="1", id="x", role="held out", statement="s", paper="p", verdict="held",
                   number=number, why=why)  # fmt: skip
    part = found.model_copy(update={"tables": {"1": "T"}, "lines": [rate], "verdicts": [held]})
    part = part.model_copy(update={"taus": [], "omitted": []})
    text = " ".join(printed(part).split())
    assert f"c of r: {why}" in text
    assert f"held, {why}: x" in text
    assert why in page(part)
    assert "not run" not in text + page(part)
    both = part.model_copy(update={"lines": [score, rate]})
    assert f"no score: no judge; {why}" in page(both)
    assert "not run" not in page(both)


def test_files_are_written_and_read_back(found: Reproduction, tmp_path: Path) -> None:
    where = write(tmp_path / "new", found)
    assert where.read_text() == page(found)
    text = (tmp_path / "new" / reproduction.RESULT).read_text()
    assert Reproduction.model_validate_json(text) == found
    assert write(tmp_path / "new", found).read_bytes() == where.read_bytes()


def test_the_word_reproduced_is_counted_where_it_is_said(found: Reproduction) -> None:
    facts = {"table": "1", "id": "x", "role": "added later", "statement": "s", "paper": "p"}
    number = Interval(0.1, 0.0, 0.2)
    verdicts = [
        Verdict(**facts, verdict="reproduced", number=number),  # type: ignore[arg-type]
        Verdict(**facts, verdict="not reproduced", number=number),  # type: ignore[arg-type]
        Verdict(**facts, verdict="not run", why="no key"),  # type: ignore[arg-type]
    ]
    real = found.model_copy(update={"verdicts": verdicts})
    assert "added later: 1 of 2 reproduced, 1 not run" in " ".join(printed(real).split())
    verdicts.append(verdicts[0].model_copy(update={"verdict": "held"}))
    mixed = found.model_copy(update={"verdicts": verdicts})
    assert "1 of 3 reproduced, 1 held, 1 not run" in " ".join(printed(mixed).split())
    assert "not run, no key: x" in " ".join(printed(real).split())
    assert "no key" in page(real)


@pytest.mark.parametrize(
    ("preview", "told"),
    [
        (Preview(10, 10, 5, None, [], []), "10 cells stored, 0 to run"),
        (Preview(10, 4, 5, 120.0, [], []), "at most about 2 minutes"),
        (Preview(10, 4, 480, None, [], []), "60 minutes of one core"),
        (Preview(10, 0, 5, None, [3, 4], []), "worlds 3, 4 are built first"),
        (Preview(10, 4, 5, 22.0, [], []), "at most about 1 minute"),
        (Preview(0, 0, 0, 0.0, [], [], {"needs a key": 7}), "not run, 7 numbers: needs a key"),
    ],
)
def test_what_is_ahead_is_told(preview: Preview, told: str) -> None:
    assert told in ahead(preview)


def test_without_findings_or_numbers_the_page_still_says_so(found: Reproduction) -> None:
    empty = found.model_copy(update={"lines": [], "verdicts": [], "taus": []})
    assert "None of these tables holds one." in page(empty)
    assert "no finding" in printed(empty)
