"""The moderation endpoint: thirteen categories, free of charge.

Source:  OpenAI's `POST /v1/moderations`; the paper's uploads went through it (Qi et al. 2023, arXiv
         2310.03693, §5.1: 17 % of a hundred explicitly harmful rows were flagged, of the ten
         identity-shifting rows none).
Differs: the model is a dated one, since scores move with `omni-moderation-latest`; scores are kept
         in place of the endpoint's own flags. It has no category for several kinds that policies
         name (economic harm, fraud, political campaigning, privacy, tailored advice).
Breaks:  rows in which no single text is harmful, ciphers, and kinds that it has no category for:
         of eight strong attacks' rows it flags less than 0.4 % (arXiv 2510.16255).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated

import pydantic

from attacks.base import Chat, component
from eval.moderators.base import Moderator, Owner, Scored, said


@component
class Endpoint(Moderator):
    """Asks a server's moderation endpoint; the texts go to that server."""

    model: str = "omni-moderation-2024-09-26"
    """The dated model, so that scores stay comparable."""
    base_url: str | None = None
    """Where the server is; none: `OPENAI_BASE_URL`, or OpenAI's own. Quote it: it holds a colon."""
    in_flight: Annotated[int, pydantic.Field(ge=1, le=64)] = 8
    """Most requests at a time, of 32 texts each.  # ours: the endpoint allows few a minute."""

    def resolved(self) -> dict[str, str]:
        """The server."""
        return {"server": self.base_url or os.environ.get("OPENAI_BASE_URL", "")}

    def price(self) -> tuple[float, float] | None:
        """Nothing at OpenAI's own; of another server's it is not known."""
        return None if self.resolved()["server"] else (0.0, 0.0)

    def scored(self, chats: Sequence[Chat], owner: Owner) -> list[Scored]:
        """The endpoint's scores by category, not its flags; missing where it gave none."""
        from targets.hosted.moderation import moderated

        texts = [said(chat) for chat in chats]
        seen = moderated(texts, self.model, self.base_url, self.in_flight)
        return [Scored(*one) for one in seen]
