"""What an attack or a defense was, with every parameter and what it means."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

from attacks.base import Attack, Scale, Source, Tuned, UserError
from attacks.registry import build, parameters
from attacks.spec import Part, parse
from defenses.base import MOMENTS, Defense
from targets.resolve import resolve


class Parameter(NamedTuple):
    """One parameter of a component."""

    name: str
    value: str
    given: bool
    """Whether the user set it; else it is the default."""
    meaning: str


class Described(NamedTuple):
    """One component of a cell."""

    name: str
    """As it is written on a command line."""
    summary: str
    """First line of its docstring; empty where it cannot be loaded here."""
    moments: list[str]
    """When a defense acts."""
    parameters: list[Parameter]


class _Scaled(Protocol):
    @property
    def scale(self) -> Scale: ...


@dataclasses.dataclass(frozen=True)
class _Own:
    """Sets of the user's: which they are moves no setting, so that they need not be here."""

    scale: Scale = "paper"


def attack(text: str, target: str, *, own_data: bool = False) -> list[Described]:
    """The attack that a spec names, with the settings that it has against a target.

    Args:
        text: The spec.
        target: Who was attacked.
        own_data: Whether the rows were of the user's own sets.
    """
    source = _Own() if own_data else _source(target)
    return [_described("attacks", Attack, part, source) for part in _parts(text)]


def _source(target: str) -> _Scaled | None:
    """Where the attack's rows come from; None where the target is not here to be looked at."""
    try:
        return resolve(target).domain
    except UserError:
        return None


def defense(text: str) -> list[Described]:
    """Every part of the defense that a spec names, from left to right."""
    return [_described("defenses", Defense, part, None) for part in _parts(text)]


def _parts(text: str) -> list[Part]:
    try:
        (spec,) = parse(text)
    except UserError:
        return [Part(text, {})]
    return list(spec)


def _described(package: str, kind: type[Any], part: Part, source: _Scaled | None) -> Described:
    try:
        if not _known(part.name):
            raise UserError(f"{part.name} is not loaded")
        component = build(package, kind, part)
    except UserError:
        # A file of the user's that is not here, or a component of another version: what was
        # given is still known.
        given = [Parameter(key or "value", text, True, "") for key, text in part.params.items()]
        return Described(str(part), "", [], given)
    summary = (inspect.getdoc(type(component)) or "").split("\n", 1)[0]
    moments = [m for m in MOMENTS if isinstance(component, Defense) and component.acts(m)]
    found = _parameters(component, part)
    if isinstance(component, Tuned) and source is not None:
        found = _in_force(component, source, found)
    return Described(str(part), summary, list(moments), found)


def _known(name: str) -> bool:
    """Whether a component may be built: to show a run is no reason to run a file it names."""
    if not name.endswith(".py"):
        return True
    loaded = (m for key, m in list(sys.modules.items()) if key.startswith("mooring_file_"))
    return str(Path(name)) in {str(module.__file__) for module in loaded}


def _parameters(component: object, part: Part) -> list[Parameter]:
    meanings = _meanings(type(component))
    given = set(part.params)
    return [
        Parameter(
            name,
            _text(value),
            name in given or ("" in given and position == 0),
            meanings.get(name, ""),
        )
        for position, (name, value) in enumerate(_own_first(component))
    ]


def _meanings(cls: type) -> dict[str, str]:
    """The docstring of each field, a class's own before those it inherits."""
    found: dict[str, str] = {}
    for owner in cls.__mro__:
        for name, field in vars(owner).get("__pydantic_fields__", {}).items():
            found[name] = found.get(name) or " ".join((field.description or "").split())
    return found


def _own_first(component: object) -> list[tuple[str, Any]]:
    """The parameters, those of the component's own class before what it inherits."""
    own = vars(type(component)).get("__annotations__", {})
    return sorted(parameters(component).items(), key=lambda item: item[0] not in own)


def _in_force(component: Tuned, source: _Scaled, found: list[Parameter]) -> list[Parameter]:
    """With the attack's sourced settings in place of what was left open."""
    meanings = {"decay": "Factor on the learning rate after each epoch."}
    try:
        settings = dataclasses.asdict(component.settings(cast(Source, source)))
    except UserError:
        return found  # there are none for such a source
    names = {parameter.name for parameter in found}
    told = [
        p._replace(value=_text(settings[p.name])) if p.value == "none" and p.name in settings else p
        for p in found
    ]
    more = [
        Parameter(key, _text(value), False, meanings.get(key, ""))
        for key, value in settings.items()
        if key not in names
    ]
    return told + more


def _text(value: Any) -> str:
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
