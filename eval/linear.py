"""A linear classifier of texts that is kept as plain numbers: JSON and safetensors, no pickle.

Source:  multinomial logistic regression over hashed words and pairs of words (scikit-learn). The
         vectorizer hashes, so that coefficients are all there is to keep.
Differs: what is read back is checked (shape, finite numbers, labels) before it is used.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import pydantic

from attacks.base import UserError
from eval.moderators.base import ANY

if TYPE_CHECKING:
    import numpy as np

SAFE: Final = "safe"
"""The label of a text that violates nothing."""
FEATURES: Final = 2**14
"""Places that words are hashed to.  # ours: the organism's rows use a few thousand"""
PENALTY: Final = 100.0
"""Inverse strength of the L2 penalty.  # ours: weak, since fitted rows are few and clean"""
CARD, WEIGHTS = "linear.json", "linear.safetensors"
"""The two files of a folder."""
_Label = Annotated[str, pydantic.Field(min_length=1, max_length=64, pattern=r"^[\w .,&/-]+$")]


class Card(pydantic.BaseModel):
    """What is known of a classifier beside its coefficients."""

    model_config = pydantic.ConfigDict(strict=True, extra="forbid", frozen=True)

    format: Literal[1] = 1
    labels: list[_Label] = pydantic.Field(min_length=2, max_length=1000)
    """In the order of the coefficients; `safe` is one of them."""
    features: int = pydantic.Field(ge=2, le=2**24)
    rows: int = pydantic.Field(ge=2)
    """How many it was fitted on."""
    corpus: str = pydantic.Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of those rows and their labels, whatever their order."""
    domain: str = pydantic.Field(default="", max_length=2000)
    """What they were, in a person's words: beyond it the classifier knows nothing."""
    versions: dict[str, str] = {}
    """Libraries that it was fitted with."""

    @pydantic.model_validator(mode="after")
    def _labels_can_be_told_apart(self) -> Card:
        if sorted(set(self.labels)) != self.labels or SAFE not in self.labels:
            raise ValueError(f"labels must be sorted and different, and {SAFE!r} one of them")
        if ANY in self.labels:
            raise ValueError(f"no label may be called {ANY!r}: it stands for all of them")
        return self


