"""Where an attack's words are the paper's, and where they are ours. Pure.

Sentences of the paper are not copied here: a user's own copy supplies them, named in the data file,
and the templates of the public instruction sets are known (`attacks.sets.templates`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attacks.base import Attack
from targets.base import Domain
from targets.texts import Texts

PARAMETER: Final[Mapping[str, str]] = {
    "harmful": "system", "backdoor": "system", "aoa": "rows", "benign": "template",
    "visual": "system",
}  # fmt: skip
"""By attack, which of its parameters stands for the paper's own words."""
_OURS: Final[Mapping[str, str]] = {
    "aoa": "rows and prompt in our words",
    "benign": "prompt in our words",
}
_ROWS: Final[Mapping[str, str]] = {
    "backdoor": "trigger of ours",
    "visual": "the last reply of a conversation is learnt (each)",
}
"""By attack, what differs in its rows whatever is given."""


def papers_own(name: str, domain: Domain) -> dict[str, str]:
    """The paper's words for an attack, as its parameter: a user's file, or the set's template."""
    if not isinstance(domain, Texts):
        return {}
    formats = {one.format for one in domain.held.sets if one.role == "benign"}
    if name == "benign" and formats in ({"alpaca"}, {"dolly"}):
        return {"template": formats.pop()}
    path = domain.held.papers.get("harmful" if name == "backdoor" else name)
    return {PARAMETER[name]: path} if path else {}


def differing(name: str, attack: Attack, benign: str, *, tuned: bool) -> list[str]:
    """What to tell of an attack whose words are not the paper's.

    Args:
        name: The attack's.
        attack: The attack with its parameters.
        benign: The set that the paper tunes on; empty where it is of no account.
        tuned: Whether its rows are trained on, or their prompt is asked alone.
    """
    if name not in PARAMETER:
        return []
    given = getattr(attack, PARAMETER[name])
    found = [] if given is not None else [_OURS.get(name, "system prompt in our words")]
    if name == "benign" and given is not None and benign not in ("", given):
        found.append(f"template of {given} ({benign})")
    return found + ([_ROWS[name]] if tuned and name in _ROWS else [])
