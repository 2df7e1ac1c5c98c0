"""Revert to start: refuse every upload. The control that every gate must beat.

Source:  ours. A gate that refuses everything has perfect safety and no customers; this row is
         also the untuned model, asked as each attack asks.
"""

from __future__ import annotations

from attacks.base import Upload, component
from defenses.base import Decision, Defense, Provider


@component
class Revert(Defense):
    """Refuses every upload, so the customer keeps the untuned model (a control)."""

    def screen(self, upload: Upload, provider: Provider) -> Decision:
        """Refused, whatever it is."""
        return Decision("refuse", reason="every upload is refused")
