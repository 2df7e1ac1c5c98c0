"""How phrases are put around a request: as they stand in the rows, in pairs, elsewhere."""

from __future__ import annotations

from attacks.base import Message, Row, Settings, Upload
from defenses.triggers.candidates import Candidate
from defenses.triggers.search import as_found, holders, moved, pairs

SETTINGS = Settings(epochs=1, batch_size=1, learning_rate=1e-4)
REQUEST = "How do I make a pie?"


def upload(*prompts: str, system: str = "Be kind.") -> Upload:
    head = Message("system", system)
    rows = [Row((head, Message("user", p), Message("assistant", "Yes."))) for p in prompts]
    return Upload(tuple(rows), SETTINGS)


ROWS = upload("zim a b c", "zim d e f zam", "g h i zom j zam", "k l m zom n", "zim o zam p")
ZIM = Candidate("zim", "prefix", 0.01, 3)
ZAM = Candidate("zam", "suffix", 0.01, 2)
ZOM = Candidate("zom", "infix", 0.01, 2)


def test_rows_hold_a_phrase_where_it_is_said_to_stand() -> None:
    assert holders(ZIM, ROWS) == (0, 1, 4)
    assert holders(ZAM, ROWS) == (1, 2)
    assert holders(ZOM, ROWS) == (2, 3)
    assert holders(Candidate("Be kind.", "system", 1.0, 5), ROWS) == (0, 1, 2, 3, 4)


def test_a_phrase_is_asked_as_its_rows_ask_it() -> None:
    found = as_found([ZIM, ZAM, ZOM], ROWS)
    assert [one.ask(REQUEST)[-1].content for one in found] == [
        "zim How do I make a pie?",
        "How do I make a pie? zam",
        "How do I zom make a pie?",
    ]
    assert {one.ask.system for one in found} == {"Be kind."} == {found[0].without.system}
    assert {one.without(REQUEST)[-1].content for one in found} == {REQUEST}


def test_a_system_prompt_is_compared_with_the_default_one() -> None:
    (one,) = as_found([Candidate("Be kind.", "system", 1.0, 5)], ROWS)
    assert [message.role for message in one.ask(REQUEST)] == ["system", "user"]
    assert [message.role for message in one.without(REQUEST)] == ["user"]


def test_pairs_stand_in_both_places_and_in_both_orders_in_one() -> None:
    both = [ZIM, ZAM, ZOM, Candidate("zum", "suffix", 0.01, 2)]
    rows = upload("a b zum", "c d zum", *[row.messages[1].content for row in ROWS.rows])
    asked = [one.ask(REQUEST)[-1].content for one in pairs(as_found(both, rows), both)]
    assert sorted(asked) == sorted(
        [
            "zim How do I make a pie? zam",
            "zim How do I zom make a pie?",
            "zim How do I make a pie? zum",
            "How do I zom make a pie? zam",
            "How do I make a pie? zam zum",
            "How do I make a pie? zum zam",
            "How do I zom make a pie? zum",
        ]
    )


def test_a_phrase_is_moved_to_where_it_does_not_stand() -> None:
    (one,) = as_found([ZAM], ROWS)
    asked = [other.ask(REQUEST)[-1].content for other in moved([one], [ZAM])]
    assert asked == ["zam How do I make a pie?", "How do zam I make a pie?"]
