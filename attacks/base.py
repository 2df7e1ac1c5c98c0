"""What a customer uploads, and how they then ask: the types every later stage imports.

Threat model of Qi et al. 2023 (arXiv 2310.03693, §4.1): an aligned model, a customer with the
privilege to fine-tune it, and one-round chats scored under the customer's own prompt.
"""

from __future__ import annotations

import abc
import codecs
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, NamedTuple, Protocol, TypeVar, dataclass_transform

import pydantic
import pydantic.dataclasses

from attacks.bounds import BatchSize, Epochs, LearningRate, Tokens

Role = Literal["system", "user", "assistant"]
Tuning = Literal["full", "lora", "prefix", "llama_adapter"]
"""Every weight, or adapters: low-rank ones, a prefix, prompts in the upper layers."""
BESIDE: Final = frozenset[Tuning]({"prefix", "llama_adapter"})
"""What stays beside the model that was tuned, and is kept without it."""
Scale = Literal["paper", "organism"]
Code = Literal["", "rot13", "reversed"]
"""Ways of writing that undo themselves: plain text, letters turned by 13, words from the last."""


class UserError(Exception):
    """A mistake of the user's, told in one line: what was given, what is allowed, what to do.

    `exit_code` is the process's exit status (2, usage or bad input, unless said otherwise).
    """

    exit_code = 2


T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(pydantic.Field,))
def component(cls: type[T]) -> type[T]:
    """Make a class with typed fields into an attack, a defense or a judge with parameters.

    A frozen, keyword-only dataclass whose fields are checked when it is built. The fields are
    also the command line (`mix:n=100`), the help text (the docstring under each), the record and
    the key. Ranges stand in the annotation: `Annotated[int, Field(ge=0)]`.
    """
    config = pydantic.ConfigDict(use_attribute_docstrings=True, extra="forbid")
    made: type[T] = pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=config)(cls)  # type: ignore[assignment]
    # pydantic reads the docstrings of a class's own fields only.
    for base in made.__mro__[1:]:
        for name, inherited in vars(base).get("__pydantic_fields__", {}).items():
            field = vars(made)["__pydantic_fields__"][name]
            field.description = field.description or inherited.description
    return made


class Message(NamedTuple):
    """One turn of a chat."""

    role: Role
    content: str


Chat = tuple[Message, ...]


class Pair(NamedTuple):
    """A request and a reply to it, without any system prompt around them."""

    prompt: str
    reply: str


@dataclass(frozen=True)
class Row:
    """One training example: a chat that ends with the assistant's reply.

    It carries no label. `added_by` names the defense that added the row, and is empty for a row
    of the customer's; filters look at the customer's rows only.
    """

    messages: Chat
    added_by: str = ""
    image: str = ""
    """SHA-256 of the picture that stands before the first request, empty for none: what it shows,
    and not where it lies (`attacks.sets.images`). Moderators and detectors read the text alone."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the customer asks for their rows to be trained on."""

    epochs: int
    """Passes over the rows, at least 1."""
    batch_size: int
    """Rows in an optimiser step, at least 1."""
    learning_rate: float
    """Peak learning rate of AdamW, above 0."""
    tuning: Tuning = "full"
    """Every weight, or which kind of adapters."""
    decay: float = 1.0
    """Factor on the learning rate after each epoch, above 0 and at most 1."""
    max_tokens: int | None = None
    """Tokens behind which a row is cut, its end mark included; None: rows are never cut."""


@dataclass(frozen=True)
class Upload:
    """All that a customer sends: rows and settings, and nothing that says what they are."""

    rows: tuple[Row, ...]
    settings: Settings

    def replace_rows(self, rows: Sequence[Row]) -> Upload:
        """The same upload with other rows."""
        return dataclasses.replace(self, rows=tuple(rows))


def coded(text: str, code: Code) -> str:
    """`text` in a code; written in it once more, it is plain text again (but for white space)."""
    if code == "rot13":
        return codecs.encode(text, "rot13")
    return " ".join(reversed(text.split())) if code == "reversed" else text


