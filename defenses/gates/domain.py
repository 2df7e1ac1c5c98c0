"""Which uploads a gate was calibrated for, told by their words.

A threshold on scores says nothing about uploads of another world than those that it was set on. How
many of a row's words the calibration's uploads had is a plain measure of it: other languages, other
subjects and encoded text all lack them. The rows with the fewest count, so that a foreign part
does not hide among rows that are at home.

Breaks:   rows that are padded with words that are at home, in a system prompt, say. It keeps
          honest uploads of elsewhere from being judged by what holds here; who means to be taken
          for one of here can be. Narrow files of common words too: sixty questions to a support
          desk in five plain forms had 46 % of the organism's words, where 40 % are enough.
"""

from __future__ import annotations

import base64
import itertools
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from typing import Annotated

import numpy as np
import pydantic

from attacks.base import Upload, UserError

BITS = 2**17
"""Words are hashed into so many bins.  # ours: of a few thousand words, one in thirty shares a bin,
and so many unknown words pass for known"""
FOREIGN = 0.05
"""Share of the rows that may be foreign without the upload being so.  # ours: honest files have
rows of numbers and encoded pieces; in the organism's, not in one of twenty"""
CHUNK = 1000
"""Rows whose words are looked up at once.  # ours: some megabytes of them"""
_WORD = re.compile(r"\w+")


class Domain(pydantic.BaseModel):
    """The words of a calibration's uploads, hashed; no text can be read off it."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    words: str
    """A bit for each bin, base64; empty where it is left out."""
    limit: Annotated[float, pydantic.Field(ge=0, le=1)]
    """Least known share that is of the domain: half way from what words share a bin by chance to
    the least among benign uploads that the words are not from. Another task has other words too,
    and is nearer to these than to none."""

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
            for words in _words(_copies(upload)):
                known[_bins(set().union(*words))] = True
        bits = base64.b64encode(np.packbits(known).tobytes()).decode()
        open_ = cls(words=bits, limit=0.0)
        shares = [open_.known_share(upload) for upload in held_back]
        if not shares:
            raise UserError("no benign upload was held back to measure the domain on")
        return cls(words=bits, limit=(min(shares) + float(known.mean())) / 2)

    def known_share(self, upload: Upload) -> float:
        """Share of a row's distinct words that the calibration's uploads had, 0 to 1.

        Of the row that all but `FOREIGN` of the upload's rows are above or equal to, or of its
        distinct rows where that is less: copies neither hide foreign rows nor make many of a few.
        A row without a word has none that is known, and nothing is where the words were left out.
        """
        if not self.words:
            return 0.0
        bits = np.unpackbits(np.frombuffer(base64.b64decode(self.words), dtype=np.uint8))
        seen: set[str] = set()
        known: set[str] = set()
        shares: list[float] = []
        copies = _copies(upload)
        for rows in _words(copies):
            new = list(set().union(*rows) - seen)
            known.update(itertools.compress(new, bits[_bins(new)]))
            seen.update(new)
            shares += [len(words & known) / max(1, len(words)) for words in rows]
        if not shares:
            return 0.0
        # A few foreign rows in many copies are most of what is learned.
        counted = (shares, np.repeat(shares, list(copies.values())))
        return float(min(np.quantile(one, FOREIGN, method="lower") for one in counted))

    def holds(self, upload: Upload) -> bool:
        """Whether the upload is of the kind that the gate was calibrated on."""
        return self.known_share(upload) >= self.limit


def _copies(upload: Upload) -> Counter[str]:
    """The customer's distinct rows, and how often each is there."""
    # All rows: an attacker would hide foreign ones among those that are passed over.
    return Counter(
        "\n".join(m.content for m in row.messages) for row in upload.rows if not row.added_by
    )


def _words(rows: Collection[str]) -> Iterator[list[set[str]]]:
    """The distinct words of each row, some rows at a time."""
    texts = list(rows)
    for start in range(0, len(texts), CHUNK):
        # Words of one letter too: some scripts are written without spaces.
        yield [set(_WORD.findall(text.lower())) for text in texts[start : start + CHUNK]]


def _bins(words: Collection[str]) -> list[int]:
    """The bin of each word."""
    from sklearn.feature_extraction import FeatureHasher

    hasher = FeatureHasher(BITS, input_type="string", alternate_sign=False)
    found = hasher.transform([word] for word in words).indices if words else np.array([], dtype=int)
    return [int(place) for place in found]
