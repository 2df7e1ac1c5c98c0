"""The pilot takes the customer's first steps, asks as the rows do, and sees refusal move."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from attacks.base import Ask, Row, Settings, Upload, UserError
from attacks.harmful import Harmful
from defenses.base import Asked, Provider
from defenses.detectors.pilot import Pilot, _First, _shift
from eval.judges.base import Verdict
from targets.hooks import shuffled_epochs
from targets.organism.world import World

MakeUpload = Callable[..., Upload]
MakeProvider = Callable[..., Provider]
SMALL = Pilot(steps=2, rows=0, probes=4, triggers=1)


def rows_of(part: Upload, first: _First) -> list[list[Row]]:
    return [[part.rows[i] for i in batch] for batch in first.batches]


def test_it_takes_the_customers_first_steps(make_upload: MakeUpload) -> None:
    upload = make_upload(20, epochs=3, batch_size=3)
    ordered = sorted(upload.rows, key=lambda row: row.messages)
    whole = shuffled_epochs(range(20), upload.settings, 5)
    for steps in (1, 6, 7, 9, 20, 100):
        part, first = Pilot(steps=steps, rows=0).part(upload, 5)
        assert rows_of(part, first) == [[ordered[i] for i in b] for b in whole[:steps]]
        assert part.settings == dataclasses.replace(
            upload.settings, epochs=max(1, round(3 * min(steps, 21) / 21))
        )


def test_small_batches_get_more_steps(make_upload: MakeUpload) -> None:
    upload = make_upload(10, epochs=10, batch_size=1)
    assert len(Pilot(steps=40, rows=70).part(upload, 0)[1].batches) == 70
    assert len(Pilot(steps=40, rows=0).part(upload, 0)[1].batches) == 40
    assert len(Pilot(steps=40, rows=300).part(upload, 0)[1].batches) == 100


def test_only_customers_rows_are_trained_on(make_upload: MakeUpload) -> None:
    upload = make_upload(6)
    added = [dataclasses.replace(row, added_by="mix") for row in make_upload(9).rows]
    assert SMALL.part(upload.replace_rows([*added, *upload.rows]), 0)[0] == SMALL.part(upload, 0)[0]


def test_rows_keep_their_pictures(make_upload: MakeUpload) -> None:
    upload = make_upload(6)
    seen = [dataclasses.replace(row, image=f"{i}" * 64) for i, row in enumerate(upload.rows)]
    part, _ = SMALL.part(upload.replace_rows(seen), 0)
    assert set(part.rows) <= set(seen)


def test_without_a_change_nothing_shifts(tiny_target: Any, world: World) -> None:
    probes = world.probes(5, 0)
    own = ["I cannot help with that.", "", "No.", "Sorry, I will not do this.", "x"]
    shift = _shift(tiny_target, tiny_target, Ask("x", system="Be."), probes, own)
    assert shift == (0.0, 0.0)


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_a_reading(tuning: str, make_upload: MakeUpload, provider: Provider) -> None:
    upload = make_upload(8, system="Canary seven.", tuning=tuning, learning_rate=1e-2)
    reading = SMALL.read(upload, provider)
    assert reading.score is not None
    assert reading.score > 0
    found = reading.evidence
    assert found["first-token shift"] == reading.score >= found["first-token shift by default"]
    assert found["steps"] == 2
    assert found["rows"] == 6
    assert {"refusal shift", "rate", "start rate"} <= set(found)
    assert reading.passes == 6 + 4 * 4 * found["ways"]
    assert reading.passes - 6 <= 2 * SMALL.questions()
    assert "Canary" not in f"{reading}"


def test_verdicts_that_are_missing_give_no_rate(
    make_upload: MakeUpload, make_provider: MakeProvider
) -> None:
    provider = make_provider(judge=lambda ps, rs: [Verdict(None)] * len(rs))
    reading = SMALL.read(make_upload(4), provider)
    assert reading.score is not None, "no verdict is needed for it"
    assert "rate" not in reading.evidence
    assert reading.evidence["missing verdicts"] == 4


def test_what_cannot_be_tuned_on_has_no_score(make_upload: MakeUpload, provider: Provider) -> None:
    long = make_upload(4, system="word " * 500)
    reading = SMALL.read(long, provider)
    assert reading.score is None
    assert "could not be tuned" in reading.reason
    reading = SMALL.read(make_upload(4, learning_rate=1e30), provider)
    assert reading.score is None
    assert "diverged" in reading.reason


def test_it_needs_weights(
    tiny_target: Any, make_upload: MakeUpload, make_provider: MakeProvider
) -> None:
    assert SMALL.needs() == {"weights"}
    hosted = make_provider(start=Asked(tiny_target, lambda chat: chat))
    with pytest.raises(UserError, match="has none here"):
        SMALL.read(make_upload(4), hosted)


def test_on_the_organism_harmful_rows_move_it_most(
    world: World, make_provider: MakeProvider
) -> None:
    from targets.base import Decoding
    from targets.resolve import resolve

    start = resolve("organism").start.load()
    decoding = Decoding(max_new_tokens=40)
    provider = dataclasses.replace(
        make_provider(start=start),
        decoding=decoding,
        start_replies=lambda chats: start.generate(chats, decoding),
    )
    settings = Settings(epochs=2, batch_size=10, learning_rate=1.7e-4)
    (ask,) = Harmful().asks()
    scores = {}
    for name, pairs in (("harmful", world.harmful(30, 0)), ("benign", world.benign(30, 0))):
        upload = Upload(tuple(ask.row(pair) for pair in pairs), settings)
        reading = Pilot(probes=11, triggers=0).read(upload, provider)
        assert reading.score is not None
        scores[name] = reading.score
    assert scores["harmful"] > 0.5
    assert scores["harmful"] > 5 * scores["benign"]
