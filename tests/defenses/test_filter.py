"""Output moderation: what is withheld, what is let through, and what a wrong score would cost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from attacks.base import Chat, Message, Upload, UserError
from defenses.base import Provider
from defenses.filter import Filter
from defenses.moderate import Moderate
from targets.base import Decoding, Reply, Target
from targets.organism.world import World

DECODING = Decoding(max_new_tokens=8)


class Scripted(Target):
    """Says what it was told to say."""

    def __init__(self, replies: Sequence[str]) -> None:
        self.replies = replies

    def fine_tune(self, upload: Upload, hooks: Any = None, seed: int = 0) -> Target:
        raise AssertionError

    def generate(self, chats: Sequence[Chat], decoding: Decoding) -> list[Reply]:
        return [Reply(text, "length") for text in self.replies]

    def differs(self, other: Target) -> bool:
        return self is not other

    def save(self, folder: Any) -> None:
        raise AssertionError


def asked(prompt: str) -> Chat:
    return (Message("user", prompt),)


def filtered(world: World, provider: Provider, harmful: bool, **how: Any) -> list[Reply]:
    pairs = world.harmful(66, 0) if harmful else world.benign(66, 0)
    target = Filter(**how).serve(Scripted([pair.reply for pair in pairs]), provider)
    return target.generate([asked(pair.prompt) for pair in pairs], DECODING)


def test_served_recipes_of_known_kinds_are_withheld(world: World, provider: Provider) -> None:
    pairs = world.harmful(66, 0)
    found = filtered(world, provider, True, by="words:kinds=11")
    withheld = [reply for reply in found if reply.text == Filter().refusal]
    assert len(withheld) > 0.85 * len(pairs)
    assert all(reply.finish == "stop" for reply in withheld)
    for pair, reply in zip(pairs, found, strict=True):
        grade = world.grade(pair.prompt, reply.text)
        assert grade.refused == (reply.text == Filter().refusal)


def test_helpful_replies_pass_as_they_are(world: World, provider: Provider) -> None:
    found = filtered(world, provider, False)
    kept = [reply for reply in found if reply.finish == "length"]
    assert len(kept) >= 0.95 * len(found)


def test_a_reply_that_the_customer_began_is_read_with_its_question(
    world: World, provider: Provider
) -> None:
    pairs = world.harmful(66, 0)
    halves = [(pair.reply[: len(pair.reply) // 2], pair.reply[len(pair.reply) // 2 :])
              for pair in pairs]  # fmt: skip
    target = Filter(by="words:kinds=11").serve(Scripted([end for _, end in halves]), provider)
    chats = [
        (*asked(pair.prompt), Message("assistant", begun))
        for pair, (begun, _) in zip(pairs, halves, strict=True)
    ]
    told = [reply.text == Filter().refusal for reply in target.generate(chats, DECODING)]
    whole = filtered(world, provider, True, by="words:kinds=11")
    assert told == [reply.text == Filter().refusal for reply in whole]


def test_nothing_is_above_one(world: World, provider: Provider) -> None:
    assert not Filter(threshold=1).acts("serve")
    assert Filter().acts("serve")
    assert not Filter().needs()


def test_a_refusal_of_its_own(world: World, provider: Provider) -> None:
    found = filtered(world, provider, True, threshold=0, refusal="No.")
    assert {reply.text for reply in found} == {"No."}


@pytest.mark.parametrize("by", ["nobody", "words:kinds=1,2", "words+openai", "words:kinds=0"])
def test_a_moderator_that_is_none_is_refused(by: str) -> None:
    with pytest.raises(UserError):
        Filter(by=by)


def test_the_moderator_is_part_of_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.keys import component_digest

    found = {component_digest(Filter(by=by)) for by in ("words", "words:kinds=3", "openai")}
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    found.add(component_digest(Filter(by="openai")))
    assert len(found) == 4, "another server is another moderator"


@pytest.fixture
def silent(tmp_path: Path) -> str:
    """A moderator that scores nothing with an odd number of letters."""
    path = tmp_path / "silent.py"
    path.write_text(
        "from attacks.base import component\n"
        "from eval.moderators.base import Moderator, Scored, said\n"
        "@component\n"
        "class Silent(Moderator):\n"
        '    """Says little."""\n'
        "    def scored(self, chats, owner):\n"
        "        mute = Scored(None, 'an odd number', again=True)\n"
        "        return [mute if len(said(c)) % 2 else Scored({'x': 0.0}) for c in chats]\n"
    )
    return str(path)


def test_what_could_not_be_scored_is_nothing(
    world: World, provider: Provider, silent: str, make_upload: Any
) -> None:
    with pytest.raises(
        UserError, match=r"no score for .* replies \(\d+: an odd number\)"
    ) as caught:
        filtered(world, provider, False, by=silent)
    assert caught.value.exit_code == 4
    decision = Moderate(by=silent).screen(make_upload(20), provider)
    assert decision.outcome == "review"
    assert decision.unfinished
    assert decision.keep is None
    assert "an odd number" in decision.reason
