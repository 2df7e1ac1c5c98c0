"""Judges that are models behind a server of OpenAI's format: whom they ask, and how hard."""

from __future__ import annotations

import functools
import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pydantic

from attacks.base import component
from eval.judges.base import Called

if TYPE_CHECKING:
    from targets.hosted.calls import Server

MODELS = Path(__file__).with_name("models.toml")


@component
class Served(Called):
    """A judge that is a model behind a server."""

    model: str
    """Name of the model, as its server knows it."""
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

    def served(self) -> dict[str, Any]:
        """Who answers and how, as part of a judge's identity; not how hard it is asked."""
        return {
            "model": self.model,
            "server": self.base_url or os.environ.get("OPENAI_BASE_URL", ""),
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
        }

    def check(self) -> str:
        """Whether the server has the model, and until when."""
        from targets.hosted import calls

        ends = calls.check(self.server())
        return f"{self.model} will be shut down on {ends}" if ends else ""

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
