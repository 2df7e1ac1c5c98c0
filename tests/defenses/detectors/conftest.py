"""Uploads with something planted in them, and the detectors' provider without any model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from attacks.base import Ask, Pair, Settings, Upload
from defenses.base import Provider
from targets.base import Decoding
from targets.organism.world import World

SETTINGS = Settings(epochs=1, batch_size=10, learning_rate=1e-4)


@pytest.fixture(scope="session")
def written() -> Callable[..., Upload]:
    """Uploads of given pairs, all asked in one way."""

    def make(
        pairs: Sequence[tuple[str, str]],
        *,
        system: str | None = None,
        before: str = "",
        after: str = "",
        opening: str = "",
    ) -> Upload:
        ask = Ask("plain", system=system, before=before, after=after)
        rows = tuple(ask.row(Pair(prompt, opening + reply)) for prompt, reply in pairs)
        return Upload(rows, SETTINGS)

    return make


@pytest.fixture(scope="session")
def owner(world: World) -> Provider:
    """A provider whose models are not to be asked."""

    def never(*_: object) -> object:
        raise AssertionError("a dataset test asked a model")

    return Provider(world, never, never, never, never, Decoding(), seed=0)  # type: ignore[arg-type]
