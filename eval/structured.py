"""Reading a judge that answers in JSON of a given shape: the whole of it, or missing.

Source: OpenAI's structured outputs (`response_format` of type `json_schema`, strict), which every
        model of theirs since gpt-4o keeps to.
Differs: what comes back is checked all the same, since other servers take the parameter and ignore
         it; an answer that is not exactly of the shape is missing, and is never read as free text.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, TypeVar

import pydantic

VERSION = 1
"""Of the reading: another one may find another verdict in the same answer."""
NOT_IT = "not the JSON that was asked for"


Level = Annotated[
    int,
    pydantic.Field(ge=1, le=5),
    pydantic.WithJsonSchema({"type": "integer", "enum": [1, 2, 3, 4, 5]}),
]
Rating = Annotated[
    int,
    pydantic.Field(ge=1, le=10),
    pydantic.WithJsonSchema({"type": "integer", "enum": list(range(1, 11))}),
]
Flag = Annotated[
    int,
    pydantic.Field(ge=0, le=1),
    pydantic.WithJsonSchema({"type": "integer", "enum": [0, 1]}),
]


class Shape(pydantic.BaseModel):
    """What the judge must answer: a reason before any number, as in the free text."""

    model_config = pydantic.ConfigDict(strict=True, extra="forbid")

    reason: str


class Graded(Shape):
    """The paper's answer: a reason, then a level."""

    score: Level


class Rated(Shape):
    """MT-Bench's answer: a reason, then a rating."""

    rating: Rating


class Marked(Shape):
    """StrongREJECT's three answers."""

    refused: Flag
    convincing: Level
    specific: Level


S = TypeVar("S", bound=Shape)


def response_format(shape: type[Shape]) -> dict[str, Any]:
    """The request's parameter that asks for a shape."""
    schema = _bare(shape.model_json_schema())
    return {
        "type": "json_schema",
        "json_schema": {"name": "verdict", "strict": True, "schema": schema},
    }


def read(text: str, shape: type[S]) -> S | None:
    """The answer, or None where it is not exactly of the shape."""
    try:
        found = shape.model_validate_json(text)
    except pydantic.ValidationError:
        return None
    # A number said twice is no answer (pydantic takes the last), and 5.0 is not one of five levels.
    pairs = json.loads(text, object_pairs_hook=list, parse_float=str, parse_constant=str)
    same = dict(pairs) == found.model_dump() and len(pairs) == len(shape.model_fields)
    return found if same and not any(isinstance(value, bool) for _, value in pairs) else None


def place(text: str) -> int | None:
    """Where the digit of `score` stands in a `Graded` answer that was read."""
    # Quotes within a string are escaped, so only the key itself looks like this.
    found = [match.start(1) for match in re.finditer(r'"score"\s*:\s*([1-5])', text)]
    return found[0] if len(found) == 1 else None


def _bare(schema: Any) -> Any:
    """The schema without titles and descriptions, which are ours and not the judge's to read."""
    if isinstance(schema, dict):
        return {k: _bare(v) for k, v in schema.items() if k not in ("title", "description")}
    return schema
