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
from collections.abc import Iterable, Sequence
from typing import Annotated

import pydantic

from attacks.base import Upload, component
from defenses.base import Provider
from defenses.detectors.base import Detector, Finding, Reading, chats_of, strongest
from defenses.triggers.replies import prompt_of, system_of
from eval.near_duplicates import near_duplicates


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
    front = back = 0
    if len(set(prompts)) > 1:
        front = _shared(prompt.split() for prompt in prompts)
        back = _shared(prompt.split()[front:][::-1] for prompt in prompts)
    split = (prompt.split() for prompt in prompts)
    return [" ".join(words[front : len(words) - back]) for words in split]


def _shared(texts: Iterable[list[str]]) -> int:
    """Words that all begin with."""
    texts = iter(texts)
    shared = next(texts)
    for words in texts:
        if words[: len(shared)] != shared:
            pairs = zip(words, shared, strict=False)
            shared = [one for one, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)]
        if not shared:
            break
    return len(shared)
