"""The moderation endpoint: thirteen categories, free of charge.

Source:  OpenAI's `POST /v1/moderations`; the paper's uploads went through it (Qi et al. 2023, arXiv
         2310.03693, §5.1: 17 % of a hundred explicitly harmful rows were flagged, of the ten
         identity-shifting rows none).
Differs: the model is a dated one, since scores move with `omni-moderation-latest`; scores are kept
         in place of the endpoint's own flags. It has no category for several kinds that policies
         name (economic harm, fraud, political campaigning, privacy, tailored advice).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated

import pydantic

from attacks.base import Chat, component
from eval.moderators.base import Moderator, Scores, said
from targets.base import Pools


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

    def scores(self, chats: Sequence[Chat], pools: Pools, seed: int) -> list[Scores | None]:
        """The endpoint's scores by category; None where it gave none."""
        from targets.hosted.moderation import moderated

        texts = [said(chat) for chat in chats]
        return list(moderated(texts, self.model, self.base_url, self.in_flight))
