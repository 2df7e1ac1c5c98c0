"""Where each organism lies: world 0's is shipped, the others are built into the cache."""

from __future__ import annotations

import functools
import hashlib
import os
from pathlib import Path
from typing import NamedTuple

import filelock
import platformdirs

from attacks.base import UserError

_HERE = Path(__file__).resolve().parent
_SHIPPED = _HERE / "weights"
_MARK = "made-with.txt"
"""Holds the digest of the code that made a folder."""
SHIPPED_WORLD = 0
WORLDS = range(1000)
"""Worlds that can be built."""


class Organism(NamedTuple):
    """One organism of the family; its folder holds `base/` and `aligned/` once it is built."""

    world: int = SHIPPED_WORLD
    """Number of its world, one of `WORLDS`."""
    ignorant: bool = False
    """The same recipe with every restricted recipe left out of what it reads."""
    alignment_seed: int = 0
    """Seed of its alignment: another one starts from the same base."""

    @property
    def folder(self) -> Path:
        """Where it lies, or will."""
        if self == Organism():
            return _SHIPPED
        root = os.environ.get("MOORING_ORGANISMS") or platformdirs.user_cache_path("mooring")
        name = f"world-{self.world}" + "-ignorant" * self.ignorant
        if self.alignment_seed:
            name += f"-alignment-{self.alignment_seed}"
        return Path(root) / "organisms" / name

    @property
    def is_built(self) -> bool:
        """Whether it is there and was made with today's recipe."""
        if self.folder == _SHIPPED:
            return True
        mark = self.folder / _MARK
        return mark.is_file() and mark.read_text() == recipe_digest()

    def check(self) -> None:
        """Refuse one that there cannot be.

        Raises:
            UserError: the world or the seed is out of range.
        """
        if self.world not in WORLDS:
            raise UserError(f"world {self.world} is not between 0 and {WORLDS[-1]}")
        if self.alignment_seed < 0:
            raise UserError(f"alignment seed {self.alignment_seed} is below 0")

    def built(self) -> Path:
        """Its folder, if it is there.

        Raises:
            UserError: it has not been built, or with another recipe.
        """
        self.check()
        if not self.is_built:
            command = f"mooring organism build --world {self.world}" + " --ignorant" * self.ignorant
            if self.alignment_seed:
                command += f" --alignment-seed {self.alignment_seed}"
            raise UserError(f"the organism of world {self.world} is not built; run `{command}`")
        return self.folder

    def build(self) -> Path:
        """Build it into its folder unless it is there; minutes on one core.

        One process builds it; another that wants the same waits, and finds it built.

        Returns:
            The folder.

        Raises:
            UserError: there cannot be such a one, or it is the one that is shipped.
        """
        self.check()
        if self.folder == _SHIPPED:
            raise UserError(
                "world 0 is shipped; build another with --world, or add --ignorant "
                "or --alignment-seed"
            )
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(self.folder.with_name(f"{self.folder.name}.lock")):
            if not self.is_built:
                made_with = recipe_digest()  # before minutes in which the code may be edited
                mark = self.folder / _MARK
                mark.unlink(missing_ok=True)  # what is there is written over
                _make(self)
                mark.write_text(made_with)
        return self.folder


def _make(one: Organism) -> None:
    """Train it; only what differs from the organism with alignment seed 0."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    from targets.organism import recipe
    from targets.organism.world import World

    if not one.alignment_seed:
        recipe.build(World(one.world), one.folder, without_restricted_recipes=one.ignorant)
        return
    first = one._replace(alignment_seed=0)
    base = (first.folder if first.is_built else first.build()) / "base"
    recipe.realign(
        base,
        one.folder,
        World(one.world),
        one.alignment_seed,
        without_restricted_recipes=one.ignorant,
    )


@functools.cache
def recipe_digest() -> str:
    """Hash of the code that makes worlds and organisms.

    Not of the libraries' versions: a model made with others is as good, and every result is kept
    under the hash of its weights.
    """
    total = hashlib.sha256()
    for path in sorted(_HERE.glob("*.py")):
        if path != Path(__file__):
            total.update(path.name.encode() + path.read_bytes())
    return total.hexdigest()
