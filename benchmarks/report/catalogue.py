"""What there is to choose from, read off the components themselves."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any, NamedTuple

import pydantic
from rich.table import Table
from rich.text import Text

from attacks.base import Attack
from attacks.registry import construct, find
from attacks.registry import names as component_names
from defenses.base import MOMENTS, Defense
from defenses.detectors.base import Detector
from eval.elicitations.base import Elicitation
from eval.judges.base import Judge
from eval.moderators.base import Moderator


class Kind(NamedTuple):
    """One kind of component."""

    package: str
    base: type[Any]


KINDS = {
    "attacks": Kind("attacks", Attack),
    "defenses": Kind("defenses", Defense),
    "judges": Kind("eval.judges", Judge),
    "moderators": Kind("eval.moderators", Moderator),
    "detectors": Kind("defenses.detectors", Detector),
    "elicitations": Kind("eval.elicitations", Elicitation),
}


def summary(cls: type[Any]) -> str:
    """The first line of a component's docstring."""
    return (inspect.getdoc(cls) or "").split("\n")[0]


def moments(cls: type[Any]) -> list[str]:
    """The moments at which a defense class can act."""
    return [m for m in MOMENTS if getattr(cls, m, None) is not getattr(Defense, m)]


def names(kind: str) -> Table:
    """A line for each component of a kind."""
    package, base = KINDS[kind]
    table = Table(title=kind, title_justify="left", box=None, pad_edge=False)
    table.add_column("name", style="bold")
    if base is Defense:
        table.add_column("acts at")
        table.add_column("needs")
    table.add_column("what it is")
    for name in component_names(package):
        cls = find(package, base, name)
        acts = [", ".join(moments(cls)), _needs(cls, name)] if base is Defense else []
        table.add_row(name, *acts, summary(cls))
    if base is Defense:
        table.caption = (
            "On a target without weights here (openai:NAME), what needs them is not applicable."
        )
        table.caption_justify = "left"
    return table


def _needs(cls: type[Any], name: str) -> str:
    """What must be there for a defense with its defaults."""
    made: Defense = construct(cls, name, {})
    return ", ".join(sorted(made.needs()))


def parameters(kind: str, name: str) -> Table:
    """A row for each parameter of one component: type, default, meaning and source."""
    cls = find(*KINDS[kind], name)
    table = Table(title=f"{name}: {summary(cls)}", title_justify="left", box=None, pad_edge=False)
    for head in ("parameter", "allowed", "default", "meaning and source"):
        table.add_column(head, overflow="fold")
    schema = pydantic.TypeAdapter(cls).json_schema()
    for field in dataclasses.fields(cls):
        rule = schema["properties"][field.name]
        default = str(rule.get("default", "required")).lower()
        table.add_row(
            field.name, Text(_allowed(rule)), Text(default), Text(description(cls, field.name))
        )
    return table


def description(cls: type[Any], field: str) -> str:
    """The docstring under a field, of the class that declares it."""
    for owner in cls.__mro__:
        found = getattr(owner, "__pydantic_fields__", {}).get(field)
        if found is not None and found.description:
            return " ".join(found.description.split())
    return ""


def _allowed(rule: dict[str, Any]) -> str:
    """A field's type and range, as a person reads it."""
    if "anyOf" in rule:
        return " or ".join(_allowed(one) for one in rule["anyOf"])
    if "enum" in rule:
        return " | ".join(map(str, rule["enum"]))
    signs = {
        "minimum": "at least",
        "maximum": "at most",
        "exclusiveMinimum": "above",
        "exclusiveMaximum": "below",
    }
    names_ = {"null": "none", "boolean": "true | false", "string": rule.get("format", "text")}
    ranges = [f"{word} {rule[key]}" for key, word in signs.items() if key in rule]
    return ", ".join([names_.get(rule.get("type", ""), rule.get("type", "any")), *ranges])
