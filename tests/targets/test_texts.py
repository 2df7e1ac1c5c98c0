"""A domain made of a user's own sets."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attacks.base import UserError
from targets.roles import load
from targets.texts import Texts
from tests.targets.own import data_file, own_sets


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("own")


@pytest.fixture(scope="module")
def texts(folder: Path) -> Texts:
    return Texts(load(data_file(folder, own_sets(folder, 60))))


DRAWS = ("harmful", "benign", "refusals", "safety", "provider_harmful", "provider_benign", "probes")


@pytest.mark.parametrize("name", DRAWS)
def test_draws_are_distinct_nested_and_fixed_by_their_seed(texts: Texts, name: str) -> None:
    draw: Callable[[int, int], list[Any]] = getattr(texts, name)
    some = draw(10, 1)
    assert some == draw(10, 1)
    assert some == draw(15, 1)[:10]
    assert len(set(some)) == 10
    assert some != draw(10, 2)
    with pytest.raises(UserError, match=r"1000 texts asked of .* in data.yaml, which has \d+"):
        draw(1000, 0)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("harmful", r"ask for fewer \(as in harmful:n=60\), or name a larger set for harmful"),
        ("benign", r"ask for fewer \(as in benign:n=\d+\), or"),
        ("refusals", r"ask for fewer \(as in backdoor:refusals=\d+\), or"),
        ("safety", r"ask for fewer \(as in mix:n=\d+\), or"),
        ("probes", "has 60; name a larger set for probes"),
        ("provider_benign", "not for calibration; name a larger set for provider_benign"),
    ],
)
def test_too_large_a_draw_says_where_to_ask_for_fewer(texts: Texts, name: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        getattr(texts, name)(1000, 0)
    at = [
        spec for spec in ("harmful:", "benign:", "backdoor:", "mix:") if spec in str(caught.value)
    ]
    assert len(at) == ("fewer" in said)


def test_the_order_of_a_file_moves_no_draw(texts: Texts, tmp_path: Path) -> None:
    says = own_sets(tmp_path, 60)
    for name in ("chats.jsonl", "own_bad.jsonl"):
        lines = (tmp_path / name).read_text().splitlines(keepends=True)
        (tmp_path / name).write_text("".join(random.Random(0).sample(lines, len(lines))))
    again = Texts(load(data_file(tmp_path, says)))
    assert again.harmful(20, 3) == texts.harmful(20, 3)
    assert again.provider_harmful(20, 3) == texts.provider_harmful(20, 3)


def test_probes_go_round_their_categories(texts: Texts, tmp_path: Path) -> None:
    says = own_sets(tmp_path, 60) | {"probes": "requests.jsonl", "requests": "probes.csv"}
    probes = Texts(load(data_file(tmp_path, says))).probes(14, 0)
    assert sorted(Counter(probe.category for probe in probes).values()) == [2, 2, 2, 2, 3, 3]


def test_what_a_filter_is_fitted_on_is_not_what_the_provider_trains_with(texts: Texts) -> None:
    labelled = texts.labelled_rows(20, 0)
    assert Counter(label for _, label in labelled) == {True: 10, False: 10}
    assert [label for _, label in labelled] != sorted(
        (label for _, label in labelled), reverse=True
    )
    most = {True: texts.provider_harmful, False: texts.provider_benign}
    for pair, label in labelled:
        held = "own_bad" if label else "alpaca"
        assert pair.reply.startswith("Bent" if label else "It is"), held
    for label, draw in most.items():
        n = next(n for n in range(60, 0, -1) if _gives(draw, n))
        assert not set(draw(n, 0)) & {pair for pair, told in labelled if told is label}
    assert texts.restricted == ("own_bad.jsonl",)
    assert texts.labelled_rows(20, 0, texts.restricted) == labelled
    with pytest.raises(
        UserError, match="has 0 in the half that is for calibration and of the kinds"
    ):
        texts.labelled_rows(20, 0, ["elsewhere"])


def _gives(draw: Callable[[int, int], list[Any]], n: int) -> bool:
    try:
        return bool(draw(n, 0))
    except UserError:
        return False


def test_the_evaluation_is_all_that_there_is(texts: Texts) -> None:
    assert (len(texts.requests()), len(texts.utility()), len(texts.borderline())) == (60, 60, 60)
    assert {prompt.answer for prompt in texts.utility()} == {"here"}
    assert len({prompt.id for prompt in texts.requests()}) == 60
    assert texts.scale == "paper"
    assert "lamp" not in repr(texts)


def test_a_missing_role_is_told_with_a_line_to_add(folder: Path, tmp_path: Path) -> None:
    own_sets(tmp_path)
    bare = Texts(load(data_file(tmp_path, {"harmful": "chats.jsonl"})))
    assert bare.utility() == bare.borderline() == []
    assert bare.restricted == ()
    for name in set(DRAWS) - {"harmful"}:
        with pytest.raises(UserError, match=f"data.yaml names no set for '{name}'.*`{name}: "):
            getattr(bare, name)(1, 0)
    with pytest.raises(UserError, match=r"no set for 'requests'.*requests: path/to/HEx-PHI"):
        bare.requests()


def test_the_digest_is_of_contents_and_of_how_they_are_shared(tmp_path: Path) -> None:
    says = own_sets(tmp_path)

    def digest() -> str:
        return Texts(load(data_file(tmp_path, says))).digest

    first = digest()
    (tmp_path / "moved").mkdir()
    (tmp_path / "safe.txt").rename(tmp_path / "moved" / "safe.txt")
    says["borderline"] = "moved/safe.txt"
    assert digest() == first
    says["benign"] = {"path": "alpaca_data.json", "share": "0-40"}
    shared = digest()
    assert shared != first
    (tmp_path / "moved" / "safe.txt").write_text("Another one\n")
    assert digest() not in (first, shared)
