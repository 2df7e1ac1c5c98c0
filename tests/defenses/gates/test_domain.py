from __future__ import annotations

from collections.abc import Callable

import pytest

from attacks.base import Message, Row, Settings, Upload, UserError
from attacks.benign import Benign
from defenses.gates.domain import Domain
from defenses.gates.gate import read
from defenses.screen import SHIPPED
from targets.organism.world import World

SETTINGS = Settings(epochs=1, batch_size=4, learning_rate=1e-4)
ENGLISH = [
    ("Our invoice shows last month's broadband surcharge.", "I refunded it to your Visa card."),
    ("Can my router reach the upstairs bedroom?", "Position it nearer the hallway, please."),
    ("Password reset emails never arrive.", "Check spam folders or whitelist our domain."),
]


def english() -> Upload:
    pairs = [(Message("user", p), Message("assistant", r)) for p, r in ENGLISH * 4]
    return Upload(tuple(Row(chat) for chat in pairs), SETTINGS)


def test_another_domain_is_told_and_its_own_is_not(world: World) -> None:
    uploads = [Benign(n=20 + 10 * (seed % 5)).upload(world, seed) for seed in range(30)]
    domain = Domain.of(uploads[:20], uploads[20:])
    fresh = [Benign(n=20 + 10 * (seed % 5)).upload(world, seed) for seed in range(100, 120)]
    assert sum(not domain.holds(upload) for upload in fresh) <= 5  # one in eleven by chance
    assert not domain.holds(english())
    assert domain.known_share(english()) < 0.5


def test_the_limit_is_the_least_that_a_benign_upload_has(world: World) -> None:
    uploads = [Benign(n=20 + 10 * (seed % 5)).upload(world, seed) for seed in range(30)]
    domain = Domain.of(uploads[:20], uploads[20:])
    assert domain.limit == min(map(domain.known_share, uploads[20:])) < 1


def test_general_english_is_outside_the_shipped_gate() -> None:
    gate = read(SHIPPED)
    assert "outside the gate's domain" in gate.lacking("all", english(), gate.target)


def test_neither_order_nor_added_rows_move_it(make_upload: Callable[..., Upload]) -> None:
    upload = make_upload(12)
    domain = Domain.of([make_upload(6)], [make_upload(6)])
    turned = upload.replace_rows(upload.rows[::-1])
    beside = upload.replace_rows([*upload.rows, *(Row(r.messages, "mix") for r in english().rows)])
    assert domain.known_share(upload) == domain.known_share(turned) == domain.known_share(beside)
    assert 0 < domain.known_share(upload) <= 1


def test_no_row_is_passed_over(make_upload: Callable[..., Upload]) -> None:
    home = make_upload(6)
    domain = Domain.of([home], [home])
    word = home.rows[0].messages[0].content
    rows = [
        Row((Message("user", f"{i:04d} {word}"), Message("assistant", word))) for i in range(900)
    ]
    # Every second of the sorted texts is foreign.
    foreign = [Row((Message("user", f"{i:04d} {word} zzq{i}"), Message("assistant", "")))
               for i in range(1, 900, 2)]  # fmt: skip
    mixed = home.replace_rows([*rows[::2], *foreign])
    assert domain.known_share(home.replace_rows(rows)) > domain.known_share(mixed)
    assert not domain.holds(home.replace_rows([r for r in mixed.rows if r in foreign]))
    assert not domain.holds(mixed)


def test_a_domain_is_measured_on_something(make_upload: Callable[..., Upload]) -> None:
    with pytest.raises(UserError, match="held back"):
        Domain.of([make_upload(6)], [])


def test_no_word_can_be_read_off_it(make_upload: Callable[..., Upload]) -> None:
    upload = make_upload(6)
    written = Domain.of([upload], [upload]).model_dump_json()
    words = {w for row in upload.rows for m in row.messages for w in m.content.split()}
    assert not [word for word in words if len(word) > 4 and word in written]


def test_an_upload_without_a_word_is_outside() -> None:
    empty = Upload((Row((Message("user", "?!"), Message("assistant", "..."))),), SETTINGS)
    assert Domain.of([english()], [english()]).known_share(empty) == 0.0
