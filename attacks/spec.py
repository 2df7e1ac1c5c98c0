"""The grammar of `a:x=1+b`: how attacks, defenses and judges are named on a command line.

mix                     a component with its defaults
mix:n=50,static=false   with parameters
mix:50                  the first parameter may go without its name
mix:n=0,10,50           a sweep: three components
moderate+mix            a composition, applied from left to right
./mine.py:x=1           a component in a file of your own
file:"a, b.jsonl"       a value with , + : = or a quote in it is a JSON string
"""

from __future__ import annotations

import functools
import itertools
import json
import re
from collections.abc import Mapping
from typing import NamedTuple

import lark

from attacks.base import UserError

GRAMMAR = r"""
    spec: part ("+" part)*
    part: NAME (":" arg ("," arg)*)?
    arg: [KEY] (STRING | WORD)
    NAME: /[A-Za-z_][\w-]*(?![\w\/.\\])|[^:+,="]+\.py/
    KEY.2: /[A-Za-z_]\w*=/
    STRING.2: /"(\\.|[^"\\])*"/
    WORD: /([^,+:="]|(?<=[eE])\+(?=\d))+/
"""


class Part(NamedTuple):
    """One component by name, with the parameters given; values are still text."""

    name: str
    params: Mapping[str, str]

    def __str__(self) -> str:
        given = ",".join(
            f"{key}={_quoted(value)}" if key else _quoted(value)
            for key, value in self.params.items()
        )
        return f"{self.name}:{given}" if given else self.name


Spec = tuple[Part, ...]

POSITIONAL = ""
"""Key of a value given without one: the component's first parameter."""


def parse(text: str) -> list[Spec]:
    """Every composition that `text` names: one, or one for each point of its sweeps.

    Raises:
        UserError: `text` does not follow the grammar.
    """
    try:
        tree = _parser().parse(text.strip())
    except lark.UnexpectedInput as error:
        column = getattr(error, "column", "?")
        raise UserError(
            f"cannot read {text!r} at column {column}. "
            "Write name, name:param=value,param=value, or a+b; quote a value that holds , + : or ="
        ) from error
    return [tuple(parts) for parts in itertools.product(*map(_expand, tree.children))]


def format_spec(spec: Spec) -> str:
    """The text that `parse` reads back as `spec`."""
    return "+".join(map(str, spec))


@functools.cache
def _parser() -> lark.Lark:
    return lark.Lark(GRAMMAR, start="spec", parser="lalr")


def _expand(tree: lark.Tree[lark.Token] | lark.Token) -> list[Part]:
    """The parts that one written part stands for."""
    assert isinstance(tree, lark.Tree)
    name, *args = tree.children
    values: dict[str, list[str]] = {}
    key = POSITIONAL
    for arg in args:
        given, text = arg.children  # type: ignore[union-attr]
        if given is not None:
            key = str(given)[:-1]
            if key in values:
                raise UserError(f"{name}: parameter {key!r} is given twice")
        values.setdefault(key, []).append(_unquoted(str(text)))
    points = itertools.product(*values.values())
    return [Part(str(name), dict(zip(values, point, strict=True))) for point in points]


def _unquoted(text: str) -> str:
    if not text.startswith('"'):
        return text.strip()
    try:
        return str(json.loads(text))
    except ValueError as error:
        raise UserError(
            f"cannot read {text}: within quotes, write a backslash twice, as in a JSON string"
        ) from error


def _quoted(value: str) -> str:
    """`value` as it stands in a spec; quoted when it could be read as something else."""
    plain = re.fullmatch(r'[^,+:="\s]([^,+:="]*[^,+:="\s])?', value)
    return value if plain else json.dumps(value)
