"""One cell, from upload to scores."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any

from attacks.base import BESIDE, Upload, UserError
from benchmarks.asking import answers, pressed
from benchmarks.keys import code, component_digest, digest
from benchmarks.lab import Lab, Model
from benchmarks.results import Asked, CellResult, Gate
from benchmarks.trial import Cell, Trial
from defenses import compose
from defenses.base import MOMENTS, Decision, Moment, Outcome
from targets.base import Gone, Target


def run_cell(cell: Cell, lab: Lab) -> CellResult:
    """Run a cell, or put it together from what is stored.

    Raises:
        NotStored: the lab may not make what is missing.
    """
    try:
        return run_trial(Trial.of(cell, lab))
    except Gone:
        if not lab.may_make:
            raise
        return run_trial(Trial.of(cell, lab))  # its record is gone too, so it is tuned again


def run_trial(trial: Trial) -> CellResult:
    """Run a trial, start to finish."""
    cell, lab = trial.cell, trial.lab
    if lacking := trial.lacking():
        return CellResult(**cell._asdict(), status="not applicable", reason=lacking)
    start = _immunize(trial)
    upload = upload_of(trial)
    if upload is None:
        return _result(trial, start, None)

    screened = _screen(trial, upload)
    refused = screened.outcome != "pass"
    if refused and not lab.counterfactual:
        return _result(trial, start, None, gates=_gates(trial, upload, screened, Decision()))
    passed, curated = _curated(trial, upload, screened)
    tuned, refusal = _tune(trial, start, curated)
    if refusal:
        return _refused(trial, start, upload, screened, **refusal)
    candidate = _repair(trial, tuned)
    audited = Decision() if refused else _audit(trial, candidate, upload)

    stopped = refused or audited.outcome != "pass"
    return _result(
        trial,
        start if stopped else candidate,
        candidate if stopped and lab.counterfactual else None,
        status="tuned",
        changed=_differs(lab, start, tuned),
        idle=_idle(
            trial,
            immunize=lambda: not _differs(lab, lab.start(), start),
            curate=lambda: curated == passed,
            repair=lambda: not _differs(lab, tuned, candidate),
        ),
        rows=sum(not row.added_by for row in curated.rows),
        added=sum(bool(row.added_by) for row in curated.rows),
        gates=_gates(trial, upload, screened, audited),
    )


def _result(trial: Trial, released: Model, stopped: Model | None, **facts: Any) -> CellResult:
    """Ask the released model, and the one that a gate stopped, in each of the attack's ways."""
    asks = {}
    for ask in trial.attack.asks():
        ways = {ask.name: partial(answers, trial, ask)}
        for spec, how in trial.lab.elicitations.items():
            name = spec if ask.name == "plain" else f"{ask.name}, {spec}"
            ways[name] = partial(pressed, trial, ask, name, how)
        for name, way in ways.items():
            asks[name] = Asked(
                released=way(released, released=True),
                if_released=None if stopped is None else way(stopped, released=False),
            )
    passed = all(gate.outcome == "pass" for gate in facts.get("gates", []))
    facts = {"status": "not tuned", "released": passed, **facts}
    return CellResult(**trial.cell._asdict(), asks=asks, **facts)


def _refused(
    trial: Trial, start: Model, upload: Upload, screened: Decision, reason: str, review: bool
) -> CellResult:
    """What somebody else's server would not tune: nobody can ask what it would have become."""
    n = len(upload.rows)
    outcome: Outcome = "review" if review else "refuse"
    server = Gate(moment="server", outcome=outcome, reason=reason, kept=n, rows=n, evidence={})
    gates = [*_gates(trial, upload, screened, Decision(), audits=False), server]
    return _result(trial, start, None, gates=gates, reason=f"refused by the server: {reason}")


def candidate_of(trial: Trial, upload: Upload) -> Model:
    """The model that the provider makes of an upload, whatever the gates would say.

    Raises:
        UserError: the server that tunes refused to.
    """
    curated = _curated(trial, upload, _screen(trial, upload))[1]
    tuned, refusal = _tune(trial, _immunize(trial), curated)
    if refusal:
        raise UserError(f"refused by the server: {refusal['reason']}")
    return _repair(trial, tuned)


def undefended(trial: Trial) -> Model:
    """The model that the attack makes where nobody defends."""
    upload = upload_of(trial)
    start = trial.lab.start()
    return start if upload is None else _tune(trial, start, upload)[0]


def upload_of(trial: Trial) -> Upload | None:
    """The attack's rows in an order that tells nothing of how they were put together."""
    seed = trial.cell.seed
    upload = trial.attack.upload(trial.lab.resolved.domain, seed)
    if upload is None:
        return None
    rows = random.Random(f"order {seed}").sample(upload.rows, len(upload.rows))
    return upload.replace_rows(rows)


