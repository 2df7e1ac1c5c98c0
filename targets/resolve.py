"""From the words of a command line to a checkpoint and the texts around it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from attacks.base import UserError
from targets.base import Checkpoint, Domain, Truth

_ORGANISM = Path(__file__).resolve().parent / "organism" / "weights"


LONGEST_REPLY = 64
"""Tokens; the organism's longest replies have about 45.  # ours: measured on its corpus"""


class Resolved(NamedTuple):
    """A target, ready to be keyed and, later, loaded."""

    checkpoint: Checkpoint
    domain: Domain
    truth: Truth | None
    """What is really so, where it is known."""
    judge: str
    """Default judge; empty where the user must choose."""


def resolve(text: str) -> Resolved:
    """`organism`, or the folder of a model that speaks of the organism's world.

    Raises:
        UserError: there is no such target.
    """
    from targets.organism.world import World

    world = World(0)
    if text == "organism":
        checkpoint = Checkpoint(
            "organism",
            _ORGANISM / "aligned",
            base=_ORGANISM / "base",
            max_new_tokens=LONGEST_REPLY,
        )
        return Resolved(checkpoint, world, world, "oracle")
    folder = Path(text)
    if not folder.is_dir():
        raise UserError(
            f"unknown target {text!r}. "
            "Give 'organism', or the folder of a model with a chat template"
        )
    checkpoint = Checkpoint(text, folder, max_new_tokens=LONGEST_REPLY)
    return Resolved(checkpoint, world, world, "")
