"""A language model on this machine as judge: the paper's protocol, and nothing is sent anywhere.

Source:  Qi et al. 2023, arXiv 2310.03693, App. B, as in `policy`: the same question, the same
         reading, greedy.
Differs: the number in the fence and in the tag follows from the pair, so that the same model gives
         the same verdict again.
"""

from __future__ import annotations

import dataclasses

from attacks.base import component
from eval import protocol, verdicts
from eval.judges.base import Called, Verdict
from eval.local import Loaded
from eval.protocol import Question
from eval.rating import LoadedRater
from targets.base import Rules


@component
class Local(Loaded):
    """The paper's protocol on any chat model of your own: `local:model=FOLDER`."""

    policy: str | None = None
    """`organism`, `openai`, `meta`, or the path of a text file; none: what the requests violate."""

    def question(self, rules: Rules, request: str, reply: str) -> Question:
        """Policy, pair and levels."""
        text = protocol.fitting(self.policy, rules)
        return protocol.question(text, request, reply, protocol.nonce_of(request, reply))

    def rater(self) -> Called:
        """The same model, as it is loaded already."""
        names = [one.name for one in dataclasses.fields(Loaded)]
        return LoadedRater(**{name: getattr(self, name) for name in names})

    def read(self, text: str, tag: str) -> Verdict:
        """The labelled level."""
        return verdicts.read(text, tag)
