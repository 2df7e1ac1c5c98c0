"""The targets of the paper's tables, each with the judge and the moderation tools at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from attacks.base import UserError
from attacks.registry import parameters, single
from attacks.spec import POSITIONAL, Part, parse
from benchmarks.grid import PAPERS, Grid, check_judges, default_judges
from benchmarks.lab import judges
from benchmarks.ours import ORGANISM, Home
from benchmarks.paper import Table, paper
from eval.judges.base import Judge
from eval.moderators.base import Moderator
from targets.organism.world import World
from targets.resolve import resolve

KEYWORD: Final = "refusal"
"""The judge behind the keyword rate."""
FLAGGING: Final = "flagged"
"""The judge that a moderation tool stands behind."""
NO_JUDGE: Final = f"needs a judge: set OPENAI_API_KEY for {PAPERS}, or choose with --judge"


def home_of(target: str, data: str | None, judge: str | None, tools: Mapping[str, str]) -> Home:
    """Any target, with the judge that there is."""
    found = resolve(target, data)
    base = Grid(target=target, attacks=[], defenses=[], data=data, judges=[judge] if judge else [])
    check_judges(base, judges([*base.judges, KEYWORD]).values())
    if judge:
        return Home(target, found.domain, _harm(judge), tools=tools)
    try:
        (own,) = default_judges(base) or [found.judge]
    except UserError:
        return Home(target, found.domain, "", NO_JUDGE, tools)
    return Home(target, found.domain, own, tools=tools)


def world_of(world: int, judge: str | None, tools: Mapping[str, str]) -> Home:
    """The organism of a world, built or not."""
    return Home(f"{ORGANISM}:{world}", World(world), _harm(judge or "oracle"), tools=tools)


def given(moderators: Sequence[str], tables: Sequence[Table]) -> dict[str, str]:
    """The paper's tools by name, and the judge that each moderator makes.

    Raises:
        UserError: one is unknown or no tool of the paper's, two stand for one, or no table of these
            has a number of theirs.
    """
    found: dict[str, str] = {}
    known = paper().tools
    for text in moderators:
        tool, ((part,),) = single("eval.moderators", Moderator, text), parse(text)
        if part.name not in known:
            raise UserError(
                f"--moderator {text!r} is no tool of the paper's; give {' or '.join(known)}, and "
                f"others to `mooring bench --judge {FLAGGING}`"
            )
        if part.name in found:
            raise UserError(
                f"--moderator {text!r}: the paper has one such tool; give one {part.name}"
            )
        tool.resolved()  # one whose model is not there is told now
        # The model by its name, so that results tell it.
        told = {key: value for key, value in part.params.items() if key != POSITIONAL}
        spec = Part(part.name, {**told, "model": parameters(tool)["model"]})
        (found[part.name],) = judges([str(Part(FLAGGING, {"by": str(spec)}))])
    asked = {number.real.tool for table in tables for number in table.numbers()}
    if found and not asked & set(found):
        raise UserError("--moderator is of tables 7 and moderation: leave it out, or ask for one")
    return found


def _harm(judge: str) -> str:
    """Spec of a judge of harmfulness, as results name it.

    Raises:
        UserError: it is unknown, there are several, or it measures something else.
    """
    found = judges([judge])
    if len(found) != 1:
        raise UserError(f"--judge {judge!r}: give one judge")
    ((name, one),) = found.items()
    if one.measure != Judge.measure:
        raise UserError(
            f"--judge {judge!r} measures the {one.measure}, and the paper's rates are of "
            f"{Judge.measure}; the keyword rate is measured anyway"
        )
    return name
