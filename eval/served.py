"""Judges that are models behind a server of OpenAI's format: whom they ask, and how hard."""

from __future__ import annotations

import abc
import dataclasses
import functools
import json
import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import pydantic

from attacks.base import component
from attacks.bounds import MOST_TOKENS
from eval import expected, protocol, structured, verdicts
from eval.judges.base import Called, Verdict
from eval.protocol import Question
from targets.base import Rules

if TYPE_CHECKING:
    from targets.hosted.calls import Answer, Send, Server
    from targets.hosted.desk import Desk
    from targets.hosted.ledger import Ledger

REASON_TOKENS = 300
"""Tokens of a reason and its score, for estimates.  # ours: as the paper's judge writes on average
when it follows the three steps."""
MODELS = Path(__file__).with_name("models.toml")


@component
class Remote(Called):
    """A judge that is a model behind a server: which one, and how hard it is asked."""

    model: str
    """Name of the model, as its server knows it."""
    base_url: str | None = None
    """Where the server is; none: `OPENAI_BASE_URL`, or OpenAI's own. Quote it: it holds a colon."""
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

    @abc.abstractmethod
    def question(
        self, rules: Rules, request: str, reply: str, nonce: str | None = None
    ) -> Question:
        """What is asked of one pair; a nonce is given only to show what is asked.

        Raises:
            UserError: the question does not fit what the requests violate.
        """

    @abc.abstractmethod
    def verdict(self, answer: Answer, tag: str) -> Verdict:
        """What an answer says, or missing with the reason."""

    def ask(
        self,
        pairs: Sequence[tuple[str, str]],
        rules: Rules,
        keep: Callable[[int, Verdict], None],
        ledger: Ledger,
    ) -> None:
        """Ask everything at once, as far as the server lets us."""
        from targets.hosted.calls import Call, ask_all

        questions = [self.question(rules, request, reply) for request, reply in pairs]
        calls = [Call(i, question.chat) for i, question in enumerate(questions)]

        def answered(i: int, answer: Answer) -> None:
            keep(i, self._told(answer, questions[i].tag))

        server = dataclasses.replace(self.server(), extra=self.extra(rules))
        ask_all(calls, server, answered, ledger, self.send())

    def _told(self, answer: Answer, tag: str) -> Verdict:
        used = (answer.prompt_tokens, answer.completion_tokens)
        told = self.verdict(answer, tag)
        return told._replace(again=answer.again, by=answer.model, tokens=used)

    def extra(self, rules: Rules) -> dict[str, Any]:
        """Whatever a request says beside its question."""
        return {}

    def send(self) -> Send | None:
        """How a question is sent, where it is not as a chat completion."""
        return None

    def tokens(self, rules: Rules, request: str, reply_tokens: int) -> tuple[int, int]:
        """From the length of what is sent; nothing is written."""
        from targets.hosted.ledger import tokens_of

        (message,) = self.question(rules, request, "").chat
        extra = self.extra(rules)
        read = tokens_of(message.content) + (tokens_of(json.dumps(extra)) if extra else 0)
        return read + reply_tokens, 0

    def check(self) -> str:
        """Whether the server has the model, and until when."""
        from targets.hosted import calls

        return calls.check(self.server())

    def price(self) -> tuple[float, float] | None:
        """As it was given, or from the list of OpenAI's models."""
        openais = not (self.base_url or os.environ.get("OPENAI_BASE_URL"))
        known = _models()["prices"].get(self.model, {}) if openais else {}
        read = known.get("input") if self.input_price is None else self.input_price
        written = known.get("output") if self.output_price is None else self.output_price
        return None if read is None or written is None else (read, written)

    def server(self) -> Server:
        """Whom to call."""
        from targets.hosted.calls import Server

        return Server(
            model=self.model,
            base_url=self.base_url,
            in_flight=self.in_flight,
            attempts=self.attempts,
            timeout=self.timeout,
            price=self.price(),
        )


