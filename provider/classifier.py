"""The provider's word classifier, in memory."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from attacks.base import Chat, Message
from defenses.base import Provider
from defenses.moderate import Moderate, probabilities

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


class Moderator:
    """The classifier, fitted when it is first asked."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._model: Pipeline | None = None
        self._lock = threading.Lock()

    def scores(self, texts: list[str]) -> list[float]:
        """How likely each text is a violation."""
        chats: list[Chat] = [(Message("user", text),) for text in texts]
        if not chats:
            return []
        with self._lock:
            self._model = self._model or Moderate().fitted(self._provider)
            return [float(p) for p in probabilities(self._model, chats)]