def _immunize(trial: Trial) -> Model:
    start = trial.lab.start()
    if not trial.defense.acts("immunize"):
        return start

    def make() -> Target:
        return trial.defense.immunize(start(), trial.provider)

    return trial.lab.model("immunize", trial.key("immunize", start.key), make)[0]


def _screen(trial: Trial, upload: Upload) -> Decision:
    if not trial.defense.acts("screen"):
        return Decision()
    key = trial.key("screen", upload)
    return _decision(trial, "screen", key, lambda: trial.defense.screen(upload, trial.provider))


def _curated(trial: Trial, upload: Upload, screened: Decision) -> tuple[Upload, Upload]:
    """What the gate leaves of an upload, all of a refused one, and what is trained on."""
    passed = upload if screened.outcome != "pass" else screened.apply(upload)
    return passed, compose.curated(screened, trial.defense, passed, trial.provider)


def _audit(trial: Trial, candidate: Model, upload: Upload) -> Decision:
    if not trial.defense.acts("audit"):
        return Decision()
    key = trial.key("audit", candidate.key, upload, trial.acting("serve"), trial.lab.decoding)

    def audit() -> Decision:
        served = trial.defense.serve(candidate(), trial.provider)
        return trial.defense.audit(served, upload, trial.provider)

    return _decision(trial, "audit", key, audit)


def _decision(trial: Trial, stage: str, key: str, make: Callable[[], Decision]) -> Decision:
    def plain() -> dict[str, Any]:
        decision = make()
        return {**decision.__dict__, "keep": None if decision.keep is None else list(decision.keep)}

    stored = trial.lab.stage(stage, key, plain, lambda kept: bool(kept.get("unfinished")))
    keep = None if stored["keep"] is None else tuple(stored["keep"])
    return Decision(**{**stored, "keep": keep})


def _tune(trial: Trial, start: Model, upload: Upload) -> tuple[Model, dict[str, Any]]:
    """The tuned model, and why there is none where whoever tunes refused to.

    Raises:
        UserError: what is tuned would stay beside a start model that a defense has changed.
    """
    tuning = upload.settings.tuning
    if tuning in BESIDE and start.key != trial.lab.start().key:
        raise UserError(
            f"tuning={tuning} stays beside the start model, which {trial.cell.defense!r} changes; "
            "tune with tuning=full or lora"
        )
    pairs = trial.defense.hooks(upload, trial.provider)
    acting = [component_digest(part) for part, _ in pairs]
    owned = trial.owned() if acting else []
    how = trial.lab.computed()
    who = trial.lab.resolved.start
    several = [] if who.processes is None else [who.processes.digest, code("targets.launch")]
    key = digest("tune", start.key, upload, acting, owned, trial.cell.seed, how, *several)

    def make() -> Target:
        hooks = trial.defense.during(upload, trial.provider)
        return who.tuned(start(), upload, hooks, trial.cell.seed)

    model, record = trial.lab.model("tune", key, make)
    if "refused" not in record:
        return model, {}
    return model, {"reason": record["refused"], "review": record["review"]}


def _repair(trial: Trial, tuned: Model) -> Model:
    if not trial.defense.acts("repair"):
        return tuned
    key = trial.key("repair", tuned.key)
    return trial.lab.model("repair", key, lambda: trial.defense.repair(tuned(), trial.provider))[0]


def _differs(lab: Lab, before: Model, after: Model) -> bool:
    """Whether any weight moved."""
    key = digest("differs", before.key, after.key, lab.computed())
    return bool(lab.stage("differs", key, lambda: after().differs(before())))


def _idle(trial: Trial, **nothing: Callable[[], bool]) -> list[Moment]:
    """The moments at which the defense acts and changed nothing all the same."""
    return [m for m in MOMENTS if m in nothing and trial.defense.acts(m) and nothing[m]()]


def _gates(
    trial: Trial, upload: Upload, screened: Decision, audited: Decision, *, audits: bool = True
) -> list[Gate]:
    """The decisions of the gates that acted."""
    audits = audits and screened.outcome == "pass"
    found = []
    decisions: tuple[tuple[Any, Decision], ...] = (("screen", screened), ("audit", audited))
    for moment, decision in decisions:
        if trial.defense.acts(moment) and (moment == "screen" or audits):
            kept = len(upload.rows) if decision.keep is None else len(decision.keep)
            found.append(
                Gate(
                    moment=moment,
                    outcome=decision.outcome,
                    reason=decision.reason,
                    kept=kept,
                    rows=len(upload.rows),
                    evidence=dict(decision.evidence),
                )
            )
    return found
