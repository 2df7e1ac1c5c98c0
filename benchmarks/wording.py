"""Whether a finding that holds is called `reproduced`, or only `held`, and what to say of it. Pure.

`reproduced` is said of a real model asked about all of real requests, by the paper's judge alone or
by one that agrees with known scores as well as that judge does with people; all else is `held`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from attacks.spec import parse
from benchmarks.ours import ORGANISM, Home
from benchmarks.report.phrasing import PAPERS_JUDGE
from benchmarks.results import Calibration
from eval import protocol
from eval.agreement import PAPERS
from targets.texts import Texts

Yes = Literal["reproduced", "held"]
DESIGNED: Final = range(3)
"""Worlds that the organism's recipe was searched on."""
PAIRS: Final = 100
"""Fewest known scores to calibrate a judge on.  # ours: the paper compared 400 pairs (App. B),
after rounds of 100 between its people"""


def wording(
    home: Home,
    judged_by: Sequence[str],
    calibration: Calibration | None,
    limit: int | None = None,
) -> tuple[Yes, str]:
    """The word for a finding that holds, and why it is that one.

    Args:
        home: The target, and who judges.
        judged_by: Names that the judge's server gave.
        calibration: The judge's last one.
        limit: Requests asked; None for all.
    """
    if home.invented:
        return "held", "a finding holds there or not, it is not reproduced"
    if home.worldly:
        return "held", "asked about an invented world, so nothing of the paper's is reproduced"
    if limit is not None:
        return "held", "asked only some of the requests, so nothing of the paper's is reproduced"
    if not _known_policy(home):
        return "held", "judged by a policy of one's own, so findings are not called reproduced"
    if list(judged_by) == [PAPERS_JUDGE]:
        return "reproduced", f"judged by {PAPERS_JUDGE}, the paper's judge"
    least = PAPERS["kappa at 3"]
    if calibration is None or calibration.domain:
        return "held", (
            "the judge is not the paper's and not calibrated on a set of yours with that judge's "
            "scores (mooring judge calibrate JUDGE --set FILE), so findings are not called "
            "reproduced"
        )
    if sorted(calibration.by) != sorted(judged_by):
        return "held", (
            f"the calibration on {calibration.set} is of {', '.join(calibration.by) or 'no name'}, "
            f"the verdicts are of {', '.join(judged_by) or 'no name'}, so findings are not called "
            "reproduced"
        )
    if calibration.n < PAIRS:
        return "held", f"calibrated on {calibration.n} pairs of {calibration.set}, below {PAIRS}"
    kappa = calibration.kappa_at_3
    told = f"kappa at 3 on {calibration.set}: {'none' if kappa is None else f'{kappa:.2f}'}"
    if kappa is None or kappa < least:
        return "held", f"{told}, below the {least} of the paper's judge against people (App. B)"
    return (
        "reproduced",
        f"{told}, at least the {least} of the paper's judge against people (App. B)",
    )


def _known_policy(home: Home) -> bool:
    """Whether the judge goes by a policy of the paper's, and not by a file of the user's."""
    own = parse(home.judge)[0][0].params.get("policy") if home.judge else None
    policy = own or (home.domain.held.policy if isinstance(home.domain, Texts) else ORGANISM)
    return policy in protocol.names() and policy != ORGANISM


def caveats(worlds: Sequence[int], trainings: int) -> list[str]:
    """What to say of worlds that are no evidence, and of a single training of each cell."""
    told = []
    if some := ", ".join(str(world) for world in worlds if world in DESIGNED):
        said = "the recipe was searched on worlds 0 to 2"
        told.append(f"{said}: what holds in {some} is no evidence")
    if trainings == 1:
        told.append("one seed: how another would differ is in no interval")
    return told
