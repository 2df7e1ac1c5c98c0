"""Texts that are nearly another one: shingles of words, MinHash in bands, then an exact comparison.

Source:  MinHash (Broder 1997) with locality-sensitive hashing, as Lee et al. 2021 (arXiv
         2107.06499) clean training sets.
Differs: what the hashing brings together is compared exactly, so that few hashes do.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from scipy.sparse import csr_matrix

SHINGLE = 3
"""Words of a shingle.  # ours: Lee et al. have 5, too long for requests of a dozen words"""
BANDS, IN_A_BAND = 6, 4
"""Signature of 24 hashes: 24 of 25 pairs that share 0.8 of their shingles meet in a band, and three
in a hundred of those that share a quarter.  # ours: who meets is compared exactly, so that few
hashes do"""

PLACES = 24
"""Bits of a shingle's place.  # ours: of a row's hundred, one in 200,000 rows falls on another"""
TOGETHER = 200
"""Texts hashed at once.  # ours: their shingles fit into a processor's cache"""


def near_duplicates(texts: Sequence[str], alike: float) -> dict[str, float]:
    """Texts that are nearly another one that stays, with how alike they are; exact ones aside.

    Args:
        texts: In any order; equal ones count once.
        alike: Share of common shingles from which on.
    """
    import numpy as np

    distinct = sorted(set(texts))
    shingles = _shingles(distinct)
    # A text of fewer words is a duplicate only where it is equal.
    sizes = np.diff(shingles.indptr)
    some = np.flatnonzero(sizes)
    shingles, sizes = shingles[some], sizes[some]
    found: dict[str, float] = {}
    for band in _bands(shingles.indices, shingles.indptr):
        first: dict[bytes, int] = {}
        stays = np.array([first.setdefault(key.tobytes(), at) for at, key in enumerate(band)])
        later = np.flatnonzero(stays != np.arange(len(some)))
        common = shingles[later].multiply(shingles[stays[later]]).sum(axis=1)
        common = np.asarray(common).ravel()
        share = common / (sizes[later] + sizes[stays[later]] - common)
        for at, value in zip(later, share, strict=True):
            if value >= alike:
                text = distinct[some[at]]
                found[text] = max(found.get(text, 0.0), float(value))
    return found


class _Hashes(dict[str, int]):
    """The hash of each word, made when it is first asked for."""

    def __missing__(self, word: str) -> int:
        from sklearn.utils import murmurhash3_32

        return self.setdefault(word, murmurhash3_32(word, positive=True))


def _shingles(texts: Sequence[str]) -> csr_matrix:
    """(texts, 2 ** `PLACES`): which runs of words each text holds, as ones.

    A run's place is made from the hashes of its words: no run is put together as a text, and each
    word is hashed once, however many there are of it.
    """
    import numpy as np
    from scipy.sparse import csr_matrix

    factors = np.random.default_rng(1).integers(2**63, size=SHINGLE, dtype=np.uint64) | np.uint64(1)
    hashes = _Hashes()
    places, counts = [np.empty(0, dtype=np.int32)], [0]
    for begin in range(0, len(texts), TOGETHER):
        split = [text.split() for text in texts[begin : begin + TOGETHER]]
        hashed = map(hashes.__getitem__, itertools.chain.from_iterable(split))
        words = np.fromiter(hashed, dtype=np.uint64)
        runs = [max(0, len(one) - SHINGLE + 1) for one in split]
        ends = np.cumsum([len(one) for one in split])
        first = np.ones(len(words), dtype=bool)
        for back in range(1, SHINGLE):  # the last words of a text begin no run
            first[ends[ends >= back] - back] = False
        at = np.flatnonzero(first)
        mixed = sum(words[at + i] * factor for i, factor in enumerate(factors))
        places.append((mixed >> np.uint64(64 - PLACES)).astype(np.int32))
        counts += runs
    found = np.concatenate(places)
    ones = np.ones(len(found), dtype=np.int32)
    shingles = csr_matrix((ones, found, np.cumsum(counts)), shape=(len(texts), 2**PLACES))
    shingles.sum_duplicates()
    shingles.data.fill(1)
    return shingles


def _bands(
    indices: npt.NDArray[np.int32], starts: npt.NDArray[np.int32]
) -> list[npt.NDArray[np.uint64]]:
    """MinHash signatures of rows of shingles, in bands: texts alike are equal in one of them."""
    import numpy as np

    if len(starts) < 2:
        return []
    draw = np.random.default_rng(0).integers(2**63, size=(2, BANDS, IN_A_BAND), dtype=np.uint64)
    factors, shifts = (part.reshape(-1).tolist() for part in (draw[0] | np.uint64(1), draw[1]))
    found = np.empty((len(starts) - 1, BANDS * IN_A_BAND), dtype=np.uint64)
    for begin in range(0, len(found), TOGETHER):
        of = starts[begin : begin + TOGETHER + 1]
        shingles = indices[of[0] : of[-1]].astype(np.uint64)
        for i, (a, b) in enumerate(zip(factors, shifts, strict=True)):
            # Multiply-shift hashing: the upper half of the product is what is random.
            hashed = (shingles * np.uint64(a) + np.uint64(b)) >> np.uint64(32)
            found[begin : begin + TOGETHER, i] = np.minimum.reduceat(hashed, of[:-1] - of[0])
    return np.split(found, BANDS, axis=1)
