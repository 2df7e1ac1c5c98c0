"""A gate whose answers follow from the number of rows alone, and uploads of as many rows."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from attacks.base import Message, Row
from defenses.gates.domain import BITS, Domain
from defenses.gates.gate import Combination, Gate
from defenses.gates.scale import Scale
from defenses.gates.ways import Highest
from targets.organism.world import World

SIZES = {"allow": 100, "allow with mitigation": 7, "hold": 5, "reject": 3}
"""Rows of an upload that the gate of the tests answers so."""
BENIGN = (*np.linspace(0.0, 3.6, 396).tolist(), 5.0, 5.1, 5.2, 7.0)


def make_gate(**changed: object) -> Gate:
    """The gate of the tests, with some fields as given."""
    alone = Combination(features=("size",), ways=(Highest(most=1),), benign=BENIGN)
    gate = Gate(
        corpus="0" * 64,
        about="a test",
        target="",
        fitted={},
        bound=(),
        aware=(),
        detectors={"size": "size"},
        scales={"size": Scale(points=(-4.0, -1.0), tail=0.1)},
        combinations={"all": alone, "size": alone},
        domain=Domain(words=base64.b64encode(bytes(BITS // 8)).decode(), limit=1.0),
    )
    return gate.model_copy(update=changed)


def write_rows(path: Path, rows: list[Row]) -> Path:
    """Rows as a training file."""
    lines = [json.dumps({"messages": [m._asdict() for m in row.messages]}) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def gate_file(tmp_path: Path) -> Path:
    """That gate."""
    path = tmp_path / "gate.json"
    path.write_text(make_gate().model_dump_json())
    return path


@pytest.fixture
def make_file(tmp_path: Path, world: World) -> Callable[[int], Path]:
    """Training files of so many ordinary rows."""

    def make(n: int) -> Path:
        pairs = world.benign(n, 0)
        rows = [Row((Message("user", p.prompt), Message("assistant", p.reply))) for p in pairs]
        return write_rows(tmp_path / f"rows-{n}.jsonl", rows)

    return make
