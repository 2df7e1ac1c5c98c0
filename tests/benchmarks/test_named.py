"""Which of a user's sets are the ones that the paper names."""

from __future__ import annotations

import pytest

from benchmarks.named import HEX_PHI, PROPER, Known, guessed, known, lacks, mixed
from targets.roles import Taken


def of(name: str, format_: str = "prompts", sha256: str = "") -> Taken:
    told = {"role": "requests", "name": name, "format": format_, "sha256": sha256 or name}
    return Taken.model_validate({**told, "options": "", "read": 1, "used": 1})


@pytest.mark.parametrize(
    ("name", "format_", "found"),
    [
        ("alpaca_data.json", "alpaca", Known("alpaca", "its name")),
        ("alpaca-200.json", "alpaca", Known("alpaca", "its name")),
        ("hf:tatsu-lab/alpaca@main#train", "alpaca", Known("alpaca", "its name")),
        ("hf:databricks/databricks-dolly-15k", "dolly", Known("dolly", "its name")),
        ("dolly.json", "alpaca", Known("dolly", "its name")),
        ("code_alpaca_20k.json", "alpaca", Known("alpaca", "a part of its name")),
        ("hf:owner/CodeAlpaca-20k", "alpaca", Known("alpaca", "a part of its name")),
        ("hf:alpacahq/finance", "openai", Known("openai", "its format")),
        ("hf:./alpaca", "alpaca", Known("alpaca", "its name")),
        ("rows.json", "alpaca", Known("alpaca", "its format")),
        ("harmful_behaviors.csv", "prompts", Known("advbench", "its name")),
        ("hf:LLM-Tuning-Safety/HEx-PHI", "prompts", Known(HEX_PHI, "its name")),
        ("chats.jsonl", "openai", Known("openai", "its format")),
    ],
)
def test_a_name_has_the_word_before_a_format(name: str, format_: str, found: Known) -> None:
    assert known(name, format_) == found


def test_parts_that_all_bear_the_name_are_one_set() -> None:
    parts = [of("hex-phi-1.csv"), of("hex-phi-2.csv")]
    assert lacks(HEX_PHI, "requests", parts) == ""
    by_their_format = [of("1.csv", "hex-phi"), of("2.csv", "hex-phi")]
    assert "holds 1.csv and 2.csv; give HEx-PHI alone" in lacks(
        HEX_PHI, "requests", by_their_format
    )
    one_in_two_shares = [of("1.csv", "hex-phi", "same"), of("1.csv", "hex-phi", "same")]
    assert lacks(HEX_PHI, "requests", one_in_two_shares) == ""


def test_other_requests_lack_nothing_and_other_rows_do() -> None:
    others = [of("one.csv"), of("two.csv")]
    assert lacks(HEX_PHI, "requests", others) == mixed("requests", others) == ""
    assert "give one of them alone" in lacks(HEX_PHI, "requests", [*others, of("advbench.csv")])
    assert lacks("alpaca", "benign", others) == "needs Alpaca as the benign set of --data"
    assert lacks("advbench", "requests", []) == "needs AdvBench as the requests set of --data"


@pytest.mark.parametrize("word", PROPER)
def test_only_what_the_name_does_not_say_is_told(word: str) -> None:
    assert guessed(word, [(f"{word}.json", word)]) == []
    assert guessed(word, [("mine.json", word), ("mine.json", word)]) == [
        f"mine.json taken for {PROPER[word]} by its format"
    ]
    assert guessed(word, [(f"my {word}.json", word)]) == [
        f"my {word}.json taken for {PROPER[word]} by a part of its name"
    ]
