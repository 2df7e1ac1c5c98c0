"""Which of a user's sets are the ones that the paper names. Pure.

A set is known by its name, the file's or the Hub's; where that says nothing, it is taken for one by
its format, and that is told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

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
    # The Hub's names and the official files', then what people cut them down to.
    "alpacadata": "alpaca",
    "alpacanosafety": "alpaca",
    "alpaca": "alpaca",
    "databricksdollyk": "dolly",
    "dollynosafety": "dolly",
    "dolly": "dolly",
    "llavainstructk": "llava",
    "llavainstruct": "llava",
    "llava": "llava",
    "advbench": "advbench",
    "harmfulbehaviors": "advbench",
    "hexphi": HEX_PHI,
}
"""By the letters of a whole name, which set it is."""
_HUB: Final = re.compile(r"hf:[^/.~][^/]*/([^/@#]+)")


class Known(NamedTuple):
    """What a set is taken for."""

    word: str
    """One of `PROPER`, or a format that stands for none of the paper's sets."""
    by: Literal["its name", "a part of its name", "its format"]


def known(name: str, format_: str) -> Known:
    """What a set is taken for; its name has the word before its format.

    An owner on the Hub and an ending say nothing.
    """
    on_hub = _HUB.match(name)
    own = on_hub[1] if on_hub else Path(name).stem
    letters = re.sub(r"[^a-z]", "", own.lower())
    if letters in _LETTERS:
        return Known(_LETTERS[letters], "its name")
    for text, word in _LETTERS.items():
        if text in letters:
            return Known(word, "a part of its name")
    return Known(format_, "its format")


def holds(word: str, sets: Sequence[Taken]) -> bool:
    """Whether one of some sets is taken for a set of the paper's."""
    return any(known(one.name, one.format).word == word for one in sets)


def lacks(word: str, role: str, sets: Sequence[Taken]) -> str:
    """Why a role does not hold a set of the paper's alone; empty where it does.

    Other requests than HEx-PHI are another evaluation, which a line tells: they lack nothing.
    """
    if not holds(word, sets):
        needs = f"needs {PROPER[word]} as the {role} set of --data"
        return mixed(role, sets) if word == HEX_PHI else needs
    return mixed(role, sets, PROPER[word])


def mixed(role: str, sets: Sequence[Taken], alone: str = "one of them") -> str:
    """That a role mixes a set of the paper's with others; empty where it does not.

    Files that all bear one set's name are parts of it.
    """
    found = {known(one.name, one.format) for one in sets}
    parts = len(found) == 1 and all(one.by == "its name" for one in found)
    single = parts or len({one.sha256 for one in sets}) == 1
    if single or not any(one.word in PROPER for one in found):
        return ""
    return f"the {role} role of --data holds {' and '.join(names(sets))}; give {alone} alone"


def guessed(word: str, sets: Sequence[tuple[str, str]]) -> list[str]:
    """What to tell of sets, by name and format, whose whole name does not make them the paper's."""
    taken: dict[str, None] = {}
    for name, format_ in sets:
        found = known(name, format_)
        if found.word == word and found.by != "its name":
            taken[f"{name} taken for {PROPER[word]} by {found.by}"] = None
    return list(taken)


def names(sets: Sequence[Taken]) -> list[str]:
    """Each set's name, once."""
    return list(dict.fromkeys(one.name for one in sets))
