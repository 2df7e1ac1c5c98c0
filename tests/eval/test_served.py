"""Judges behind a server, asked one pair at a time over real HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from attacks.base import Prompt
from eval.judges.base import Verdict
from eval.judges.decisions import UNREAD, Decisions
from eval.judges.gpt_4 import Gpt4
from eval.judges.policy import Policy
from eval.judges.rubric import Rubric
from eval.served import Served
from eval.structured import NOT_IT
from targets.base import Rules
from targets.hosted.ledger import Stopped
from targets.organism.world import World
from tests.targets.hosted.answers import decided, truthful
from tests.targets.hosted.server import Plan, serving

RULES = Rules("organism", ("red", "blue"))


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none-needed")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


Ask = Callable[..., list[Verdict]]


@pytest.fixture
def ask(world: World) -> Ask:
    """Verdicts of a served judge on requests with these replies."""

    def go(plan: Plan, kind: type[Any], *replies: str, **given: Any) -> list[Verdict]:
        prompts: list[Prompt] = world.requests()[: len(replies)]
        if kind is not Rubric:
            given.setdefault("policy", "organism")
        with serving(plan) as url:
            judge = kind(**{"model": "m", **given}, base_url=url, attempts=1)
            found: list[Verdict] = judge.score(prompts, replies, None)
        return found

    return go


@pytest.mark.parametrize("kind", [Policy, Rubric])
def test_both_forms_say_the_same(ask: Ask, world: World, kind: type[Served]) -> None:
    item = world.item_in(world.requests()[0].text)
    assert item is not None
    one = world.recipe(item)
    replies = ["I cannot help with that.", f"Take {one.first} and {one.second}.", "It is nice."]
    plan = Plan(reply=truthful)
    in_text, in_json = (
        [verdict.score for verdict in ask(plan, kind, *replies, answers=form)]
        for form in ("text", "json")
    )
    assert in_text == in_json
    assert None not in in_text
    assert ["response_format" in body for body in plan.bodies] == [False] * 3 + [True] * 3


def test_gpt_4_is_asked_in_the_form_that_its_stand_in_takes(ask: Ask) -> None:
    plan = Plan(reply=truthful)
    (verdict,) = ask(plan, Gpt4, "I cannot help with that.", model=Gpt4().model)
    assert verdict.score == 1
    form = plan.bodies[0]["response_format"]
    assert form["type"] == "json_schema"
    assert form["json_schema"]["strict"] is True


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        (Plan(reply=lambda text: "score: 5"), NOT_IT),
        (Plan(reply=lambda text: '{"score": 5}'), NOT_IT),
        (Plan(reply=lambda text: f"Well. {truthful(text)}"), NOT_IT),
        (Plan(reply=truthful, refused="I would rather not."), "the model refused to answer"),
        (Plan(reply=truthful, finish="length"), "the answer was cut"),
        (Plan(reply=truthful, finish="content_filter"), "a content filter"),
    ],
)
@pytest.mark.parametrize("kind", [Policy, Rubric])
def test_whatever_is_not_the_answer_is_missing(
    ask: Ask, kind: type[Served], plan: Plan, why: str
) -> None:
    (verdict,) = ask(plan, kind, "I cannot help with that.", answers="json")
    assert verdict.score is None
    assert verdict.why == why
    assert verdict.tokens == (7, 3), "it is paid for all the same"


def spread(token: str) -> dict[str, float]:
    """A digit is in doubt with its neighbour, every other token certain."""
    if not token.isdigit():
        return {token: 1.0}
    return {token: 0.7, f" {int(token) % 5 + 1}": 0.25, "x": 0.05, "6": 0.0}


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_expected_score_is_that_of_the_scores_own_token(ask: Ask, form: str) -> None:
    """Digits of the nonce and of the reason are tokens as well."""
    plan = Plan(reply=lambda text: truthful(text).replace("clear", "1 4 clear"), chances=spread)
    given = {"answers": form, "probabilities": "true"}
    verdicts = ask(plan, Policy, "I cannot help with that.", "It is nice.", **given)
    assert [one.score for one in verdicts] == [1, 2]
    assert [one.expected for one in verdicts] == pytest.approx([1.2 / 0.95, 2.15 / 0.95])
    for body in plan.bodies:
        assert (body["logprobs"], body["top_logprobs"]) == (True, 20)
    assert Policy(model="m", probabilities=True, policy="organism").identity(RULES) != Policy(
        model="m", policy="organism"
    ).identity(RULES)


@pytest.mark.parametrize(
    "chances",
    [
        lambda token: {"5": 0.8, "x": 0.2},
        lambda token: {},
        lambda token: {"five": 1.0},
    ],
)
def test_an_expected_score_that_is_not_known_costs_no_verdict(ask: Ask, chances: Any) -> None:
    plan = Plan(reply=truthful, chances=chances)
    (verdict,) = ask(plan, Policy, "I cannot help with that.", probabilities=True)
    assert (verdict.score, verdict.expected) == (1, None)


def test_nothing_is_expected_of_a_verdict_that_is_missing(ask: Ask) -> None:
    plan = Plan(reply=lambda text: "5", chances=spread)
    (verdict,) = ask(plan, Policy, "I cannot help with that.", probabilities=True)
    assert (verdict.score, verdict.expected) == (None, None)


def test_decisions_give_the_likeliest_level_and_the_mean(ask: Ask) -> None:
    plan = Plan(reply=truthful)
    refusal, talk = ask(plan, Decisions, "I cannot help with that.", "It is nice.")
    assert (refusal.score, refusal.expected) == (1, pytest.approx(1.1))
    assert (talk.score, talk.expected) == (2, pytest.approx(2.1))
    assert (talk.by, talk.tokens) == ("m-2026", (7, 3))
    (question,) = plan.bodies[0]["questions"]
    assert [level["label"] for level in question["levels"]] == ["1", "2", "3", "4", "5"]
    assert "nice" not in question["instructions"]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ('{"type": "refusal", "name": "level"}', "the model refused to answer"),
        ('{"type": "predicate", "probability": 0.9}', UNREAD),
        ('{"type": "score", "score": 5.0, "probabilities": []}', UNREAD),
        (decided({1: 0.5, 5: 0.5}), "two levels are equally likely"),
        (decided({5: 0.8}), UNREAD),
        (decided({5: 1.0, 1: 0.5}), UNREAD),
        (decided({5: 1.0}).replace('"5"', '"6"'), UNREAD),
        (decided({5: 1.0}).replace('"5"', '"4"'), UNREAD),
        ("null", "an answer without a decision"),
        ('"5"', UNREAD),
        ("[]", UNREAD),
        ("5", UNREAD),
    ],
)
def test_a_decision_that_is_none_is_missing(ask: Ask, said: str, why: str) -> None:
    (verdict,) = ask(Plan(reply=lambda text: said), Decisions, "It is nice.")
    assert (verdict.score, verdict.expected, verdict.why) == (None, None, why)


def test_a_server_without_decisions_stops_in_one_line(ask: Ask) -> None:
    plan = Plan(reply=truthful, fault=lambda text, attempt: 404)
    with pytest.raises(Stopped, match="has no /decisions"):
        ask(plan, Decisions, "It is nice.")


def test_decisions_are_there_to_be_asked() -> None:
    with serving(Plan()) as url:
        assert Decisions(base_url=url).check() == ""


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("logprobs", {"probabilities": True}, "add probabilities=false"),
        ("response_format", {"answers": "json"}, "add answers=text"),
        ("temperature", {}, "add temperature=none"),
    ],
)
def test_a_model_that_takes_no_such_parameter_stops_in_one_line(
    ask: Ask, name: str, given: dict[str, Any], said: str
) -> None:
    plan = Plan(reply=truthful, without=(name,))
    with pytest.raises(Stopped, match=f"'m' takes no {name}; {said}$"):
        ask(plan, Policy, *["It is nice."] * 5, **given, in_flight=1)
    assert sum(plan.tries.values()) == 1


def test_the_form_of_the_answer_is_part_of_what_a_verdict_is_kept_under() -> None:
    plain = {"model": "m", "policy": "organism"}
    kinds = [Policy(**plain), Policy(**plain, answers="json")]  # type: ignore[arg-type]
    one, other = (kind.identity(RULES) for kind in kinds)
    assert one != other
    assert "extra" not in one
    assert Rubric(model="m").identity(RULES) != Rubric(model="m", answers="json").identity(RULES)
    for kind in kinds:
        assert kind.tokens(RULES, "How?", 10)[0] >= 10
    assert kinds[1].tokens(RULES, "How?", 10)[0] > kinds[0].tokens(RULES, "How?", 10)[0]
