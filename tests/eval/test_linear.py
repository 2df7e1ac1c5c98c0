from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import HashingVectorizer

from eval.linear import _hashed

WORDS = st.lists(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
    | st.sampled_from(["Stir them", " a b ", "stir", "ÄRGER", "x2_y", "İI"]),
    max_size=12,
).map(" ".join)


@given(st.lists(WORDS, min_size=1, max_size=5))
def test_texts_are_hashed_as_scikit_learn_does(texts: list[str]) -> None:
    known = HashingVectorizer(n_features=64, ngram_range=(1, 2), alternate_sign=False)
    ours, theirs = _hashed(texts, 64), known.transform(texts)
    # Equal to the last bit: calibrated scores hang on it.
    assert (ours.toarray() == theirs.toarray()).all()
    assert (ours.indices == theirs.indices).all()
