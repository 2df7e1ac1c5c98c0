"""No defense: the undefended row of every matrix."""

from __future__ import annotations

from attacks.base import component
from defenses.base import Defense


@component
class NoDefense(Defense):
    """The provider trains on what it is given and serves what comes out."""
