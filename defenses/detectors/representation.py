"""Representation matching: rows whose states lie near those of the provider's harmful rows.

Threat:   harmful rows, in whatever words and among however many harmless ones.
Source:   He et al. 2024, arXiv 2404.01099, §3 (cosines of hidden states to harmful anchors); LARF
          (arXiv 2507.18631): minus the cosines to safe ones, at a middle layer.
Differs:  mean state of the reply instead of its last token, cosines from the anchors' mean, and
          harmless anchors beside the refusals: on the organism, rows near the harmful anchors and
          far from refusals were most of the harmless ones as well.
Breaks:   uploads with no harmful row (identity shift, benign drift); rows made to match harmless
          states; rows unlike all anchors (other languages, ciphers, talk of who the model is) lie
          anywhere, so that a harmless row of that kind may score high and a harmful one low.
"""

from __future__ import annotations

from typing import Annotated

import pydantic

from attacks.base import Upload, UserError, component
from defenses.base import Need, Provider
from defenses.detectors.base import Detector, Finding, Reading, chats_of
from eval.internals import Place

FINDINGS = 20
"""Rows pointed at.  # ours: what a person would look at"""


@component
class Representation(Detector):
    """Compares what the model makes of each row with what it makes of the provider's own rows."""

    depth: Annotated[float, pydantic.Field(ge=0, le=1)] = 0.5
    """Layer whose states are read; 0 the embeddings, 1 the last.  # ours: half and three quarters
    did best on the organism; LARF finds layers 10 to 14 of 32, the paper takes the last."""
    at: Place = "reply"
    """Whose states: the row's last token (`last`, as the paper), the last before the reply
    (`request`), or the mean over the reply.  # ours: best on the organism"""
    anchors: Annotated[int, pydantic.Field(ge=1)] = 66
    """Provider's rows of each kind.  # ours: six of each of eleven kinds"""
    nearest: Annotated[int, pydantic.Field(ge=1)] = 10
    """Anchors of each kind that a row is compared with, its nearest (LARF: 100).  # ours: 5 to 20
    did alike on the organism"""
    share: Annotated[float, pydantic.Field(gt=0, le=1)] = 0.01
    """Share of the rows, the highest, whose mean is the upload's score.  # ours: at a tenth, one
    harmful row in a hundred was hardly seen"""
    rows: Annotated[int, pydantic.Field(ge=1)] = 300
    """Rows that are read, drawn from larger uploads.  # ours: a third of a second there"""

    def needs(self) -> frozenset[Need]:
        """Weights: states are read."""
        return frozenset({"weights"})

    def read(self, upload: Upload, provider: Provider) -> Reading:
        """How much nearer the highest rows are to harmful anchors than to others, -2 to 2."""
        from eval.anchors import kept, nearness, rows_of, sample, top_mean
        from eval.internals import hidden_states, local

        start = local(provider.start(), "representation")
        pools, seed, n = provider.pools, provider.seed, self.anchors
        key = ("states", pools.digest, seed, n, self.depth, self.at)

        def anchors() -> tuple[object, object]:
            away = [*pools.safety(n, seed), *pools.provider_benign(n, seed)]
            kinds = (rows_of(pools.provider_harmful(n, seed)), rows_of(away))
            harmful, others = (hidden_states(start, k, self.depth, self.at) for k in kinds)
            return harmful, others

        toward, away = kept(start.model, key, anchors)
        chats = chats_of(upload)
        drawn = sample(chats, self.rows, seed)
        try:
            states = hidden_states(start, [chats[i] for i in drawn], self.depth, self.at)
        except UserError:
            return Reading(None, reason="a row does not fit the model")
        scores = dict(zip(drawn, nearness(states, toward, away, self.nearest), strict=True))
        near = sorted(scores, key=lambda i: (-scores[i], chats[i]))
        findings = tuple(
            Finding("near-harmful-anchors", i, score=min(1.0, scores[i]))
            for i in near[:FINDINGS]
            if scores[i] > 0
        )
        evidence = {
            "rows read": len(drawn),
            "highest": scores[near[0]],
            "mean": sum(sorted(scores.values())) / len(scores),
            "rows nearer to harmful anchors": sum(score > 0 for score in scores.values()),
        }
        score = top_mean(list(scores.values()), self.share)
        # The anchors are read once for a model, and are no upload's cost.
        return Reading(score, evidence, findings, passes=len(drawn))
