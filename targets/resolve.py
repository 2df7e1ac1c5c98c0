"""From the words of a command line to a checkpoint and the texts around it."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from attacks.base import UserError
from targets import hub
from targets.base import Domain, Start, Truth
from targets.checkpoint import Checkpoint
from targets.endpoint import PREFIX, Endpoint, endpoint

if TYPE_CHECKING:
    from targets.launch import Processes

PAPERS_REPLY = 512
"""Tokens of the longest reply in the paper's code, for a model asked about one's own sets."""
LONGEST_REPLY = 64
"""Tokens; the organism's longest replies have about 45.  # ours: measured on its corpus"""


class Resolved(NamedTuple):
    """A target, ready to be keyed and, later, loaded."""

    start: Start
    domain: Domain
    truth: Truth | None
    """What is really so, where it is known."""
    judge: str
    """Default judge; empty where the user must choose."""
    policy: str = "organism"
    """Name of the policy that the domain's requests violate."""


def resolve(text: str, data: str | None = None, processes: Processes | None = None) -> Resolved:
    """A target by name, with the texts of its world, or with the user's own.

    `organism` is the shipped one, `organism:3` that of world 3, `organism:3:base` its unaligned
    base, `organism:3:ignorant` one that never read a restricted recipe, `organism:3:alignment-1`
    one aligned with another seed. `hf:OWNER/NAME` is a model on the Hub, `openai:NAME` one behind a
    server (`openai:NAME@http://...` behind that one), anything else the folder of a model; all are
    asked about world 0.

    Args:
        text: The target.
        data: The path of a file that names the user's own sets (`targets.datafile`), in place of
            any world; what is really so is not known then, and no judge is the target's own.
        processes: Who shares each training; None for one process.

    Raises:
        UserError: there is no such target, its texts cannot be read, or its trainings cannot be
            shared.
    """
    found = _resolved(text)
    if processes is not None:
        if found.judge:  # no other comes with one
            raise UserError(
                f"--processes: {text!r} is tuned by one process, in a second or two, and its "
                "numbers are that one's; leave it out"
            )
        found = found._replace(start=found.start.shared(processes))
    if data is None:
        return found
    from targets.roles import load
    from targets.texts import Texts

    held = load(Path(data))
    if isinstance(found.start, Endpoint):  # the invented world's short replies are not asked for
        found = found._replace(start=dataclasses.replace(found.start, max_new_tokens=PAPERS_REPLY))
    return Resolved(found.start, Texts(held), truth=None, judge="", policy=held.policy)


def _resolved(text: str) -> Resolved:
    from targets.organism import places
    from targets.organism.world import World

    name = re.fullmatch(r"organism(?::(\d+))?(?::(base|ignorant|alignment-(\d+)))?", text)
    if name:
        number, variant = int(name[1] or places.SHIPPED_WORLD), name[2]
        place = places.Organism(number, variant == "ignorant", int(name[3] or 0)).built()
        folder = place / ("base" if variant == "base" else "aligned")
        start = Checkpoint(text, folder, place / "base", LONGEST_REPLY)
        return Resolved(start, World(number), World(number), "oracle")
    if text.startswith(PREFIX):
        return Resolved(endpoint(text, LONGEST_REPLY), World(0), World(0), "")
    if text.startswith(hub.PREFIX):
        return Resolved(hub.model(text), World(0), World(0), "")
    if not Path(text).is_dir():
        raise UserError(
            f"unknown target {text!r}. Give 'organism', the folder of a model with a chat "
            f"template, {hub.PREFIX}OWNER/NAME for one on the Hub, or {PREFIX}NAME for one behind "
            "a server"
        )
    return Resolved(Checkpoint(text, Path(text)), World(0), World(0), "")