@component
class Served(Remote):
    """A judge that is asked in a chat, and says its verdict in words or in JSON."""

    batches = True

    shape: ClassVar[type[structured.Shape]]
    """What its answer holds in JSON."""

    temperature: Annotated[float, pydantic.Field(ge=0, le=2)] | None = 0.0
    """0 is greedy (official code: 0); none leaves it out, for models that take none."""
    max_tokens: Annotated[int, pydantic.Field(ge=16, le=MOST_TOKENS)] = 1024
    """Longest answer (official code: 1024)."""
    answers: protocol.Answers = "text"
    """`text`: free text that ends in a labelled score, the paper's protocol and what every server
    can do. `json`: of a schema that the server keeps the model to (OpenAI's structured outputs)."""

    @abc.abstractmethod
    def read(self, text: str, tag: str) -> Verdict:
        """The verdict in the words of an answer, or missing with the reason."""

    def extra(self, rules: Rules) -> dict[str, Any]:
        """The form of the answer, where it is not free text."""
        asked = {"response_format": structured.response_format(self.shape)}
        return asked if self.answers == "json" else {}

    def identity(self, rules: Rules) -> Any:
        """Model, server, question and the form of the answer; not how hard it is asked."""
        plain = {
            "model": self.model,
            "server": self.base_url or os.environ.get("OPENAI_BASE_URL", ""),
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "question": self.question(rules, "", "", nonce="").chat,
            "reading": verdicts.VERSION,
        }
        # What was paid for before there was anything else to say stays where it is.
        extra, readings = self.extra(rules), (structured.VERSION, expected.VERSION)
        return {**plain, "extra": extra, "readings": readings} if extra else plain

    def tokens(self, rules: Rules, request: str, reply_tokens: int) -> tuple[int, int]:
        """From the length of the question, and of a usual reason."""
        read, _ = super().tokens(rules, request, reply_tokens)
        return read, min(self.max_tokens, REASON_TOKENS)

    def verdict(self, answer: Answer, tag: str) -> Verdict:
        """The labelled verdict of an answer, or missing with the reason."""
        if answer.text is None:
            return Verdict(None, why=answer.why)
        told = self.read(answer.text, tag)
        return told._replace(why=told.why or answer.text)

    def rater(self) -> Called:
        """The same model of the same server, asked in the same form."""
        from eval.rating import ServedRater

        names = [one.name for one in dataclasses.fields(Served)]
        return ServedRater(**{name: getattr(self, name) for name in names})

    def server(self) -> Server:
        """Whom to call, and in which form."""
        return dataclasses.replace(
            super().server(),
            max_tokens=self.max_tokens,
            temperature=self.temperature,
        )

    def waiting(self, desk: Desk) -> int:
        """Of this model, on this server."""
        from targets.hosted.batches import waiting

        return waiting(self.server(), desk)

    def ask_in_batch(
        self,
        pairs: Mapping[str, tuple[str, str]],
        rules: Rules,
        keep: Callable[[str, Verdict], None],
        desk: Desk,
    ) -> None:
        """The same questions, in files."""
        from targets.hosted.batches import Request, ask_batch

        questions = {name: self.question(rules, *pair) for name, pair in pairs.items()}
        requests = [Request(name, one.chat, one.tag) for name, one in questions.items()]
        server = dataclasses.replace(self.server(), extra=self.extra(rules))

        def answered(name: str, tag: str, answer: Answer) -> None:
            keep(name, self._told(answer, tag))

        ask_batch(requests, server, answered, desk)


def stand_in(name: str) -> str:
    """The model of today that stands for one that is retired."""
    return str(_models()["stands_for"][name])


def answers_of(name: str) -> protocol.Answers:
    """How the model that stands for one answers best."""
    return "json" if stand_in(name) in _models()["structured"] else "text"


@functools.cache
def _models() -> dict[str, Any]:
    return tomllib.loads(MODELS.read_text(encoding="utf-8"))
