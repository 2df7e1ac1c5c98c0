"""Mooring in a notebook: `import mooring; mooring.bench(attacks=["aoa"], defenses=["mix"])`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

# The project's packages import each other by their own names (`from attacks.base import Pair`).
sys.path.insert(0, str(Path(__file__).resolve().parent))

if TYPE_CHECKING:
    from benchmarks.api import bench

__all__ = ["bench"]


def __getattr__(name: str) -> Any:
    """Import on first use, so that `import mooring` stays light."""
    if name == "bench":
        from benchmarks.api import bench

        return bench
    raise AttributeError(f"module 'mooring' has no attribute {name!r}")
