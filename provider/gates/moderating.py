"""The moderation of an upload: validate it, read it, decide, and say all of that.

Source:   two gates are what providers have: the training file is screened, the tuned model is
          evaluated (OpenAI and Azure document both; the checks' thresholds are told to nobody).
Differs:  the decision is calibrated on uploads and can be made again from the report.
Breaks:   whatever the gate's detectors do not read (`defenses/screen.py`).
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from attacks.base import Settings, Upload, UserError
from attacks.uploads.rules import Profile
from benchmarks.engines.ahead import Ahead
from benchmarks.keys import component_digest, environment
from benchmarks.lab import Lab, LabSettings
from benchmarks.readings import Whole
from benchmarks.trial import provider_of
from defenses import compose
from defenses.base import moderator
from defenses.detectors.base import Detector, Reading, detector, features
from defenses.gates import gate as gates
from defenses.screen import SHIPPED
from provider.gates import paying, readings, report, verdicts
from provider.gates.opening import Opened, opened
from provider.gates.report import Evidence, ModerationReport, NotRun
from provider.tuning import BASE_RATE
from provider.tuning import Order as Job
from targets.hosted.ledger import Purse

LARGE = 4_000_000
"""Bytes of a file from which on workers help.  # ours: they take as long to start as it to be read
"""
MOST_SHOWN = 50
"""Rows whose text is shown at most.  # ours: what a person reads"""


class Order(NamedTuple):
    """What is to be moderated, and how."""

    path: Path
    gate: Path | None = None
    """None: the one that is shipped for the organism."""
    by: str = "all"
    policy: gates.Policy = gates.Policy()
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    """None for what a fine-tuning server takes."""
    moderators: tuple[str, ...] = ()
    profile: Profile = "any"
    show_text: bool = False


class Plan(NamedTuple):
    """What will be done, known before anything that costs is done."""

    opened: Opened
    whole: Whole | None
    """The upload; None where the structure decides."""
    lacking: str
    detectors: Mapping[str, Detector]
    skipped: tuple[NotRun, ...]
    questions: int
    """That detectors ask of models at most."""
    sent: tuple[str, ...]
    """Moderators that the rows' texts are given to."""


Show = Callable[[int, int], None]


def workers(order: Order, settings: LabSettings) -> Ahead[Whole] | None:
    """Workers that read a large file with detectors that need no model, None for a smaller one.

    A model that is loaded in every worker would take the memory of several.

    Raises:
        UserError: the gate cannot be had.
    """
    if not order.path.is_file() or order.path.stat().st_size < LARGE:
        return None
    gate = gates.read(order.gate or SHIPPED)
    parts = {spec: detector(spec) for spec in gate.read_by(order.by)}
    # Begun first is what puts every row through a moderator: it takes longest.
    free = sorted(_free(parts, gate), key=lambda spec: not parts[spec].uses())
    return Ahead(free, settings, readings.read_ahead, functools.partial(_whole, order))


def _whole(order: Order) -> Whole:
    found = opened(order.path, order.profile)
    return Whole.of(Upload(found.rows, settings(order, len(found.rows))))


def plan(order: Order, lab: Lab) -> Plan:
    """What moderating will take.

    Raises:
        UserError: the gate, the policy, a moderator or the file cannot be had.
    """
    compose.mitigation(order.policy.mitigation)
    if order.learning_rate is not None and not 0 < order.learning_rate < math.inf:
        raise UserError(f"a learning rate is above 0, and {order.learning_rate} is not")
    gate = gates.read(order.gate or SHIPPED)
    verdicts.thresholds(gate, order.by, order.policy)
    for spec in order.moderators:
        moderator(spec)
    found = opened(order.path, order.profile)
    if found.structure.errors or not found.rows:
        why = "the file has errors of structure" if found.structure.errors else "it has no replies"
        names = [*gate.read_by(order.by), *order.moderators]
        skipped = tuple(NotRun(what=name, why=why) for name in names)
        return Plan(found, None, "" if found.structure.errors else why, {}, skipped, 0, ())
    whole = Whole.of(Upload(found.rows, settings(order, len(found.rows))))
    used = {spec: detector(spec) for spec in gate.read_by(order.by)}
    lacking = gate.lacking(order.by, whole.upload, lab.resolved.start.digest)
    # A reading says something by itself only where it needs neither the domain nor the model.
    kept = {
        spec: one for spec, one in used.items()
        if not lacking or not (spec in gate.bound or spec in gate.aware)
    }  # fmt: skip
    skipped = tuple(NotRun(what=spec, why=lacking) for spec in used if spec not in kept)
    questions = sum(one.questions() for one in kept.values())
    return Plan(found, whole, lacking, kept, skipped, questions, order.moderators)


