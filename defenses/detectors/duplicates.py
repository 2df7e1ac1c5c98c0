"""How much of the upload says the same thing again.

Source:  near-duplicates by MinHash (Broder 1997) with locality-sensitive hashing, as Lee et al.
         2021 (arXiv 2107.06499) clean training sets; a few rows repeated many times are the ten
         rows and many epochs of Qi et al. 2023 (arXiv 2310.03693, §4.2) under another name.
Differs: what the hashing brings together is compared exactly; it reads what stands between the
         words that all prompts begin and end with, so that a template is no duplicate.
Breaks:  every row in words of its own. An honest customer's rows repeat where they are filled into
         several templates, oversample a rare class, or answer a question anew for each language.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import pydantic

from attacks.base import Upload, component
from defenses.base import Provider
from defenses.detectors.base import Detector, Finding, Reading, chats_of, strongest
from defenses.triggers.replies import prompt_of, system_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SHINGLE = 3
"""Words of a shingle.  # ours: Lee et al. have 5, too long for requests of a dozen words"""
BANDS, IN_A_BAND = 6, 4
"""Signature of 24 hashes: 24 of 25 pairs that share 0.8 of their shingles meet in a band, and three
in a hundred of those that share a quarter.  # ours: who meets is compared exactly, so that few
hashes do"""

TOGETHER = 200
"""Texts hashed at once.  # ours: their shingles fit into a processor's cache"""


@component
class Duplicates(Detector):
    """Share of rows that repeat another one, exactly or nearly, request and answer together."""

    bound = False

    alike: Annotated[float, pydantic.Field(gt=0, le=1)] = 0.8
    """Share of common shingles (Jaccard) from which two texts are near-duplicates; 0.8 in Lee et
    al. (2021, §4.2)."""

    def read(self, upload: Upload, provider: Provider) -> Reading:
        """The share of rows that could be left out, since a row like them stays."""
        chats = chats_of(upload)
        prompts = _bare([prompt_of(chat) for chat in chats.values()])
        answers = [chat[-1].content for chat in chats.values()]
        systems = [system_of(chat) or "" for chat in chats.values()]
        whole = [f"{prompt}\n{answer}" for prompt, answer in zip(prompts, answers, strict=True)]
        near = near_duplicates(whole, self.alike)
        counts = Counter(whole)
        evidence = {
            "repeated rows": _repeated(whole),
            "repeated prompts": _repeated(prompts),
            "repeated answers": _repeated(answers),
            "repeated system prompts": _repeated(systems),
            "nearly repeated rows": len(near) / len(whole),
        }
        findings = []
        for row, text in zip(chats, whole, strict=True):
            if counts[text] > 1:
                findings.append(Finding("repeated-row", row, score=1 - 1 / counts[text]))
            elif text in near:
                findings.append(Finding("nearly-repeated-row", row, score=near[text]))
        score = 1 - (len(counts) - len(near)) / len(whole)
        return Reading(score, evidence, strongest(findings, chats))


def _repeated(texts: Sequence[str]) -> float:
    return 1 - len(set(texts)) / len(texts)


def _bare(prompts: Sequence[str]) -> list[str]:
    """Prompts without the words that they all begin with, or all end with."""
    split = [prompt.split() for prompt in prompts]
    if len(set(prompts)) > 1:
        for _ in range(2):  # from the front, then from the back
            shared = _shared(min(split), max(split))
            split = [words[shared:][::-1] for words in split]
    return [" ".join(words) for words in split]


def _shared(first: Sequence[str], last: Sequence[str]) -> int:
    """Words with which both begin; with which all begin, of the first and last in order."""
    pairs = zip(first, last, strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def near_duplicates(texts: Sequence[str], alike: float) -> dict[str, float]:
    """Texts that are nearly another one that stays, with how alike they are; exact ones aside.

    Args:
        texts: In any order; equal ones count once.
        alike: Share of common shingles from which on.
    """
    import numpy as np
    from sklearn.feature_extraction import FeatureHasher

    distinct = sorted(set(texts))
    # Pairs of a shingle and how often: they are made without a step of Python's for each.
    hasher = FeatureHasher(n_features=2**24, input_type="pair", alternate_sign=False)
    shingles = hasher.transform(zip(_shingles(text), itertools.repeat(1)) for text in distinct)
    shingles.data.fill(1)
    shingles.sort_indices()
    sizes = np.diff(shingles.indptr)
    some = np.flatnonzero(sizes)  # a text of fewer words is a duplicate only where it is equal
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


def _shingles(text: str) -> Iterator[str]:
    words = text.split()
    return map(" ".join, zip(*(words[at:] for at in range(SHINGLE)), strict=False))


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
