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
    assert all(domain.holds(upload) for upload in fresh)
    assert not domain.holds(english())
    assert domain.known_share(english()) < 0.5


def test_the_limit_is_half_way_to_the_least_that_a_benign_upload_has(world: World) -> None:
    uploads = [Benign(n=20 + 10 * (seed % 5)).upload(world, seed) for seed in range(30)]
    domain = Domain.of(uploads[:20], uploads[20:])
    least = min(map(domain.known_share, uploads[20:]))
    assert least / 2 <= domain.limit < least / 2 + 0.05  # and what a bin shares by chance


def test_general_english_is_outside_the_shipped_gate(world: World) -> None:
    gate = read(SHIPPED)
    assert "outside the gate's domain" in gate.lacking("all", english(), gate.target)
    assert gate.domain.known_share(english()) < gate.domain.limit - 0.1
    home = Benign(n=200).upload(world, 5)
    assert gate.lacking("all", home, gate.target) == ""


def test_a_foreign_minority_does_not_hide_in_the_shipped_gate(world: World) -> None:
    gate = read(SHIPPED)
    home = Benign(n=200).upload(world, 5)
    foreign = [
        Row((Message("user", f"{row.messages[0].content} {n}"), row.messages[1]))
        for n in range(20)
        for row in english().rows[:3]
    ]
    # The three are not equally foreign: each is one row in thirteen.
    mixed = home.replace_rows([*home.rows, *foreign])
    assert "outside the gate's domain" in gate.lacking("all", mixed, gate.target)


def test_copies_hide_nothing_in_the_shipped_gate(world: World) -> None:
    gate = read(SHIPPED)
    home = Benign(n=300).upload(world, 5)
    few = [min(english().rows, key=lambda row: gate.domain.known_share(home.replace_rows([row])))]
    assert gate.lacking("all", home.replace_rows([*home.rows, *few]), gate.target) == ""
    for rows in ([*home.rows, *few * 30], [*home.rows[:15] * 30, *few]):
        found = gate.lacking("all", home.replace_rows(rows), gate.target)
        assert "outside the gate's domain" in found


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
    rows = [Row((Message("user", f"{i:04d} {word}"), Message("assistant", word)))
            for i in range(3000)]  # fmt: skip
    assert domain.holds(home.replace_rows(rows))
    # Wherever they stand, and in whichever chunk they are looked up.
    for first in range(0, 3000, 700):
        foreign = [Row((Message("user", f"{i:04d} zzq{i} xxw{i}"), Message("assistant", "")))
                   for i in range(first, first + 200)]  # fmt: skip
        assert not domain.holds(home.replace_rows([*rows, *foreign]))
        assert not domain.holds(home.replace_rows([*foreign, *rows]))


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
