"""Moderation tools as judges of replies: what they are given, what is flagged, what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from attacks.base import UserError
from benchmarks.verdicts import identity
from eval import tools
from eval.judges.base import Judge, Verdict
from eval.judges.flagged import CHUNK, Flagged
from targets.base import Rules
from targets.hosted import retries
from targets.hosted.ledger import Ledger, Purse, Stopped, tokens_of
from tests.eval.moderators.test_classifier import Make, by_hand, make
from tests.targets.hosted.server import Plan, serving

__all__ = ["make"]
NO_RULES = Rules("", ())


def scores(texts: list[str]) -> list[dict[str, Any]]:
    """Each text's last word is its score."""
    return [{"category_scores": {"a": float(text.split()[-1]), "b": 0.0}} for text in texts]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Plan, str]]:
    """A moderation endpoint on this machine, and the spec of its moderator."""
    monkeypatch.setenv("OPENAI_API_KEY", "none-needed")
    monkeypatch.setattr(retries, "FIRST_WAIT", 0.01)
    plan = Plan(moderate=scores)
    with serving(plan) as url:
        yield plan, f'openai:base_url="{url}"'


def ask(judge: Flagged, replies: list[str], ledger: Ledger | None = None) -> list[Verdict]:
    found: dict[int, Verdict] = {}
    pairs = [(f"request {i}", reply) for i, reply in enumerate(replies)]
    judge.ask(pairs, NO_RULES, lambda i, told: found.update({i: told}), ledger or Ledger())
    return [found[i] for i in range(len(replies))]


def test_the_reply_alone_is_sent_and_flagged_at_the_threshold(server: tuple[Plan, str]) -> None:
    plan, spec = server
    replies = ["one 0.69", "two 0.7", "three 0.71", "two 0.7"]
    assert [told.score for told in ask(Flagged(by=spec), replies)] == [1, 5, 5, 5]
    assert [told.score for told in ask(Flagged(by=spec, threshold=0.71), replies)] == [1, 1, 5, 1]
    sent = [text for body in plan.bodies for text in body["input"]]
    assert sorted(sent[:3]) == sorted(set(replies)), "each text once, and no request"
    judge = Flagged(by=spec)
    assert judge.measure != Judge.measure
    assert not judge.here
    assert judge.tokens(NO_RULES, "request", 512) == (512, 0)


def test_openais_own_endpoint_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert Flagged().price() == (0, 0)
    assert Flagged(by='openai:base_url="http://127.0.0.1:9/v1"').price() is None
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(Stopped, match="set OPENAI_API_KEY"):
        Flagged().check()


def test_what_cannot_be_had_is_missing(server: tuple[Plan, str]) -> None:
    plan, spec = server
    plan.fault = lambda text, attempt: 500 if "bad" in text else 200
    (told,) = ask(Flagged(by=spec), ["bad 0.9"])
    assert told == Verdict(None, why="the server answers with 500", again=True)
    plan.fault = lambda text, attempt: 400
    (told,) = ask(Flagged(by=spec), ["bad 0.9"])
    assert told == Verdict(None, why="the server answers with 400", again=False)


def test_what_is_sent_is_counted_and_never_passes_a_budget(server: tuple[Plan, str]) -> None:
    plan, spec = server
    replies = [f"{i} 0.5" for i in range(CHUNK + 10)]
    ledger = Ledger()
    assert len(ask(Flagged(by=spec), replies, ledger)) == len(replies)
    tokens = sum(map(tokens_of, replies))
    assert (ledger.sent, ledger.answered, ledger.purse.tokens) == (266, 266, tokens)
    before = len(plan.bodies)
    small = Ledger(Purse(token_budget=tokens - 1))
    kept: list[int] = []
    with pytest.raises(Stopped, match="could pass the budget"):
        Flagged(by=spec).ask(
            [("", r) for r in replies], NO_RULES, lambda i, told: kept.append(i), small
        )
    assert len(kept) == CHUNK == 32 * (len(plan.bodies) - before)


def test_a_classifier_reads_replies_here(make: Make) -> None:
    folder = make(["toxic", "insult", "safe"], "multi_label_classification")
    replies = ["bad vile", "a b a b", ""]
    wanted = [by_hand(folder, reply, several=True)[1] for reply in replies]
    assert max(wanted) > 2 * min(wanted)
    bound = (min(wanted) + max(wanted)) / 2
    judge = Flagged(by=f'classifier:model="{folder}",labels=insult', threshold=bound)
    ledger = Ledger(Purse(token_budget=0))
    found = [told.score for told in ask(judge, replies, ledger)]
    assert found == [5 if one >= bound else 1 for one in wanted]
    assert judge.here
    assert judge.tokens(NO_RULES, "request", 512) == (0, 0)
    assert ledger.sent == 0
    assert judge.check() == ""


def test_a_verdict_is_kept_under_tool_and_threshold(make: Make) -> None:
    one, other = (f'classifier:model="{make([x], None)}"' for x in ("toxic", "insult"))
    specs: list[dict[str, Any]] = [{"by": one}, {"by": one, "threshold": 0.5}, {"by": other}]
    keys = [repr(identity(Flagged(**spec), NO_RULES)) for spec in specs]
    assert len(set(keys)) == 3
    assert repr(identity(Flagged(by=one), Rules("openai", ("a",)))) == keys[0]


@pytest.mark.parametrize(
    ("by", "said"),
    [
        ("words", "the provider's own rows"),
        ("judge", "give that judge itself"),
        ("guard:model=m", "give the judge guard itself"),
        ("nonesuch", "unknown moderator 'nonesuch'"),
        ("openai:model=a,b", "without a sweep"),
    ],
)
def test_what_cannot_read_a_reply_alone_is_refused(by: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        Flagged(by=by)


def test_a_moderator_of_ones_own_has_no_provider(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from attacks.base import component\n"
        "from eval.moderators.base import Moderator, Scored\n"
        "@component\nclass Mine(Moderator):\n    '''Looks at the pools of a provider.'''\n"
        "    def scored(self, chats, owner):\n"
        "        return [Scored({'x': 0.9 if owner.pools else 0.1}) for _ in chats]\n"
    )
    judge = Flagged(by=str(path))
    assert not tools.leaves(judge.tool)
    with pytest.raises(UserError, match="the provider's pools, and here is no provider"):
        ask(judge, ["a"])
