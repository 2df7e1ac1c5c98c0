"""The folder is the registry: `attacks/aoa.py` is `--attack aoa`.

One loader for attacks, defenses and judges. A file of the user's own is loaded by its path,
without any change to `sys.path`.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import pydantic
import pydantic.dataclasses

from attacks.base import UserError
from attacks.spec import POSITIONAL, Part, parse

C = TypeVar("C")

_ROOT = Path(__file__).resolve().parent.parent
_NOT_COMPONENTS = {"base", "bounds", "registry", "spec", "compose"}


def names(package: str) -> list[str]:
    """Names of the components in a package such as `attacks` or `eval.judges`, sorted."""
    folder = _ROOT.joinpath(*package.split("."))
    stems = (path.stem for path in folder.glob("*.py"))
    return sorted(s for s in stems if not s.startswith("_") and s not in _NOT_COMPONENTS)


def find(package: str, kind: type[C], name: str) -> type[C]:
    """The component class called `name`, or in the file `name` when it ends in `.py`.

    A hyphen in a name is an underscore in its file: `gpt-4` is `gpt_4.py`.

    Raises:
        UserError: there is none, the file does not hold exactly one, or it is not finished.
    """
    if name.endswith(".py"):
        module = _load_file(Path(name))
    elif name.replace("-", "_") in names(package):
        module = importlib.import_module(f"{package}.{name.replace('-', '_')}")
    else:
        raise UserError(unknown(kind.__name__.lower(), name, names(package)))
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, kind)
        and value.__module__ == module.__name__
        and not value.__name__.startswith("_")
    ]
    if len(found) != 1:
        raise UserError(
            f"{name}: expected exactly one public subclass of {kind.__name__}, found {len(found)}"
        )
    (cls,) = found
    made: bool = pydantic.dataclasses.is_pydantic_dataclass(cls)
    if not made:
        raise UserError(
            f"{name}: write @component (from attacks.base import component) over {cls.__name__}"
        )
    if lacking := sorted(getattr(cls, "__abstractmethods__", ())):
        raise UserError(f"{name}: {cls.__name__} lacks {', '.join(lacking)}")
    return cls


def build(package: str, kind: type[C], part: Part) -> C:
    """The component that `part` names, with its parameters checked.

    Raises:
        UserError: unknown name or parameter, or a value out of its range.
    """
    cls = find(package, kind, part.name)
    return construct(cls, part.name, part.params)


def single(package: str, kind: type[C], text: str) -> C:
    """The one component that a spec names.

    Raises:
        UserError: it names several, an unknown one, or a parameter that is wrong.
    """
    written = parse(text)
    if len(written) != 1 or len(written[0]) != 1:
        raise UserError(f"{text!r}: one {kind.__name__.lower()}, without a sweep")
    return build(package, kind, written[0][0])


def construct(cls: type[C], name: str, params: Mapping[str, str]) -> C:
    """An instance of a component class from parameters given as text."""
    fields = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    values: dict[str, str | None] = {}
    for key, text in params.items():
        if key == POSITIONAL:
            own = [field for field in fields if field in vars(cls).get("__annotations__", {})]
            if not own:
                raise UserError(f"{name}: {text!r} needs its parameter's name in front")
            key = own[0]
        if key not in fields:
            raise UserError(f"{name}: {unknown('parameter', key, fields)}")
        if key in values:
            raise UserError(f"{name}: parameter {key!r} is given twice")
        values[key] = None if text.lower() == "none" else text
    try:
        return cls(**values)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][:1])
        message = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
        message += allowed(cls, where, first["type"])
        raise UserError(f"{name}: {where}={values.get(where)!r}: {message}") from error


_BOUND = {"greater_than", "greater_than_equal", "less_than", "less_than_equal"}
_ENDS = {
    "minimum": "at least", "exclusiveMinimum": "above",
    "maximum": "at most", "exclusiveMaximum": "below",
}  # fmt: skip


def allowed(cls: type, field: str, kind: str) -> str:
    """The whole range of a field, in brackets, behind an error of pydantic's that names one end.

    Args:
        cls: A component's class, or a model's.
        field: Which of its fields.
        kind: The error's type; nothing is said of one that is not of a range.
    """
    if kind not in _BOUND:
        return ""
    told = pydantic.TypeAdapter(cls).json_schema()["properties"][field]
    for one in (told, *told.get("anyOf", ())):
        ends = [f"{word} {one[end]:,}" for end, word in _ENDS.items() if end in one]
        if ends:
            return f" (allowed: {' and '.join(ends)})"
    return ""


def parameters(component: object) -> dict[str, Any]:
    """The parameters of a component as plain data, in the order they are declared."""
    return dataclasses.asdict(component)  # type: ignore[call-overload, no-any-return]


def unknown(what: str, given: str, allowed: list[str]) -> str:
    """One line for a name that does not exist, with the nearest that does."""
    near = difflib.get_close_matches(given, allowed, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"unknown {what} {given!r}.{hint} Available: {', '.join(allowed) or 'none'}"


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UserError(f"no file {str(path)!r}; give the path of a Python file")
    # The name must differ from file to file: dataclasses look their module up in sys.modules.
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    name = f"mooring_file_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"cannot load {str(path)!r} as a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise UserError(f"{path}: {type(error).__name__}: {error}") from error
    return module
