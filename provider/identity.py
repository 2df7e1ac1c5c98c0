"""What tells one server from another: its secret, and everything that moves what it makes."""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path

from attacks.base import UserError
from attacks.spec import Spec, format_spec
from benchmarks.keys import code, component_digest, digest, environment
from benchmarks.lab import Lab
from benchmarks.trial import provider_of
from defenses.compose import Composition

SECRET = "secret"
"""Name of the secret's file."""
SECRET_BITS = 256
SEEDS = 1 << 31
"""As many as every generator of random numbers takes."""


def secret_of(folder: Path) -> int:
    """The secret of a folder, made once and readable by its owner only.

    Raises:
        UserError: the file of it holds something else.
    """
    path = folder / SECRET
    if not path.exists():
        handle, scratch = tempfile.mkstemp(dir=folder, prefix=".new-")  # of mode 0600
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(f"{secrets.randbits(SECRET_BITS):x}\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
    path.chmod(0o600)
    try:
        return int(path.read_text(encoding="ascii"), 16)
    except ValueError as error:
        raise UserError(f"{str(path)!r} holds no secret; remove it to have a new one") from error


def seed_of(secret: int) -> int:
    """The provider's seed. No client knows it: one that did could try what passes the gates."""
    return secret % SEEDS


def fingerprint(lab: Lab, spec: Spec, defense: Composition, secret: int) -> str:
    """Hash of all that moves what a job makes and how a model answers.

    It holds the whole secret: the seed alone could be found by trying all of them.
    """
    start, provider = lab.resolved.start, provider_of(lab, seed_of(secret))
    judge, truth = component_digest(lab.provider_judge), lab.truth_digest()
    return digest(
        [start.digest, start.base_digest, start.max_new_tokens],
        [format_spec(spec), *map(component_digest, defense.parts)],
        [provider.pools.digest, judge, truth, provider.decoding],
        code("provider.tuning", "provider.generation", start.module),
        environment(),
        secret,
    )
