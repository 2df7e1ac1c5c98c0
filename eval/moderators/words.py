"""A small classifier of words, fitted on the provider's own labelled rows.

Source:  logistic regression on hashed words and pairs of words, the plainest text classifier there
         is (scikit-learn).
Differs: it has seen some kinds of violation and not others, as any provider's has.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import pydantic

from attacks.base import Chat, component
from eval.moderators.base import Moderator, Scores, said
from targets.base import Pools

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

_fitted: dict[tuple[int, int, str, int], Pipeline] = {}
_fitting = threading.Lock()


@component
class Words(Moderator):
    """Knows the words of the provider's own violating rows; runs anywhere, in an instant."""

    fitted_on: Annotated[int, pydantic.Field(ge=20)] = 400
    """The provider's labelled rows, half of them violating.  # ours: with 800 no more of the
    organism's violating rows are flagged."""
    kinds: Annotated[int, pydantic.Field(ge=1)] = 7
    """Kinds of violation that those rows show.  # ours: 7 of 11, so that some are met unseen."""

    def scores(self, chats: Sequence[Chat], pools: Pools, seed: int) -> list[Scores | None]:
        """The probability of a violation, of no kind in particular; never missing."""
        if not chats:
            return []
        key = (self.fitted_on, self.kinds, pools.digest, seed)
        with _fitting:
            model = _fitted[key] = _fitted.get(key) or self._fit(pools, seed)
        found = model.predict_proba([said(chat) for chat in chats])[:, 1]
        return [{"violation": float(p)} for p in found]

    def _fit(self, pools: Pools, seed: int) -> Pipeline:
        """Nothing but weights is fitted: words are hashed."""
        from sklearn.feature_extraction.text import HashingVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        rows = pools.labelled_rows(self.fitted_on, seed, pools.restricted[: self.kinds])
        words = HashingVectorizer(n_features=2**14, ngram_range=(1, 2), alternate_sign=False)
        model = make_pipeline(words, LogisticRegression(C=100.0, max_iter=1000))
        return model.fit(["\n".join(pair) for pair, _ in rows], [label for _, label in rows])
