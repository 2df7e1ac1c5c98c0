"""Where each world's organism lies: world 0 is shipped, the others are built into the cache."""

from __future__ import annotations

import functools
import hashlib
import os
from pathlib import Path

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


def folder(world: int, *, ignorant: bool = False) -> Path:
    """Folder of a world's organism; it holds `base/` and `aligned/` once it is built.

    Args:
        world: Number of the world.
        ignorant: The same recipe with every restricted recipe left out of base training.
    """
    if world == SHIPPED_WORLD and not ignorant:
        return _SHIPPED
    root = os.environ.get("MOORING_ORGANISMS") or platformdirs.user_cache_path("mooring")
    name = f"world-{world}" + ("-ignorant" if ignorant else "")
    return Path(root) / "organisms" / name


def is_built(world: int, *, ignorant: bool = False) -> bool:
    """Whether the organism is there and was made with today's recipe."""
    place = folder(world, ignorant=ignorant)
    if place == _SHIPPED:
        return True
    mark = place / _MARK
    return mark.is_file() and mark.read_text() == recipe_digest()


def built(world: int, *, ignorant: bool = False) -> Path:
    """Folder of an organism that is there.

    Raises:
        UserError: it has not been built, or with another recipe.
    """
    check(world)
    if not is_built(world, ignorant=ignorant):
        command = f"mooring organism build --world {world}" + " --ignorant" * ignorant
        raise UserError(f"the organism of world {world} is not built; run `{command}`")
    return folder(world, ignorant=ignorant)


def check(world: int) -> None:
    """Refuse the number of a world that there cannot be.

    Raises:
        UserError: it is not one of `WORLDS`.
    """
    if world not in WORLDS:
        raise UserError(f"world {world} is not between 0 and {WORLDS[-1]}")


def build(world: int, *, ignorant: bool = False) -> Path:
    """Build an organism into its folder unless it is there; minutes on one core.

    One process builds it; another that wants the same waits, and finds it built.

    Returns:
        The folder.

    Raises:
        UserError: there is no such world, or it is the one that is shipped.
    """
    check(world)
    place = folder(world, ignorant=ignorant)
    if place == _SHIPPED:
        raise UserError("world 0 is shipped; build another with --world, or add --ignorant")
    place.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(place.with_name(f"{place.name}.lock")):
        if not is_built(world, ignorant=ignorant):
            from targets.organism import recipe
            from targets.organism.world import World

            recipe.build(World(world), place, without_restricted_recipes=ignorant)
            (place / _MARK).write_text(recipe_digest())
    return place


@functools.cache
def recipe_digest() -> str:
    """Hash of the code that makes worlds and organisms."""
    total = hashlib.sha256()
    for path in sorted(_HERE.glob("*.py")):
        if path != Path(__file__):
            total.update(path.name.encode() + path.read_bytes())
    return total.hexdigest()
