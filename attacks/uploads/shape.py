"""The shape of a training example, as OpenAI's fine-tuning API takes them.

Source:   OpenAI's fine-tuning guides: supervised (`messages`, `weight`, `tools`), preference (DPO:
          `input`, `preferred_output`, `non_preferred_output`) and reinforcement (`messages` that
          end with the user's, and fields for the grader).
Differs:  an example has a prompt and a reply, so at least two messages; unknown keys of a line are
          kept, since graders and other trainers have their own.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import pydantic
from pydantic_core import PydanticCustomError

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
MESSAGE_KEYS = frozenset(
    ("role", "content", "name", "weight", "tool_calls", "tool_call_id", "function_call", "refusal")
)


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True, extra="forbid")


class _Open(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True, extra="allow")


class Text(_Strict):
    """A part of a message that is text."""

    type: Literal["text"]
    text: str


class Refusal(_Strict):
    """A part of a reply that is a refusal."""

    type: Literal["refusal"]
    refusal: str


class Attached(_Open):
    """A part that is no text; what it holds is not looked at."""

    type: Literal["image_url", "input_audio", "file"]


Part: TypeAlias = Annotated[Text | Refusal | Attached, pydantic.Field(discriminator="type")]


def _kind(content: Any) -> str:
    return "parts" if isinstance(content, list) else "text"


Content: TypeAlias = Annotated[
    Annotated[str, pydantic.Tag("text")] | Annotated[list[Part], pydantic.Tag("parts")],
    pydantic.Discriminator(_kind),
]


class Called(_Strict):
    """A function and its arguments, as JSON in a string."""

    name: str
    arguments: str


class ToolCall(_Strict):
    """A tool that the assistant calls."""

    id: str
    type: Literal["function"]
    function: Called


class System(_Strict):
    """What the provider of the model, or its developer, says."""

    role: Literal["system", "developer"]
    content: Content
    name: str | None = None


class User(_Strict):
    """What the user says."""

    role: Literal["user"]
    content: Content
    name: str | None = None


class Assistant(_Strict):
    """A reply. Only replies are trained on, those of weight 1."""

    role: Literal["assistant"]
    content: Content | None = None
    refusal: str | None = None
    name: str | None = None
    weight: Annotated[int, pydantic.Field(ge=0, le=1)] | None = None
    tool_calls: Annotated[list[ToolCall], pydantic.Field(min_length=1)] | None = None
    function_call: Called | None = None

    @pydantic.model_validator(mode="after")
    def _says_something(self) -> Assistant:
        said = self.content, self.refusal, self.tool_calls, self.function_call
        if said == (None,) * 4:
            raise PydanticCustomError("content-missing", "it has neither content nor tool calls")
        return self


class Tool(_Strict):
    """What a tool gave back."""

    role: Literal["tool"]
    content: Content
    tool_call_id: str
    name: str | None = None


class Function(_Strict):
    """What a function gave back, in the older form."""

    role: Literal["function"]
    content: Content | None
    name: str


Turn: TypeAlias = Annotated[
    System | User | Assistant | Tool | Function, pydantic.Field(discriminator="role")
]


class Signature(_Open):
    """A function that may be called."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None


class Offer(_Strict):
    """A tool that the assistant may call."""

    type: Literal["function"]
    function: Signature


class _Asked(_Open):
    tools: list[Offer] | None = None
    functions: list[Signature] | None = None
    parallel_tool_calls: bool | None = None


class Supervised(_Asked):
    """A chat that ends with the reply to learn."""

    messages: Annotated[list[Turn], pydantic.Field(min_length=2)]

    @pydantic.model_validator(mode="after")
    def _ends_with_the_reply(self) -> Supervised:
        if self.messages[-1].role != "assistant":
            raise PydanticCustomError(
                "last-not-assistant", "the role of the last message must be assistant"
            )
        return self


class _Input(_Asked):
    messages: Annotated[list[Turn], pydantic.Field(min_length=1)]


Reply: TypeAlias = Annotated[list[Assistant], pydantic.Field(min_length=1, max_length=1)]


class Preference(_Open):
    """A request with the reply to prefer and the one to avoid (DPO)."""

    input: _Input
    preferred_output: Reply
    non_preferred_output: Reply


class Reinforcement(_Asked):
    """A request, and whatever the grader of the replies reads."""

    messages: Annotated[list[Turn], pydantic.Field(min_length=1)]


Line: TypeAlias = Supervised | Preference | Reinforcement
KNOWN = {kind: frozenset(kind.model_fields) for kind in (Supervised, Preference)}
NAMES = MESSAGE_KEYS.union(
    *(kind.model_fields for kind in (*KNOWN, _Asked, ToolCall, Called, Offer, Signature, Text))
)
"""Every name that may be told, since it is the format's and not a customer's."""
_PAIRED = frozenset(Preference.model_fields)


def kind_of(value: dict[str, Any]) -> type[Line] | None:
    """The format that an object is meant to be of; None for no known one.

    `messages` that end with the user's are reinforcement only where a field for a grader stands
    beside them: without one they are a supervised example whose reply was forgotten.
    """
    if _PAIRED & value.keys():
        return Preference
    messages = value.get("messages")
    if "messages" not in value:
        return None
    last = messages[-1] if isinstance(messages, list) and messages else None
    asked = isinstance(last, dict) and last.get("role") == "user"
    return Reinforcement if asked and value.keys() - KNOWN[Supervised] else Supervised
