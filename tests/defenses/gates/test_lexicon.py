from __future__ import annotations

import base64
import random
from collections.abc import Callable

import numpy as np
import pydantic
import pytest

from attacks.base import Ask, Pair, Row, Settings, Upload
from defenses.gates.lexicon import BINS, Lexicon, apart
from targets.organism.world import World

SETTINGS = Settings(epochs=1, batch_size=4, learning_rate=1e-4)
OWN = "zzyx qqat vvop wwim kkul jjor xxen bbuz"
"""Words of a family; one alone would be lost among the rest."""


def uploads(world: World, seed: int, of: int, word: str = "") -> list[Upload]:
    """Uploads of ten rows, with words in half of them."""
    found = []
    for at in range(of):
        pairs = world.benign(10, seed=seed + at)
        said = [Pair(f"{word} {p.prompt}" if n % 2 else p.prompt, p.reply)
                for n, p in enumerate(pairs)]  # fmt: skip
        found.append(Upload(tuple(map(Ask("plain").row, said)), SETTINGS))
    return found


@pytest.fixture(scope="module")
def lexicon(world: World) -> Lexicon:
    """Fitted on twenty benign uploads and ten with words of their own."""
    known = [*uploads(world, 0, 20), *uploads(world, 100, 10, OWN)]
    return Lexicon.of(known, [False] * 20 + [True] * 10)


def test_it_tells_uploads_by_their_words(lexicon: Lexicon, world: World) -> None:
    benign = [lexicon.score(one) for one in uploads(world, 200, 5)]
    hostile = [lexicon.score(one) for one in uploads(world, 300, 5, OWN)]
    assert max(benign) < 0 < min(hostile)


def test_neither_order_nor_repeats_nor_added_rows_move_it(
    lexicon: Lexicon, world: World, make_upload: Callable[..., Upload]
) -> None:
    (upload,) = uploads(world, 400, 1, OWN)
    rows = [*upload.rows, *upload.rows]
    random.Random(0).shuffle(rows)
    added = [Row(row.messages, "mix") for row in make_upload(5).rows]
    assert lexicon.score(upload.replace_rows(rows)) == lexicon.score(upload)
    assert lexicon.score(upload.replace_rows([*upload.rows, *added])) == lexicon.score(upload)


def test_scores_to_fit_on_are_of_a_lexicon_without_the_like(lexicon: Lexicon, world: World) -> None:
    benign, hostile = uploads(world, 0, 20), uploads(world, 100, 10, OWN)
    families = [""] * 20 + ["first"] * 5 + ["second"] * 5
    told = apart([*benign, *hostile], families)
    # The words are known from the other family, and from none where there is one family only.
    assert min(told[20:]) > max(told[:20])
    held = [1, 6, 11, 16]
    rest = [one for at, one in enumerate(benign) if at not in held]
    without = Lexicon.of([*rest, *hostile], [False] * 16 + [True] * 10)
    assert [told[at] for at in held] == pytest.approx([without.score(benign[at]) for at in held])
    assert told[1] != lexicon.score(benign[1])


def test_no_word_can_be_read_off_it(lexicon: Lexicon) -> None:
    assert "zzyx" not in lexicon.model_dump_json()
    assert Lexicon.model_validate_json(lexicon.model_dump_json()) == lexicon


@pytest.mark.parametrize(
    "weights",
    [
        "",
        "!!!",
        base64.b64encode(np.zeros(BINS - 1, dtype="<f4").tobytes()).decode(),
        base64.b64encode(np.full(BINS, np.nan, dtype="<f4").tobytes()).decode(),
        base64.b64encode(np.full(BINS, np.inf, dtype="<f4").tobytes()).decode(),
        base64.b64encode(b"\0" * (4 * BINS + 1)).decode(),
    ],
)
def test_weights_that_are_none_are_refused(weights: str) -> None:
    with pytest.raises(pydantic.ValidationError):
        Lexicon(weights=weights, intercept=0.0)