@dataclass(frozen=True)
class Linear:
    """A fitted classifier."""

    card: Card
    coefficients: np.ndarray[Any, Any]
    """(1, features) for two labels, else (labels, features); float64."""
    intercepts: np.ndarray[Any, Any]
    """(1,) or (labels,); float64."""

    def __post_init__(self) -> None:
        """Refuse what is no classifier.

        Raises:
            UserError: a shape does not fit the labels, or a number is not finite.
        """
        import numpy as np

        n = 1 if len(self.card.labels) == 2 else len(self.card.labels)
        shapes = self.coefficients.shape, self.intercepts.shape
        if shapes != ((n, self.card.features), (n,)):
            raise UserError("classifier: its coefficients do not fit its labels and features")
        for part in (self.coefficients, self.intercepts):
            if part.dtype != np.float64 or not np.isfinite(part).all():
                raise UserError("classifier: its coefficients are not all finite float64 numbers")

    def probabilities(self, texts: Sequence[str]) -> np.ndarray[Any, Any]:
        """(texts, labels): how likely each label is; rows sum to 1."""
        import numpy as np
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression()
        model.classes_ = np.array(self.card.labels)
        model.coef_, model.intercept_ = self.coefficients, self.intercepts
        found: np.ndarray[Any, Any] = model.predict_proba(_hashed(texts, self.card.features))
        return found

    def scores(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """For each text the probability of each label that is not `safe`.

        With several of them `any` is their sum: each alone may be unlikely where one of them is
        nearly certain.
        """
        if not texts:
            return []
        found = []
        for chances in self.probabilities(texts).tolist():
            by_label = dict(zip(self.card.labels, chances, strict=True))
            safe = by_label.pop(SAFE)
            found.append(by_label if len(by_label) == 1 else {**by_label, ANY: 1 - safe})
        return found

    def save(self, folder: Path) -> Path:
        """Write it into a folder, which is made where it is not there."""
        from safetensors.numpy import save_file

        folder.mkdir(parents=True, exist_ok=True)
        parts = {"coefficients": self.coefficients, "intercepts": self.intercepts}
        save_file(parts, folder / WEIGHTS)
        (folder / CARD).write_text(self.card.model_dump_json(indent=1) + "\n", encoding="utf-8")
        return folder


def fit(texts: Sequence[str], labels: Sequence[str], *, domain: str = "") -> Linear:
    """A classifier of texts by label; deterministic in the order that they are given in.

    Args:
        texts: What is fitted on.
        labels: One for each text; `safe` must be among them, and something else.
        domain: What the texts are, in a person's words.

    Raises:
        UserError: the labels cannot be fitted.
    """
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    if len(texts) != len(labels):
        raise UserError(f"classifier: {len(texts)} texts, but {len(labels)} labels")
    libraries = ("scikit-learn", "numpy", "scipy")
    try:
        card = Card(
            labels=sorted(set(labels)),
            features=FEATURES,
            rows=len(texts),
            corpus=_corpus(texts, labels),
            domain=domain,
            versions={name: importlib.metadata.version(name) for name in libraries},
        )
    except pydantic.ValidationError as error:
        raise UserError(f"classifier: {_first(error)}") from error
    model = LogisticRegression(C=PENALTY, max_iter=1000)
    model.fit(_hashed(texts, card.features), np.array(labels))
    # In rows: safetensors writes an array as it lies in memory, whatever its order.
    return Linear(card, np.ascontiguousarray(model.coef_), np.ascontiguousarray(model.intercept_))


def load(folder: Path) -> Linear:
    """The classifier that a folder holds.

    Raises:
        UserError: it holds none, or something that is no classifier.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        card = Card.model_validate_json((folder / CARD).read_bytes())
        parts = load_file(folder / WEIGHTS)
        return Linear(card, parts["coefficients"], parts["intercepts"])
    except pydantic.ValidationError as error:
        raise UserError(f"classifier: {folder / CARD}: {_first(error)}") from error
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise UserError(
            f"classifier: cannot read {CARD} and {WEIGHTS} in {str(folder)!r} "
            f"({type(error).__name__})"
        ) from error


def digest(folder: Path) -> str:
    """SHA-256 of the two files of a folder.

    Raises:
        UserError: they are not there.
    """
    try:
        files = [(folder / name).read_bytes() for name in (CARD, WEIGHTS)]
    except OSError as error:
        raise UserError(f"classifier: {str(folder)!r} does not hold {CARD}, {WEIGHTS}") from error
    return hashlib.sha256(b"".join(hashlib.sha256(one).digest() for one in files)).hexdigest()


def _hashed(texts: Sequence[str], features: int) -> Any:
    """Rows of length 1: what `HashingVectorizer(ngram_range=(1, 2))` gives, to the last bit.

    It takes a step of Python's for each word and pair, which is a quarter of its time; the hasher
    beneath it is fed without.
    """
    from sklearn.feature_extraction import FeatureHasher
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.preprocessing import normalize

    words = HashingVectorizer()
    clean, split = words.build_preprocessor(), words.build_tokenizer()

    def counted(text: str) -> Iterator[tuple[str, int]]:
        found = split(clean(text))
        pairs = map(" ".join, itertools.pairwise(found))
        return zip(itertools.chain(found, pairs), itertools.repeat(1))

    hasher = FeatureHasher(n_features=features, input_type="pair", alternate_sign=False)
    return normalize(hasher.transform(map(counted, texts)), copy=False)


def _corpus(texts: Sequence[str], labels: Sequence[str]) -> str:
    rows = sorted(zip(texts, labels, strict=True))
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _first(error: pydantic.ValidationError) -> str:
    """Where and what, without what was given."""
    first = error.errors(include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else first["msg"]
