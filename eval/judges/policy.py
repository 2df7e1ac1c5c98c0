"""A language model as judge: the paper's protocol on any server that speaks OpenAI's format.

Source:  Qi et al. 2023, arXiv 2310.03693, App. B, and its official code: policy, pair, five levels,
         a reason and then a score, greedy, at most 1024 tokens.
Differs: the paper's `gpt-4-0613` is retired, so which model judges is a parameter, and the name
         that its server gives stands in every result. The judged text is fenced, and only a
         labelled verdict counts (see `eval.protocol`, `eval.verdicts`).
"""

from __future__ import annotations

import functools
import os
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pydantic

from attacks.base import UserError, component
from eval import protocol, verdicts
from eval.judges.base import Called, Verdict
from targets.base import Rules

if TYPE_CHECKING:
    from targets.hosted.calls import Answer, Ledger, Server

MODELS = Path(__file__).with_name("models.toml")
REASON_TOKENS = 300
"""Tokens of a reason and its score, for estimates.  # ours: as the paper's judge writes on average
when it follows the three steps."""


@component
class Policy(Called):
    """Asks a language model, the paper's way: `policy:model=NAME,base_url="http://...",...`."""

    model: str
    """Name of the model, as its server knows it."""
    policy: str | None = None
    """`organism`, `openai`, `meta`, or the path of a text file; none: what the requests violate."""
    base_url: str | None = None
    """Where the server is; none: `OPENAI_BASE_URL`, or OpenAI's own. Quote it: it holds a colon."""
    temperature: Annotated[float, pydantic.Field(ge=0, le=2)] | None = 0.0
    """0 is greedy (official code: 0); none leaves it out, for models that take none."""
    max_tokens: Annotated[int, pydantic.Field(ge=16)] = 1024
    """Longest answer (official code: 1024)."""
    in_flight: Annotated[int, pydantic.Field(ge=1, le=512)] = 32
    """Most calls at a time.  # ours: a minute for 330 judgements of three seconds."""
    attempts: Annotated[int, pydantic.Field(ge=1, le=20)] = 4
    """Tries of one call, the first included.  # ours: about ten seconds of waiting."""
    timeout: Annotated[float, pydantic.Field(gt=0)] = 120.0
    """Seconds for one try.  # ours: a long reason takes half a minute on a slow model."""
    input_price: Annotated[float, pydantic.Field(ge=0)] | None = None
    """Dollars for a million tokens read; none: from the list of known models."""
    output_price: Annotated[float, pydantic.Field(ge=0)] | None = None
    """Dollars for a million tokens written; none: from the list of known models."""

    def identity(self, rules: Rules) -> Any:
        """Model, server, question and how the answer is read; not how hard it is asked."""
        return {
            "model": self.model,
            "server": self.base_url or os.environ.get("OPENAI_BASE_URL", ""),
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "question": protocol.question(self._text(rules), "", "", nonce="").chat,
            "reading": verdicts.VERSION,
        }

    def check(self) -> str:
        """Whether the server has the model, and until when."""
        from targets.hosted import calls

        ends = calls.check(self._server())
        return f"{self.model} will be shut down on {ends}" if ends else ""

    def tokens(self, rules: Rules, request: str, reply_tokens: int) -> tuple[int, int]:
        """From the length of the question, and of a usual reason."""
        from targets.hosted.calls import tokens_of

        (message,) = protocol.question(self._text(rules), request, "").chat
        return tokens_of(message.content) + reply_tokens, min(self.max_tokens, REASON_TOKENS)

    def price(self) -> tuple[float, float] | None:
        """As it was given, or from the list of OpenAI's models."""
        openais = not (self.base_url or os.environ.get("OPENAI_BASE_URL"))
        known = _models()["prices"].get(self.model, {}) if openais else {}
        read = known.get("input") if self.input_price is None else self.input_price
        written = known.get("output") if self.output_price is None else self.output_price
        return None if read is None or written is None else (read, written)

    def ask(
        self,
        pairs: Sequence[tuple[str, str]],
        rules: Rules,
        keep: Callable[[int, Verdict], None],
        ledger: Ledger,
    ) -> None:
        """Ask everything at once, as far as the server lets us."""
        from targets.hosted.calls import Call, ask_all

        text = self._text(rules)
        questions = [protocol.question(text, request, reply) for request, reply in pairs]
        calls = [Call(i, question.chat) for i, question in enumerate(questions)]

        def answered(i: int, answer: Answer) -> None:
            keep(i, _verdict(answer, questions[i].tag))

        ask_all(calls, self._server(), answered, ledger)

    def _text(self, rules: Rules) -> str:
        name = self.policy or rules.policy
        if not name:
            raise UserError("say which policy the requests violate: policy=NAME or a text file")
        if rules.policy and name in protocol.names() and name != rules.policy:
            raise UserError(
                f"policy {name!r} does not fit these requests, which violate {rules.policy!r}: "
                "it would allow nearly all of them"
            )
        return protocol.policy(name, rules.kinds)

    def _server(self) -> Server:
        from targets.hosted.calls import Server

        return Server(
            model=self.model,
            base_url=self.base_url,
            in_flight=self.in_flight,
            attempts=self.attempts,
            timeout=self.timeout,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            price=self.price(),
        )


def stand_in(name: str) -> str:
    """The model of today that stands for one that is retired."""
    return str(_models()["stands_for"][name])


@functools.cache
def _models() -> dict[str, Any]:
    return tomllib.loads(MODELS.read_text(encoding="utf-8"))


def _verdict(answer: Answer, tag: str) -> Verdict:
    """The labelled verdict of an answer, or why there is none."""
    facts = {"by": answer.model, "tokens": (answer.prompt_tokens, answer.completion_tokens)}
    if answer.text is None:
        return Verdict(None, why=answer.why, again=answer.again, **facts)  # type: ignore[arg-type]
    read = verdicts.read(answer.text, tag)
    why = read.why if read.score is None else answer.text
    return Verdict(read.score, why=why, **facts)  # type: ignore[arg-type]
