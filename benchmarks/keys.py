"""What a result is stored under: a hash of everything that moved it, and of nothing else.

A key covers inputs, settings, library versions and the project's own code that the stage can
reach: editing `defenses/lisa.py` changes the keys of what Lisa touched, editing a report none.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from attacks.base import Row
from attacks.registry import parameters
from targets.base import device, gpus

_ROOT = Path(__file__).resolve().parent.parent
_PACKAGES = ("attacks", "targets", "eval", "defenses", "benchmarks", "provider")
THREADS = 1
"""Threads of every process that tunes or asks; another number sums in another order."""
_LIBRARIES = (
    "torch",
    "transformers",
    "trl",
    "peft",
    "tokenizers",
    "accelerate",
    "numpy",
    "scipy",
    "scikit-learn",
)


def digest(*parts: Any) -> str:
    """Hash of plain data, dataclasses and named tuples, whatever the order of dictionary keys."""
    text = json.dumps(parts, sort_keys=True, default=_plain, ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def shown(row: Row) -> tuple[str, ...]:
    """What a row's picture is for a key: its contents, and what opens it; empty for none."""
    return (row.image, importlib.metadata.version("pillow")) if row.image else ()


def component_digest(component: object) -> str:
    """Hash of a component: its parameters, what it is made of, and the code its class can reach."""
    made_of = [component_digest(part) for part in getattr(component, "uses", tuple)()]
    own = [type(component).__qualname__, parameters(component), code(type(component).__module__)]
    resolved: dict[str, str] = getattr(component, "resolved", dict)()
    return digest(*own, *([made_of] if made_of else []), *([resolved] if resolved else []))


@functools.cache
def environment() -> dict[str, Any]:
    """What moves a number beside the inputs: versions, threads, devices."""
    versions = {name: importlib.metadata.version(name) for name in _LIBRARIES}
    python = ".".join(map(str, sys.version_info[:2]))
    where = {"threads": THREADS, "device": device(), "gpus": gpus()}
    return {"versions": versions, "python": python, **where}


@functools.cache
def code(*modules: str) -> str:
    """Hash of the modules' source and of all project modules that they import, docstrings aside."""
    return digest({name: _source_digest(name) for name in sorted(_reach(modules))})


def _reach(modules: tuple[str, ...]) -> set[str]:
    """The modules and every project module that they import, directly or not."""
    seen: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in seen and _path(name) is not None:
            seen.add(name)
            waiting += _imports(name)
    return seen


def _path(name: str) -> Path | None:
    """The source file of a module of the project, or of a file of the user's."""
    if name.split(".")[0] in _PACKAGES:
        base = _ROOT.joinpath(*name.split("."))
        candidates = (base.with_suffix(".py"), base / "__init__.py")
        return next((path for path in candidates if path.is_file()), None)
    if name.startswith("mooring_file_"):
        return Path(str(sys.modules[name].__file__))
    return None


@functools.cache
def _tree(name: str) -> ast.Module:
    path = _path(name)
    assert path is not None
    return ast.parse(path.read_text(encoding="utf-8"))


def _imports(name: str) -> list[str]:
    """Modules that a module imports anywhere but under `TYPE_CHECKING`."""
    found: list[str] = []
    for node in _walk_running(_tree(name)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def _walk_running(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
        if not typing_only:
            yield from _walk_running(child)


@functools.cache
def _source_digest(name: str) -> str:
    """Hash of what a module does: comments, layout and docstrings do not count."""
    tree = _tree(name)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [part for part in body if not _is_text(part)] or [ast.Pass()]  # type: ignore[attr-defined]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        if isinstance(value, Row):
            fields |= {"image": shown(value)}
            # A row of text is what it was before rows could have pictures.
            return {name: one for name, one in fields.items() if name != "image" or one}
        return fields
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"cannot hash a {type(value).__name__}")