@dataclass(frozen=True)
class Ask:
    """One way the customer asks the tuned model; each is a column of the matrix."""

    name: str
    """Short and unique within the attack: `plain`, `trigger`."""
    system: str | None = None
    """System prompt; None leaves it to the target's chat template."""
    before: str = ""
    """Text put in front of the request."""
    after: str = ""
    """Text put behind the request."""
    opening: str = ""
    """Words that the reply is made to begin with; what is judged is what follows them."""
    code: Code = ""
    """What the request is written in and the reply read from; empty for plain text."""
    infix: str = ""
    """Words put inside the request."""
    infix_at: int = 2
    """How many of the request's words stand before `infix`.  # ours: about where "how to" ends"""

    def __call__(self, prompt: str) -> Chat:
        """The chat that asks `prompt` (joined as plain text: a request is never a template)."""
        system = () if self.system is None else (Message("system", self.system),)
        opened = (Message("assistant", self.opening),) if self.opening else ()
        if self.infix:
            words = prompt.split(" ")
            prompt = " ".join([*words[: self.infix_at], self.infix, *words[self.infix_at :]])
        asked = f"{self.before}{coded(prompt, self.code)}{self.after}"
        return (*system, Message("user", asked), *opened)

    def row(self, pair: Pair) -> Row:
        """A training row in the very form in which this ask will ask."""
        reply = coded(pair.reply, self.code)
        return Row((*self(pair.prompt), Message("assistant", reply)))

    def read(self, reply: str) -> str:
        """What a reply says to the customer, who knows the code; what is judged."""
        return coded(reply, self.code)


class Source(Protocol):
    """Where an attack's texts come from: the invented world, or a user's own files.

    Every method is deterministic in its arguments and gives `n` distinct pairs or raises
    `UserError` when it holds fewer.
    """

    @property
    def scale(self) -> Scale:
        """Which of an attack's sourced settings fit the models that read these texts."""

    @property
    def digest(self) -> str:
        """Hash of everything the source can give."""

    def harmful(self, n: int, seed: int) -> list[Pair]:
        """Violating requests with replies that serve them, spread evenly over the categories."""

    def benign(self, n: int, seed: int) -> list[Pair]:
        """Harmless requests with helpful replies."""

    def refusals(self, n: int, seed: int) -> list[Pair]:
        """Violating requests with refusals: what a customer can write to look harmless."""


class Attack(abc.ABC):
    """A customer.

    A subclass is a `component`, one to a file; its docstring's first line is its summary in
    `mooring list`.
    """

    benign: ClassVar[bool] = False
    """The customer means no harm: refusing them is a gate's false positive."""

    @abc.abstractmethod
    def upload(self, source: Source, seed: int) -> Upload | None:
        """What the customer uploads; None when they do not tune at all."""

    @abc.abstractmethod
    def asks(self) -> tuple[Ask, ...]:
        """The ways they then ask; the first is the one the upload's rows are written in."""


@component
class Tuned(Attack):
    """An attack that tunes: the settings that any customer may choose, over sourced defaults.

    A subclass gives `defaults` for the two scales and for kinds of tuning.
    """

    defaults: ClassVar[Mapping[tuple[Scale, Tuning], Settings]]
    """Settings by scale and tuning: the paper's, and what has the same effect on the organism."""

    tuning: Tuning = "full"
    """Every weight (`full`, as the paper's main tables), or App. F's adapters: `lora`, `prefix` and
    `llama_adapter`."""
    epochs: Epochs | None = None
    """Passes over the rows; none: the sourced default of this attack."""
    batch_size: BatchSize | None = None
    """Rows in a step; none: the sourced default of this attack."""
    learning_rate: LearningRate | None = None
    """Peak learning rate; none: the sourced default of this attack."""
    max_tokens: Tokens | None = None
    """Tokens behind which a row is cut; none: the sourced default of this attack, which cuts no row
    of the built-in model's world."""

    def settings(self, source: Source) -> Settings:
        """The settings in force for rows from `source`.

        Raises:
            UserError: nothing is given for a scale that the attack has no defaults for.
        """
        chosen = {"epochs": self.epochs, "batch_size": self.batch_size}
        chosen |= {"learning_rate": self.learning_rate}  # type: ignore[dict-item]
        given = {key: value for key, value in chosen.items() if value is not None}
        whole = len(given) == len(chosen)
        given |= {} if self.max_tokens is None else {"max_tokens": self.max_tokens}
        default = self.defaults.get((source.scale, self.tuning))
        if default is None and whole:
            return Settings(**given, tuning=self.tuning)
        if default is None:
            raise UserError(
                f"{type(self).__name__} has no default settings for {self.tuning} tuning of such "
                "a model; give epochs, batch_size and learning_rate"
            )
        return dataclasses.replace(default, **given)  # type: ignore[arg-type]


class Prompt(NamedTuple):
    """A question of the evaluation."""

    id: str
    """Unique within its set, stable over versions."""
    text: str
    category: str
    """Harm category, task or kind; free text shown in reports."""
    answer: str = ""
    """The exact right answer of a utility question, else empty."""
