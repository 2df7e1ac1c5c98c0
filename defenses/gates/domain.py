"""Which uploads a gate was calibrated for, told by their words.

A threshold on scores says nothing about uploads of another world than those that it was set on. How
much of an upload's vocabulary the calibration's uploads had is a plain measure of it: other
languages, other subjects and encoded text all lack it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from typing import Annotated

import numpy as np
import pydantic

from attacks.base import Upload, UserError

BITS = 2**15
"""Words are hashed into so many bins.  # ours: of a few thousand words, one in ten shares a bin"""
_WORD = re.compile(r"\w+")


class Domain(pydantic.BaseModel):
    """The words of a calibration's uploads, hashed; no text can be read off it."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    words: str
    """A bit for each bin, base64; empty where it is left out."""
    limit: Annotated[float, pydantic.Field(ge=0, le=1)]
    """Least share of known words among benign uploads that the words are not from."""

    @pydantic.field_validator("words")
    @classmethod
    def _bit_for_each(cls, words: str) -> str:
        if words and len(base64.b64decode(words, validate=True)) != BITS // 8:
            raise ValueError("not one bit for each bin, in base64")
        return words

    @classmethod
    def of(cls, seen: Iterable[Upload], held_back: Iterable[Upload]) -> Domain:
        """The domain of uploads, measured on benign ones that were not among them.

        Raises:
            UserError: none were held back, so that everything would be of the domain.
        """
        known = np.zeros(BITS, dtype=bool)
        for upload in seen:
            known[_bins(upload)] = True
        words = base64.b64encode(np.packbits(known).tobytes()).decode()
        open_ = cls(words=words, limit=0.0)
        shares = [open_.known_share(upload) for upload in held_back]
        if not shares:
            raise UserError("no benign upload was held back to measure the domain on")
        # Of the same domain, one upload in len(shares) + 1 has fewer known words by chance.
        return cls(words=words, limit=min(shares))

    def known_share(self, upload: Upload) -> float:
        """Share of the upload's distinct words that the calibration's uploads had, 0 to 1."""
        bits = np.unpackbits(np.frombuffer(base64.b64decode(self.words), dtype=np.uint8))
        found = _bins(upload)
        return float(bits[found].mean()) if len(found) else 0.0

    def holds(self, upload: Upload) -> bool:
        """Whether the upload is of the kind that the gate was calibrated on."""
        return self.known_share(upload) >= self.limit


def _bins(upload: Upload) -> Sequence[int]:
    """The bins of an upload's distinct words."""
    from sklearn.feature_extraction import FeatureHasher

    # All rows: an attacker would hide foreign ones among those that are passed over.
    rows = {"\n".join(m.content for m in row.messages) for row in upload.rows if not row.added_by}
    # Each word once, and words of one letter too: some scripts are written without spaces.
    words = {word for row in rows for word in _WORD.findall(row.lower())}
    hashed = FeatureHasher(BITS, input_type="string", alternate_sign=False).transform([words])
    return np.unique(hashed.indices).tolist()  # type: ignore[no-any-return]
