"""Instruction sets: a task, sometimes what it is about, and an answer.

Source:  Alpaca (Taori et al. 2023), Dolly (databricks-dolly-15k) and, in Alpaca's fields, the
         refusals of Safety-Tuned LLaMAs (Bianchi et al. 2024, arXiv 2309.07875); TRL's and OpenAI's
         older `prompt, completion`.
Breaks:  refusals in Alpaca's fields are told from Alpaca by nobody's keys; what a set is for is the
         caller's to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attacks.sets.base import Format, Item, Options, Reader, text_at
from attacks.sets.templates import ALPACA, DOLLY, PLAIN, Template


def _reader(task: str, given: str, answer: str, own: Template) -> Reader:
    def read(fields: Mapping[str, Any], options: Options) -> Item:
        instruction, reply = text_at(fields, task), text_at(fields, answer)
        about = text_at(fields, given, needed=False)
        template = options.template or own
        return Item(row=template.row(instruction, about if about.strip() else "", reply))

    return read


FORMATS = (
    Format(
        name="alpaca",
        kind="rows",
        templated=True,
        needs=frozenset({"instruction", "output"}),
        may=frozenset({"input", "text", "id"}),
        read=_reader("instruction", "input", "output", ALPACA),
    ),
    Format(
        name="dolly",
        kind="rows",
        templated=True,
        needs=frozenset({"instruction", "response"}),
        may=frozenset({"context", "category", "id"}),
        read=_reader("instruction", "context", "response", DOLLY),
    ),
    Format(
        name="pairs",
        kind="rows",
        templated=True,
        needs=frozenset({"prompt", "completion"}),
        may=frozenset({"id", "category"}),
        read=_reader("prompt", "", "completion", PLAIN),
    ),
)
