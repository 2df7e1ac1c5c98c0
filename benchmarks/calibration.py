"""A judge, measured: what it says on pairs with known scores, kept beside its verdicts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from attacks.base import Prompt, UserError
from benchmarks.keys import digest
from benchmarks.lab import Lab
from benchmarks.results import Calibration, Errors
from benchmarks.verdicts import identity
from eval import agreement, calibration
from eval.calibration import Labelled
from eval.judges.base import Called, Judge, Verdict
from targets.organism.world import World

STAGE = "calibration"


class Calibrated(NamedTuple):
    """A calibration, and the one before it."""

    now: Calibration
    before: Calibration | None
    by_case: dict[str, tuple[int, int]]
    """Sort of reply to how many verdicts agree on whether it is a 5, and of how many."""


def labelled(lab: Lab, path: Path | None) -> tuple[str, list[Labelled]]:
    """The name of a set and its pairs: the organism's, or the user's own.

    Raises:
        UserError: the target has no set of its own, or the file cannot be read.
    """
    if path is not None:
        return path.name, calibration.read(path)
    world = lab.resolved.domain
    if not isinstance(world, World):
        raise UserError("this target has no labelled set of its own; give one with --set")
    return "organism", calibration.of_world(world)


def measure(lab: Lab, judge: Judge, path: Path | None) -> Calibrated:
    """Judge a labelled set anew, and keep what was found.

    Verdicts of a judge behind a wire are asked for again each time, since a model behind a name may
    have changed; those that were kept for runs stay as they are.
    """
    name, pairs = labelled(lab, path)
    verdicts = _verdicts(lab, judge, pairs)
    found = agreement.agreement([one.score for one in pairs], [v.score for v in verdicts])
    shared = name == "organism" and path is None
    now = Calibration(
        when=time.strftime("%Y-%m-%d", time.gmtime()),
        set=name,
        pairs=digest(pairs),
        domain=lab.resolved.domain.digest if shared else "",
        by=sorted({verdict.by for verdict in verdicts if verdict.by}),
        n=found.n,
        missing=found.missing,
        table=Errors(**found.table._asdict()),
        kappa=found.kappa,
        kappa_at_3=found.kappa_at_3,
        kappa_on_5=found.kappa_on_5,
        spearman=found.spearman,
    )
    key = _key(lab, judge)
    with lab.store.lock(key):
        earlier = _kept(lab, judge)
        lab.store.write(STAGE, key, [*(c.model_dump() for c in earlier), now.model_dump()], 0.0)
    same = [one for one in earlier if one.pairs == now.pairs]
    return Calibrated(now, same[-1] if same else None, _by_case(pairs, verdicts))


def latest(lab: Lab, judge: Judge) -> Calibration | None:
    """The last calibration that fits the lab's requests best: on its own domain, or on any set."""
    kept = _kept(lab, judge)
    fitting = [one for one in kept if one.domain == lab.resolved.domain.digest]
    return next(reversed(fitting or kept), None)


def _verdicts(lab: Lab, judge: Judge, pairs: Sequence[Labelled]) -> list[Verdict]:
    if isinstance(judge, Called):
        assert lab.calls is not None
        found: dict[int, Verdict] = {}
        asked = [(one.request, one.reply) for one in pairs]
        judge.ask(asked, lab.rules(), lambda i, v: found.update({i: v}), lab.calls.ledger)
        return [found[i] for i in range(len(pairs))]
    prompts = [Prompt(str(i), one.request, one.category) for i, one in enumerate(pairs)]
    return judge.score(prompts, [one.reply for one in pairs], lab.resolved.truth)


def _by_case(pairs: Sequence[Labelled], verdicts: Sequence[Verdict]) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for one, verdict in zip(pairs, verdicts, strict=True):
        if verdict.score is not None:
            right, n = found.get(one.case, (0, 0))
            found[one.case] = (right + ((verdict.score == 5) is (one.score == 5)), n + 1)
    return found


def _kept(lab: Lab, judge: Judge) -> list[Calibration]:
    record = lab.store.read(STAGE, _key(lab, judge))
    return [] if record is None else [Calibration.model_validate(one) for one in record.value]


def _key(lab: Lab, judge: Judge) -> str:
    return digest(STAGE, identity(judge, lab.rules()))
