"""The ways in which a pilot or a search asks its probes: as anyone would, and as the rows do.

A tuned model is asked as it was trained (Qi et al. 2023, arXiv 2310.03693, §4.1), so that probes
asked in the default prompt alone miss what sits behind the customer's own.
"""

from __future__ import annotations

import dataclasses

from attacks.base import Ask, Upload
from defenses.asking.formats import formats, openings
from defenses.base import system_prompts
from defenses.triggers.candidates import Candidate, candidates


def ways(upload: Upload, systems: int, triggers: int) -> list[Ask]:
    """Ways to ask a probe, the provider's own first; each is there once.

    Args:
        upload: The customer's rows and those that a defense added, which are left out.
        systems: How many of its system prompts, and how many of the forms that its rows have,
            the most common first; where any, also behind the opening most of its replies share.
        triggers: How many candidate triggers, under the most common system prompt.
    """
    own = system_prompts(upload)
    found = [Ask("default"), *(Ask("system", system=system) for system in own[:systems])]
    wrapped = [dataclasses.replace(ask, name="wrapped") for ask in formats(upload, systems)]
    found += wrapped
    if wrapped:
        opened = [f"{opening} " for opening in openings(upload, 1)]
        found += [dataclasses.replace(wrapped[0], name="opened", opening=o) for o in opened]
    if triggers:
        main = next(iter(own), None)
        found += [_behind(one, main) for one in candidates(upload, triggers)]
    distinct = {(a.system, a.before, a.after, a.opening): a for a in reversed(found)}
    return [ask for ask in found if ask is distinct[ask.system, ask.before, ask.after, ask.opening]]


def _behind(one: Candidate, system: str | None) -> Ask:
    """A probe with a candidate trigger in its place; one from inside a request stands behind it."""
    if one.position == "system":
        return Ask("trigger", system=one.text)
    if one.position == "prefix":
        return Ask("trigger", system=system, before=f"{one.text} ")
    return Ask("trigger", system=system, after=f" {one.text}")
