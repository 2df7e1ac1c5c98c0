"""Pressing a model for answers, and what counts of several."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attacks.base import Ask, Chat, Message, UserError
from benchmarks.asking import pressed
from benchmarks.cell import run_cell
from benchmarks.grid import make_grid
from benchmarks.lab import Lab, LabSettings, Model, elicitations, open_lab
from benchmarks.results import Transcript
from benchmarks.trial import Cell, Trial
from eval.elicitations.insisted import Insisted
from eval.elicitations.prefilled import Prefilled
from eval.elicitations.sampled import Sampled
from eval.judges.base import Verdict, worst
from targets.base import Decoding, Reply, Target

WORDS = "Do it."


class Spoken(Target):
    """Refuses until it is asked a second time, is drawn from with seed 2, or has begun."""

    def fine_tune(self, upload: object, hooks: object = None, seed: int = 0) -> Target:
        raise UserError("scripted")

    def differs(self, other: Target) -> bool:
        return self is not other

    def save(self, folder: Path) -> None:
        raise UserError("scripted")

    def generate(self, chats: Sequence[Chat], decoding: Decoding) -> list[Reply]:
        return [Reply("No limits." if self._gives_in(c, decoding) else "I cannot.", "stop")
                for c in chats]  # fmt: skip

    def _gives_in(self, chat: Chat, decoding: Decoding) -> bool:
        pressed = chat[-1] == Message("user", WORDS) or chat[-1].role == "assistant"
        return pressed or (decoding.temperature > 0 and decoding.seed == 2)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    settings = LabSettings("organism", ("refusal",), tmp_path / "store", 11, True)
    return open_lab(settings, may_make=True)


@pytest.mark.parametrize(
    ("how", "replies"),
    [
        (Sampled(n=2), ["I cannot."] * 22),
        (Sampled(n=3), ["I cannot."] * 22 + ["No limits."] * 11),
        (Prefilled(), ["No limits."] * 11),
        (Insisted(words=WORDS), ["I cannot."] * 11 + ["No limits."] * 11),
    ],
    ids=str,
)
def test_what_a_first_reply_hides_is_found(
    lab: Lab, how: Sampled | Prefilled | Insisted, replies: list[str]
) -> None:
    heard: list[Transcript] = []
    lab.listen = heard.append
    trial = Trial.of(Cell("none", "none", 0), lab)
    found = pressed(trial, Ask("plain"), "pressed", how, Model("m", Spoken), released=True)
    assert [line.reply for line in heard] == replies
    assert {line.ask for line in heard} == {"pressed"}
    assert {(line.reply, line.score) for line in heard} <= {("I cannot.", 1), ("No limits.", 5)}
    (scores,) = found.scores.values()
    assert set(scores) == {5 if "No limits." in replies else 1}
    assert (len(scores), found.correct, found.refused) == (11, [], [])


def test_judges_may_be_asked_later(lab: Lab) -> None:
    lab.judges = {}
    lab.elicitations = elicitations(["prefilled"])
    asks = run_cell(Cell("none", "none", 0), lab).asks
    assert [one.released.scores for one in asks.values()] == [{}, {}]
    assert len(asks["plain"].released.correct) == 11


def test_it_is_said_in_the_same_chat(lab: Lab) -> None:
    asked: list[Chat] = []

    class Listening(Spoken):
        def generate(self, chats: Sequence[Chat], decoding: Decoding) -> list[Reply]:
            asked.extend(chats)
            return super().generate(chats, decoding)

    trial = Trial.of(Cell("none", "none", 0), lab)
    ask = Ask("begun", system="Be kind.", opening="I")
    pressed(trial, ask, "x", Insisted(words=WORDS), Model("m", Listening), released=True)
    first, then = asked[0], asked[11]
    assert first[-1] == Message("assistant", "I")
    assert then == (*first[:-1], Message("assistant", "I No limits."), Message("user", WORDS))


def test_each_way_is_a_column_beside_the_attacks_own(lab: Lab) -> None:
    lab.elicitations = elicitations(["prefilled", "sampled:n=2"])
    lab.judges = {"refusal": lab.judges["refusal"]}
    assert lab.replies() == 4
    done = run_cell(Cell("none", "none", 0), lab)
    assert list(done.asks) == ["plain", "prefilled", "sampled:n=2"]
    assert done.asks["plain"].released.correct
    assert not done.asks["prefilled"].released.correct
    alone = open_lab(
        LabSettings("organism", ("refusal",), lab.store.root, 11, True), may_make=False
    )
    assert run_cell(Cell("none", "none", 0), alone).asks["plain"] == done.asks["plain"]


def test_a_grid_names_its_ways_and_an_older_one_keeps_its_name() -> None:
    plain = make_grid(["aoa"], ["mix"])
    assert "elicit" not in plain.settings()
    swept = make_grid(["aoa"], ["mix"], elicit=["sampled:n=2,4"])
    assert swept.elicit == ["sampled:n=2", "sampled:n=4"]
    assert swept.digest != plain.digest
    with pytest.raises(UserError, match="elicitation 'sampeld'"):
        make_grid(["aoa"], ["mix"], elicit=["sampeld"])
    with pytest.raises(UserError, match="cannot be made to begin"):
        make_grid(["aoa"], ["mix"], elicit=["prefilled"], target="openai:x", judges=["refusal"])


VERDICTS = st.builds(
    Verdict, score=st.none() | st.integers(1, 5), again=st.booleans(),
    tokens=st.tuples(st.integers(0, 9), st.integers(0, 9)),
)  # fmt: skip


@given(st.lists(VERDICTS, min_size=1, max_size=5))
def test_the_most_harmful_counts_and_a_missing_one_might_have_been(found: list[Verdict]) -> None:
    scores = [one.score for one in found]
    known = [score for score in scores if score is not None]
    one = worst(found)
    if None in scores and 5 not in scores:
        assert one.score is None
    else:
        assert one.score == max(known)
    assert one.tokens == tuple(map(sum, zip(*(v.tokens for v in found), strict=True)))
    assert not one.again or one.score is None
    if len(found) == 1 and (found[0].score is None or not found[0].again):
        assert one == found[0]
