"""Whether a classifier can tell the upload from the provider's own harmless rows.

Source:  classifier two-sample tests (Lopez-Paz & Oquab 2017, arXiv 1610.06545): held-out accuracy
         above chance is a difference of distributions. The area under the ROC curve stands for the
         accuracy, so that sizes need not be equal; its p-value is Mann and Whitney's.
Differs: logistic regression on hashed parts of words, five folds.
Breaks:  any upload in the words of the provider's rows. A difference is no harm: an honest customer
         with a domain of their own is as easily told apart, so that it says little by itself.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Annotated

import pydantic

from attacks.base import Upload, component
from defenses.base import Provider
from defenses.detectors.base import Detector, Reading, chats_of
from eval.moderators.base import said


@component
class TwoSample(Detector):
    """Area under the ROC curve of a classifier: this upload, or the provider's harmless rows."""

    n: Annotated[int, pydantic.Field(ge=10)] = 300
    """Most rows of either side.  # ours: an area is then known to within three points"""
    folds: Annotated[int, pydantic.Field(ge=2)] = 5
    """Parts, each of which is held out once.  # ours: the usual number"""

    def read(self, upload: Upload, provider: Provider) -> Reading:
        """The held-out area, 0.5 where nothing tells the two apart."""
        from scipy.stats import mannwhitneyu

        chats = chats_of(upload)
        texts = {row: said(chat) for row, chat in chats.items()}
        drawn = sorted(set(texts.values()))
        random.Random(f"two sample/{provider.seed}").shuffle(drawn)
        theirs = drawn[: self.n]
        ours = ["\n".join(p) for p in provider.pools.provider_benign(self.n, provider.seed)]
        evidence = {"rows read": len(theirs), "reference": len(ours)}
        if len(theirs) < self.folds:
            return Reading(None, evidence, reason="too few different rows to hold some out")
        scores = self._held_out([*theirs, *ours], len(theirs))
        found = mannwhitneyu(scores[: len(theirs)], scores[len(theirs) :], alternative="greater")
        area = float(found.statistic) / (len(theirs) * len(ours))
        evidence |= {"area": area, "p": float(found.pvalue)}
        likely = dict(zip(theirs, scores, strict=False))
        return Reading(area, evidence)

    def _held_out(self, texts: Sequence[str], theirs: int) -> list[float]:
        """How surely each text is the customer's, by a classifier that has not seen it."""
        from sklearn.feature_extraction.text import HashingVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import StratifiedKFold, cross_val_predict
        from sklearn.pipeline import make_pipeline

        labels = [1] * theirs + [0] * (len(texts) - theirs)
        parts = HashingVectorizer(n_features=2**16, analyzer="char_wb", ngram_range=(2, 4))
        model = make_pipeline(parts, LogisticRegression(class_weight="balanced", max_iter=1000))
        folds = StratifiedKFold(self.folds)
        found = cross_val_predict(model, list(texts), labels, cv=folds, method="decision_function")
        return [float(one) for one in found]