def moderate(
    order: Order,
    planned: Plan,
    lab: Lab,
    show: Show = lambda n, of: None,
    purse: Purse | None = None,
    ahead: Ahead[Whole] | None = None,
) -> ModerationReport:
    """Read and decide.

    Args:
        order: What is moderated, and how.
        planned: What that takes.
        lab: Where it is read and kept.
        show: Told how much of how much is done.
        purse: What moderators may spend; None for as much as they need.
        ahead: Workers that read too.

    Raises:
        UserError: a moderator cannot be asked for a reason that is the user's to mend.
    """
    found, gate = planned.opened, gates.read(order.gate or SHIPPED)
    provider = provider_of(lab, readings.SEED)
    total = readings.pieces(len(planned.detectors), len(planned.sent), len(found.rows))
    tick = _ticking(show, total)
    read: dict[str, report.Read] = {}
    moderated: dict[str, report.Moderated] = {}
    own: dict[str, float | None] = {}
    if planned.whole is not None:
        whole, parts = planned.whole, planned.detectors
        own = gate.own(order.by, whole.upload)
        for spec in ahead.turns([*parts]) if ahead else parts:
            read[spec] = readings.read(spec, parts[spec], whole, provider, lab, found.lines, purse)
            tick()
        read = {spec: read[spec] for spec in parts}
        for spec in planned.sent:
            moderated[spec] = readings.moderated(
                spec, moderator(spec), whole.upload, provider, lab, found.lines, tick, purse
            )
    evidence = Evidence(
        structure=found.structure,
        lacking=planned.lacking,
        readings=read,
        features=_features(gate, planned, order, read, own),
        by=order.by,
        gate=None if planned.whole is None else gate.only(order.by),
        moderators=moderated,
    )
    return _report(order, planned, evidence, gate, lab)


def _ticking(show: Show, total: int) -> readings.Tick:
    """Tells that nothing is done yet, and one piece more each time that it is called."""
    done = itertools.count(1)
    show(0, total)
    return lambda: show(next(done), total)


def _free(parts: Mapping[str, Detector], gate: gates.Gate) -> list[str]:
    """Detectors that need neither a model nor a server."""
    leaving = {spec for spec, one in parts.items() if any(map(paying.leaves, one.uses()))}
    return [spec for spec in parts if spec not in gate.aware and spec not in leaving]


def estimate(planned: Plan) -> list[str]:
    """What it will take, in lines; nothing where the structure decides."""
    if planned.whole is None:
        return []
    rows = len(planned.opened.rows)
    line = f"detectors: {len(planned.detectors)}, rows: {rows:,}"
    if planned.questions:
        line += f", at most {planned.questions:,} questions to models"
    return [line]


def account(planned: Plan, lab: Lab, purse: Purse) -> None:
    """Let the served model and moderators, those behind servers, spend from one purse.

    Raises:
        UserError: a price is not known, and the budget is one of dollars.
    """
    paying.for_models([lab.resolved.start], purse)
    paying.for_moderators(_leaving(planned), purse)


def bills(planned: Plan) -> list[str]:
    """What leaves this machine, in lines; nothing where nothing does."""
    rows = len(planned.opened.rows)
    return [f"{spec}: the texts of {rows:,} rows are sent to its server"
            for spec in _leaving(planned)]  # fmt: skip


