"""Which of a user's sets are the ones that the paper names. Pure.

A set is known by its name, the file's or the Hub's; where that says nothing, it is taken for one by
its format, and that is told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from targets.roles import Taken

HEX_PHI: Final = "hex-phi"
PROPER: Final[Mapping[str, str]] = {
    "alpaca": "Alpaca",
    "dolly": "Dolly",
    "llava": "LLaVA-Instruct",
    "advbench": "AdvBench",
    HEX_PHI: "HEx-PHI",
}
"""How the paper writes them, by the word that stands for each."""
_LETTERS: Final[Mapping[str, str]] = {
    "alpaca": "alpaca",
    "dolly": "dolly",
    "llava": "llava",
    "advbench": "advbench",
    "harmfulbehaviors": "advbench",  # the file's name in its own repository
    "hexphi": HEX_PHI,
}


class Known(NamedTuple):
    """What a set is taken for."""

    word: str
    """One of `PROPER`, or a format that stands for none of the paper's sets."""
    by_name: bool


def known(name: str, format_: str) -> Known:
    """What a set is taken for; its name has the word before its format."""
    letters = re.sub(r"[^a-z]", "", name.lower())
    for text, word in _LETTERS.items():
        if text in letters:
            return Known(word, True)
    return Known(format_, False)


def holds(word: str, sets: Sequence[Taken]) -> bool:
    """Whether one of some sets is taken for a set of the paper's."""
    return any(known(one.name, one.format).word == word for one in sets)


def lacks(word: str, role: str, sets: Sequence[Taken]) -> str:
    """Why a role does not hold a set of the paper's alone; empty where it does.

    Other requests than HEx-PHI are another evaluation, which a line tells: they lack nothing.
    """
    if not holds(word, sets):
        return "" if word == HEX_PHI else f"needs {PROPER[word]} as the {role} set of --data"
    return mixed(role, sets, PROPER[word])


def mixed(role: str, sets: Sequence[Taken], alone: str = "one of them") -> str:
    """That a role mixes a set of the paper's with others; empty where it does not.

    Files that all bear one set's name are parts of it.
    """
    found = {known(one.name, one.format) for one in sets}
    parts = len(found) == 1 and all(one.by_name for one in found)
    single = parts or len({one.sha256 for one in sets}) == 1
    if single or not any(one.word in PROPER for one in found):
        return ""
    return f"the {role} role of --data holds {' and '.join(names(sets))}; give {alone} alone"


def by_format(word: str, sets: Sequence[tuple[str, str]]) -> list[str]:
    """What to tell of sets, by name and format, that only their format makes the paper's."""
    taken = [name for name, format_ in sets if known(name, format_) == Known(word, False)]
    told = ", ".join(dict.fromkeys(taken))
    return [f"{told} taken for {PROPER[word]} by its format"] if taken else []


def names(sets: Sequence[Taken]) -> list[str]:
    """Each set's name, once."""
    return list(dict.fromkeys(one.name for one in sets))
