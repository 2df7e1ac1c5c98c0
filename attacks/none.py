"""No attack: the model as the provider ships it, asked in its own default prompt."""

from __future__ import annotations

from attacks.base import Ask, Attack, Source, Upload, component


@component
class NoAttack(Attack):
    """Nothing is uploaded: the untuned model, asked in its default prompt."""

    benign = True

    def upload(self, source: Source, seed: int) -> Upload | None:
        """Nothing."""
        return None

    def asks(self) -> tuple[Ask, ...]:
        """The default prompt of the target."""
        return (Ask("plain"),)
