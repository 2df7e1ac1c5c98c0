"""Which names of a matrix are one component at several doses. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from attacks.base import UserError
from attacks.spec import POSITIONAL, Part, Spec, format_spec, parse


class Sweep(NamedTuple):
    """One component whose one numeric parameter varies."""

    name: str
    """What stays the same: `mix`, `cap+mix:order=interleaved`."""
    parameter: str
    """The parameter that varies; empty where it was given without its name."""
    points: list[tuple[float, str]]
    """Dose and the name it has in the matrix, by rising dose; two at least."""


def find(names: Sequence[str]) -> list[Sweep]:
    """The sweeps among names, in the order in which they begin."""
    groups: dict[tuple[str, int, str], dict[float, str]] = {}
    for name in names:
        for rest, place, parameter, dose in _readings(name):
            groups.setdefault((rest, place, parameter), {}).setdefault(dose, name)
    return [
        Sweep(rest, parameter, sorted(points.items()))
        for (rest, _, parameter), points in groups.items()
        if len(points) > 1
    ]


def _readings(name: str) -> list[tuple[str, int, str, float]]:
    """Every way to see a name as a dose of something: what is left, where, parameter, dose."""
    try:
        (spec,) = parse(name)
    except (UserError, ValueError):
        return []  # a name from elsewhere that is no spec: it is in no sweep
    return [
        (_without(spec, place, parameter), place, parameter, dose)
        for place, part in enumerate(spec)
        for parameter, text in part.params.items()
        if (dose := _number(text)) is not None
    ]


def _without(spec: Spec, place: int, parameter: str) -> str:
    kept = {key: text for key, text in spec[place].params.items() if key != parameter}
    parts = [*spec[:place], Part(spec[place].name, kept), *spec[place + 1 :]]
    return format_spec(tuple(parts))


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None


def axis_label(sweep: Sweep) -> str:
    """What the doses are: `mix: n`."""
    return f"{sweep.name}: {sweep.parameter}" if sweep.parameter != POSITIONAL else sweep.name