def _leaving(planned: Plan) -> dict[str, object]:
    """Moderators, and detectors made of one, that give texts to a server."""
    if planned.whole is None:
        return {}
    reading: list[tuple[str, object]] = [(spec, moderator(spec)) for spec in planned.sent]
    reading += [(spec, one) for spec, part in planned.detectors.items() for one in part.uses()]
    return {spec: one for spec, one in reading if paying.leaves(one)}


def settings(order: Order, rows: int) -> Settings:
    """The tuning that would be done: what the order leaves open is the server's."""
    nowhere = Path()
    rate = order.learning_rate or BASE_RATE
    job = Job(nowhere, None, nowhere, order.epochs, order.batch_size, rate, "full", 1.0, 0)
    return job.settings(rows)


def _report(
    order: Order, planned: Plan, evidence: Evidence, gate: gates.Gate, lab: Lab
) -> ModerationReport:
    start = lab.resolved.start
    told = None
    if planned.whole is not None:
        s = planned.whole.upload.settings
        told = report.Settings(
            epochs=s.epochs, batch_size=s.batch_size, learning_rate=s.learning_rate
        )
    return ModerationReport(
        file=planned.opened.file,
        settings=told,
        policy=order.policy,
        policy_sha256=report.policy_digest(order.policy),
        instrument=report.Instrument(
            target=report.written(start.name),
            target_sha256=start.digest,
            gate=report.written(order.gate.name) if order.gate else "shipped for the organism",
            gate_sha256=gates.digest(gate),
            corpus_sha256=gate.corpus,
            detectors={spec: component_digest(one) for spec, one in planned.detectors.items()},
            seed=readings.SEED,
        ),
        evidence=evidence,
        verdict=verdicts.moderated(evidence, order.policy),
        not_run=(*planned.skipped, *planned.opened.unread),
        tools=report.tools(tuple(environment()["versions"])),
        shown=_shown(planned.opened, evidence) if order.show_text else (),
    )  # fmt: skip


def _features(
    gate: gates.Gate,
    planned: Plan,
    order: Order,
    read: Mapping[str, report.Read],
    own: Mapping[str, float | None],
) -> dict[str, report.Feature]:
    """Readings on the gate's scales; those that could not be had are left out."""
    told: dict[str, tuple[str, float | None]] = {}
    for spec, one in read.items():
        reading = Reading(one.score, one.evidence)
        found = {} if one.fault else features(spec, planned.detectors[spec].also, reading)
        told |= {name: (spec, value) for name, value in found.items()}
    told |= {name: (name, value) for name, value in own.items()}
    return {
        name: report.Feature(
            detector=spec,
            value=value,
            surprise=gate.scales[name].surprise(value),
            limit=_alone(gate, name, order.policy.hold),
        )
        for name, (spec, value) in told.items()
        if name in gate.combination(order.by).features
    }


def _alone(gate: gates.Gate, name: str, rate: float) -> float | None:
    """The surprise above which a feature by itself would hold an upload."""
    how = gate.combinations.get(name)
    if how is None or how.features != (name,):
        return None
    try:
        return gate.threshold(name, rate)
    except UserError:  # too few uploads are behind it for the rate
        return None


def _shown(opened: Opened, evidence: Evidence) -> tuple[report.ShownRow, ...]:
    """Texts of the rows that something points at, strongest first."""
    row_at = {line: row for row, line in enumerate(opened.lines.of)}
    places = [place for one in evidence.readings.values() for place in one.places]
    places += [place for one in evidence.moderators.values() for place in one.places]
    places = [place for place in places if place.line in row_at]
    places.sort(key=lambda place: -(place.score or 0.0))
    lines = list(dict.fromkeys(place.line for place in places if place.line is not None))
    return tuple(
        report.ShownRow(line=line, messages=opened.rows[row_at[line]].messages)
        for line in lines[:MOST_SHOWN]
    )
