"""Whether a run's folder already holds just what would be drawn: drawing takes seconds."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import summary
from benchmarks.keys import code, digest
from benchmarks.report import describe
from benchmarks.results import Matrix, Transcript

STAMP = ".drawn.json"
_TEMPLATES = Path(__file__).resolve().parent / "templates"
_LIBRARIES = ("jinja2", "matplotlib", "numpy", "pandas", "scipy")


def inputs(matrix: Matrix, transcripts: Sequence[Transcript] | None) -> str:
    """Hash of everything that the drawn files follow from."""
    own = matrix.data is not None
    columns = summary.columns(matrix)
    attacks = [describe.attack(c.attack, matrix.target, own_data=own) for c in columns]
    return digest(
        matrix.model_dump(),
        None if transcripts is None else [one.model_dump() for one in transcripts],
        [attacks, [describe.defense(defense) for defense in summary.rows(matrix)]],
        code("benchmarks.report.files"),
        {path.name: _of(path.read_bytes()) for path in sorted(_TEMPLATES.iterdir())},
        {name: importlib.metadata.version(name) for name in _LIBRARIES},
    )


def holds(folder: Path, wanted: str) -> bool:
    """Whether the folder's files were drawn from `wanted` and are as they were drawn."""
    try:
        stamp = json.loads((folder / STAMP).read_bytes())
        files = stamp["files"] if stamp["inputs"] == wanted else None
        return files is not None and all(
            _of((folder / name).read_bytes()) == found for name, found in files.items()
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False  # no stamp, or not one of ours: draw


def make(wanted: str, drawn: Mapping[str, bytes]) -> bytes:
    """The stamp of files drawn from `wanted`."""
    files = {name: _of(content) for name, content in sorted(drawn.items())}
    return json.dumps({"inputs": wanted, "files": files}, indent=0).encode()


def _of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
