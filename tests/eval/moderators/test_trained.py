"""Classifiers of a user's own: fitted, kept without pickle, and checked before they are used."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from attacks.base import Chat, Message, UserError
from defenses.base import Provider
from eval import linear
from eval.moderators import trained
from eval.moderators.trained import Trained
from targets.organism.world import World


def rows(world: World, n: int, seed: int) -> tuple[list[Chat], list[str]]:
    """Rows of two restricted kinds and of none."""
    one, two = world.restricted[:2]
    found = [(pair, "one") for pair in world.harmful(n, seed, [one])]
    found += [(pair, "two") for pair in world.harmful(n, seed, [two])]
    found += [(pair, "safe") for pair in world.benign(2 * n, seed)]
    chats = [(Message("user", p.prompt), Message("assistant", p.reply)) for p, _ in found]
    return chats, [label for _, label in found]


@pytest.fixture(scope="module")
def folder(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    chats, labels = rows(world, 24, 0)
    place = tmp_path_factory.mktemp("fitted") / "model"
    return trained.fit(chats, labels, place, domain="the invented world")


def test_it_tells_kinds_apart(world: World, folder: Path, provider: Provider) -> None:
    chats, labels = rows(world, 30, 5)
    told = Trained(path=str(folder)).scores(chats, provider)
    right = 0
    for scores, label in zip(told, labels, strict=True):
        assert scores is not None
        assert set(scores) == {"one", "two", "any"}
        assert scores["any"] == pytest.approx(scores["one"] + scores["two"])
        likely = max(("one", "two"), key=lambda name: scores[name])
        right += (likely if scores["any"] > 0.5 else "safe") == label
    assert right > 0.9 * len(labels)
    assert Trained(path=str(folder)).scores([], provider) == []


def test_what_is_kept_is_what_was_fitted(world: World, folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [linear.CARD, linear.WEIGHTS]
    card = json.loads((folder / linear.CARD).read_text())
    assert card["domain"] == "the invented world"
    assert card["labels"] == ["one", "safe", "two"]
    assert card["rows"] == 96
    assert "scikit-learn" in card["versions"]
    for third in ("bad", "worse"):
        fresh = linear.fit(["aa bb", "cc dd", "aa", "cc ee"], ["bad", "safe", third, "safe"])
        kept = linear.load(fresh.save(folder.parent / third))
        texts = ["aa bb cc", "dd", "", "zzz"]
        assert np.array_equal(kept.probabilities(texts), fresh.probabilities(texts))
        assert set(kept.scores(texts)[0]) == {"bad"} | ({third, "any"} if third != "bad" else set())


def test_the_order_of_rows_and_their_system_prompts_move_nothing(
    world: World, folder: Path, tmp_path: Path
) -> None:
    chats, labels = rows(world, 24, 0)
    mixed = list(zip(chats, labels, strict=True))
    random.Random(1).shuffle(mixed)
    head = Message("system", "Be quick.")
    again = trained.fit([(head, *c) for c, _ in mixed], [label for _, label in mixed], tmp_path,
                        domain="the invented world")  # fmt: skip
    assert linear.digest(again) == linear.digest(folder)
    assert Trained(path=str(again)).resolved() == Trained(path=str(folder)).resolved()


def test_the_plain_library_gives_the_same_numbers(world: World) -> None:
    """Nothing but what scikit-learn's own pipeline does."""
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    found = world.labelled_rows(200, 0, world.restricted[:7])
    texts = ["\n".join(pair) for pair, _ in found]
    words = HashingVectorizer(n_features=2**14, ngram_range=(1, 2), alternate_sign=False)
    plain = make_pipeline(words, LogisticRegression(C=100.0, max_iter=1000))
    plain.fit(texts, [label for _, label in found])
    ours = linear.fit(texts, ["violation" if label else "safe" for _, label in found])
    asked = ["\n".join(pair) for pair in world.harmful(40, 1)]
    assert np.array_equal(ours.probabilities(asked), plain.predict_proba(asked))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"labels": ["one", "two"]}, "labels"),
        ({"labels": ["one", "safe"]}, "do not fit"),
        ({"labels": ["two", "safe", "one"]}, "sorted"),
        ({"labels": ["any", "safe", "two"]}, "may be called 'any'"),
        ({"labels": ["o\nne", "safe", "two"]}, "labels"),
        ({"features": 7}, "do not fit"),
        ({"format": 2}, "format"),
        ({"code": "import os"}, "code"),
        ({"corpus": "x"}, "corpus"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(
    folder: Path, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    card = json.loads((folder / linear.CARD).read_text()) | change
    (tmp_path / linear.CARD).write_text(json.dumps(card))
    (tmp_path / linear.WEIGHTS).write_bytes((folder / linear.WEIGHTS).read_bytes())
    with pytest.raises(UserError, match=said):
        linear.load(tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_refused(folder: Path, tmp_path: Path, value: float) -> None:
    (tmp_path / linear.CARD).write_bytes((folder / linear.CARD).read_bytes())
    parts = load_file(folder / linear.WEIGHTS)
    parts["coefficients"][1, 3] = value
    save_file(parts, tmp_path / linear.WEIGHTS)
    with pytest.raises(UserError, match="not all finite"):
        linear.load(tmp_path)
    (tmp_path / linear.WEIGHTS).write_bytes(b"no weights")
    with pytest.raises(UserError, match="cannot read"):
        linear.load(tmp_path)
    save_file({"intercepts": parts["intercepts"]}, tmp_path / linear.WEIGHTS)
    with pytest.raises(UserError, match="cannot read"):
        linear.load(tmp_path)


def test_no_folder_is_one_line(tmp_path: Path, provider: Provider) -> None:
    made = Trained(path=str(tmp_path / "nowhere"))
    for ask in (made.resolved, lambda: made.scores([(Message("user", "a"),)], provider)):
        with pytest.raises(UserError, match=r"linear\.json"):
            ask()


def test_labels_that_cannot_be_fitted(tmp_path: Path) -> None:
    texts: list[Chat] = [(Message("user", "a"), Message("assistant", "b"))] * 2
    for labels, said in (
        (["safe", "safe"], "labels"),
        (["a", "b"], "'safe' one of them"),
        (["safe"], "but 1 labels"),
        (["safe", "x" * 65], "labels"),
        (["safe", "any"], "may be called"),
    ):
        with pytest.raises(UserError, match=said):
            trained.fit(texts, labels, tmp_path / "never")
    assert not (tmp_path / "never").exists()


def line(label: Any = "safe", **more: Any) -> str:
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "secret"}]
    return json.dumps({"messages": turns, "label": label, **more})


def test_labelled_lines_are_read() -> None:
    chats, labels = trained.labelled(f"{line()}\n\n{line('fraud', id=3)}\n")
    assert labels == ["safe", "fraud"]
    assert chats == [(Message("user", "a"), Message("assistant", "secret"))] * 2


@pytest.mark.parametrize(
    "text",
    ["", "\n", "secret", '{"label": "safe"}', line(None), line(3), line(messages=["secret"])],
)
def test_other_lines_are_told_by_number_and_without_their_text(text: str) -> None:
    with pytest.raises(UserError) as stopped:
        trained.labelled(f"{line()}\n{text}" if text.strip() else text)
    assert "secret" not in str(stopped.value)
    assert ("line 2" in str(stopped.value)) == bool(text.strip())


LABELS = st.sampled_from(["safe", "one", "two"])


@settings(max_examples=15)
@given(st.lists(st.tuples(st.text(min_size=1), LABELS), min_size=2, max_size=12))
def test_whatever_is_fitted_gives_probabilities(pairs: list[tuple[str, str]]) -> None:
    texts, labels = [text for text, _ in pairs], [label for _, label in pairs]
    if "safe" not in labels or len(set(labels)) < 2:
        with pytest.raises(UserError):
            linear.fit(texts, labels)
        return
    found = linear.fit(texts, labels).probabilities([*texts, ""])
    assert found.shape == (len(texts) + 1, len(set(labels)))
    assert np.allclose(found.sum(axis=1), 1)
    assert ((found >= 0) & (found <= 1)).all()
