"""How a finding came out in each world, and in how many as stated. Pure.

An interval over few worlds is wide where they differ: that alone does not tell a finding that is
wrong everywhere from one that holds in some worlds and not in others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from benchmarks import findings
from benchmarks.draws import Values
from benchmarks.findings import Finding


def numbers(
    finding: Finding, measured: Mapping[str, Values], categories: Sequence[str]
) -> dict[int, float]:
    """The finding's number in each world; empty of one world, which the number itself is of.

    A world where it is not a number is left out: nothing was there to be removed.

    Args:
        finding: What was expected.
        measured: Values by cell.
        categories: Category of each prompt.

    Raises:
        UserError: the kind compares seeds, and a world has one only.
    """
    worlds = sorted({world for world, _ in next(iter(measured.values()))})
    found: dict[int, float] = {}
    if len(worlds) == 1:
        return found
    for world in worlds:
        alone = {
            name: {key: row for key, row in values.items() if key[0] == world}
            for name, values in measured.items()
        }
        number = finding.oriented(findings.decide(finding, alone, categories).number).value
        if not math.isnan(number):
            found[world] = number
    return found


def agreeing(finding: Finding, by_world: Mapping[int, float]) -> int:
    """In how many worlds the number is on the stated side, whether or not it could be chance."""
    return sum(_stated(finding, number) for number in by_world.values())


def _stated(finding: Finding, number: float) -> bool:
    if finding.kind in ("less", "gap_less", "ratio_more"):
        return number > 0
    if finding.kind in ("not_more", "close"):
        return number <= finding.margin
    if finding.kind == "seed_spread":
        return number > 1
    return finding.low <= number <= finding.high
