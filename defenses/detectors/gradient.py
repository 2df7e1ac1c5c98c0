"""Gradient matching: rows that pull the weights where the provider's harmful rows would.

Threat:   harmful rows, and harmless ones that undo alignment all the same.
Source:   He et al. 2024, arXiv 2404.01099, §3: cosine of a row's gradient on its first ten reply
          tokens to the mean gradient of harmful anchors minus that of safe ones.
Differs:  gradients of the last layers' matrices instead of all, each scaled to length one; no
          projection is needed, since no anchor's gradient is kept but their mean.
Breaks:   uploads with no harmful row (identity shift); rows whose first tokens are harmless (an
          opening of fixed words); a share of one harmful row in a hundred, which is lost among
          the highest rows and among those that are not drawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import pydantic

from attacks.base import Upload, UserError, component
from defenses.base import Need, Provider
from defenses.detectors.base import Detector, Finding, Reading, chats_of

if TYPE_CHECKING:
    from torch import Tensor

FINDINGS = 20
"""Rows pointed at.  # ours: what a person would look at"""


@component
class Gradient(Detector):
    """Compares where each row pulls the model with where the provider's harmful rows would."""

    tokens: Annotated[int, pydantic.Field(ge=1)] = 10
    """First reply tokens whose loss is taken (He et al. 2024, §3: ten)."""
    layers: Annotated[int, pydantic.Field(ge=1)] = 1
    """Last layers whose matrices are read.  # ours: one is a fifth of the organism"""
    anchors: Annotated[int, pydantic.Field(ge=1)] = 44
    """Provider's rows of each kind.  # ours: four of each of eleven kinds"""
    share: Annotated[float, pydantic.Field(gt=0, le=1)] = 0.1
    """Share of the rows, the highest, whose mean is the upload's score.  # ours: single rows are
    noisy"""
    rows: Annotated[int, pydantic.Field(ge=1)] = 60
    """Rows that are read, drawn from larger uploads.  # ours: what its share was swept with"""

    def needs(self) -> frozenset[Need]:
        """Weights: gradients are taken."""
        return frozenset({"weights"})

    def read(self, upload: Upload, provider: Provider) -> Reading:
        """The mean cosine of the highest rows to the anchors' difference, from -1 to 1."""
        from eval.anchors import kept, rows_of, sample, top_mean
        from eval.internals import Gradients, local

        start = local(provider.start(), "gradient")
        gradients = Gradients(start, self.tokens, self.layers)
        pools, seed, n = provider.pools, provider.seed, self.anchors
        key = ("gradient", pools.digest, seed, n, self.tokens, self.layers)

        def direction() -> Tensor:
            from torch.nn.functional import normalize

            harmful, safe = pools.provider_harmful(n, seed), pools.safety(n, seed)
            means = [gradients.mean(rows_of(pairs)) for pairs in (harmful, safe)]
            return normalize(means[0] - means[1], dim=0)

        toward = kept(start.model, key, direction)
        chats = chats_of(upload)
        drawn = sample(chats, self.rows, seed)
        try:
            scores = {i: float(gradients.of(chats[i]) @ toward) for i in drawn}
        except UserError:
            return Reading(None, reason="a row does not fit the model")
        near = sorted(scores, key=lambda i: (-scores[i], chats[i]))
        findings = tuple(
            Finding("pulls-towards-harm", i, score=scores[i])
            for i in near[:FINDINGS]
            if scores[i] > 0
        )
        evidence = {
            "rows read": len(drawn),
            "highest": scores[near[0]],
            "mean": sum(sorted(scores.values())) / len(scores),
        }
        score = top_mean(list(scores.values()), self.share)
        # A backward pass costs about two forward ones. The anchors' are taken once for a model, and
        # are no upload's cost.
        return Reading(score, evidence, findings, passes=3 * len(drawn))
