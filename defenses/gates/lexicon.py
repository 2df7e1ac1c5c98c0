"""What an upload is about, as a classifier of words fitted with the gate tells it.

Source:   logistic regression on words, the usual baseline of a text classifier, on whole uploads.
Differs:  presence of words and not their number, hashed: a file that says a thing a thousand times
          is about it once, and no text can be read off the weights.
Breaks:   uploads in words that no calibration upload had; hence it is bound to the gate's domain.
          Many other words beside those of an attack: a file is weighed as a whole.
          An honest customer scores high whose subject is that of known attacks.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pydantic

from attacks.base import Upload

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

NAME = "lexicon"
"""Of the feature."""
_WORD = re.compile(r"\w+")
BINS = 2**13
"""Words are hashed into so many bins.  # ours: leaving families out, four times as many told no
more on the organism's corpus"""
PENALTY = 10.0
"""Inverse of the strength of regularisation.  # ours: leaving families out, 62 and 66 % were
detected at 10, 53 and 57 % at 1"""
FOLDS = 5
"""Parts that benign uploads are scored in by what was fitted on the others.  # ours: usual"""


class Lexicon(pydantic.BaseModel):
    """A weight for each bin of words."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    weights: str
    """As little-endian 32-bit floats in base64; finite."""
    intercept: float

    @pydantic.field_validator("weights")
    @classmethod
    def _one_for_each(cls, weights: str) -> str:
        found = np.frombuffer(base64.b64decode(weights, validate=True), dtype="<f4")
        if len(found) != BINS or not np.isfinite(found).all():
            raise ValueError("not one finite number for each bin, in base64")
        return weights

    @classmethod
    def of(cls, uploads: Sequence[Upload], hostile: Sequence[bool]) -> Lexicon:
        """Fitted on labelled uploads, at least one of each kind."""
        return _fitted(_words(uploads), np.array(hostile, dtype=bool))

    def score(self, upload: Upload) -> float:
        """Log-odds that the upload is hostile."""
        return float(self._scores(_words([upload]))[0])

    def _scores(self, words: csr_matrix) -> np.ndarray:
        weights = np.frombuffer(base64.b64decode(self.weights), dtype="<f4").astype(float)
        return np.asarray(words @ weights + self.intercept)


def apart(uploads: Sequence[Upload], families: Sequence[str]) -> list[float]:
    """The score of each upload by a lexicon that was fitted without its like.

    A hostile one's like is its family, since what counts is an upload of a family that was not
    there; a benign one's a fifth of the benign ones. Of a single family, which leaves nothing to
    fit on, it is a fifth too. An empty family is benign.
    """
    words = _words(uploads)
    hostile = np.array([family != "" for family in families], dtype=bool)
    several = len({*families} - {""}) > 1
    parts = [(several and family) or at % FOLDS for at, family in enumerate(families)]
    found = np.full(len(uploads), math.nan)
    for part in dict.fromkeys(parts):
        inside = np.array([one == part for one in parts])
        # Without the other kind there is nothing to fit; those few are scored by the whole.
        rest = ~inside if len(set(hostile[~inside].tolist())) == 2 else np.ones_like(inside)
        found[inside] = _fitted(words[rest], hostile[rest])._scores(words[inside])
    return [float(score) for score in found]


def _fitted(words: csr_matrix, hostile: np.ndarray) -> Lexicon:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=PENALTY, class_weight="balanced", max_iter=1000)
    model.fit(words, hostile)
    weights = base64.b64encode(model.coef_[0].astype("<f4").tobytes()).decode()
    return Lexicon(weights=weights, intercept=float(model.intercept_[0]))


def _words(uploads: Sequence[Upload]) -> csr_matrix:
    from sklearn.feature_extraction.text import HashingVectorizer

    # Sorted and once each: neither the order of rows nor their number moves a sum.
    found = [sorted(_distinct(_said(one))) for one in uploads]
    vectorizer = HashingVectorizer(
        n_features=BINS, alternate_sign=False, binary=True, analyzer=list
    )
    return vectorizer.transform(found)


def _distinct(texts: Iterable[str]) -> set[str]:
    pieces: set[str] = set()
    for text in texts:
        pieces.update(text.lower().split())
    # No word goes across a space; most pieces are there many times.
    return {word for piece in pieces for word in _WORD.findall(piece)}


def _said(upload: Upload) -> set[str]:
    """What the customer's messages say, once each."""
    return {m.content for row in upload.rows if not row.added_by for m in row.messages}
