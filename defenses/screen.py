"""Screen: one calibrated decision on the whole upload, from many detectors.

Threat:   whatever an upload does that no single row of it shows, identity shift and drift included.
Source:   dataset-level auditing of fine-tuning uploads, arXiv 2510.16255; a limit on all filters of
          single rows, arXiv 2502.14828.
Differs:  detectors are fixed statistics and one pilot tune, not an agent; thresholds are set on
          benign uploads by their rate of false alarms.
Breaks:   uploads of another domain than the gate's (it says so and decides nothing), and families
          that no detector reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from attacks.base import Upload, component
from defenses import compose
from defenses.base import Decision, Defense, Need, Outcome, Provider
from defenses.detectors.base import Detector, Reading, detector, features
from defenses.gates import gate as gates

SHIPPED = Path(__file__).parent / "gates" / "organism.json"
_OUTCOMES: Mapping[gates.Answer, Outcome] = {
    "allow": "pass",
    "allow with mitigation": "pass",
    "hold": "review",
    "inconclusive": "review",
    "reject": "refuse",
}


class Screened(NamedTuple):
    """What a screening found."""

    verdict: gates.Verdict
    readings: Mapping[str, Reading]
    """By detector."""


@component
class Screen(Defense):
    """Allows, mitigates, holds or rejects an upload at a known rate of false alarms."""

    by: str = "all"
    """A combination of the gate: `all`, `tests` (no model is asked), or one detector by itself."""
    gate: Path | None = None
    """A gate fitted by `mooring gates fit`; none: the one shipped for the organism."""
    reject: float = gates.Policy().reject
    """Share of benign uploads that may be rejected; see `hold`."""
    hold: float = gates.Policy().hold
    """Share of benign uploads that may be held or rejected (arXiv 2510.16255: 1 %)."""
    mitigate: float = gates.Policy().mitigate
    """Share of benign uploads that may be trained on with the mitigation."""
    mitigation: str = gates.Policy().mitigation
    """What they are trained with, a defense that acts on rows and settings alone."""

    def __post_init__(self) -> None:
        compose.mitigation(self.mitigation)
        policy = self.policy()
        gate = self.opened()
        for rate in (policy.reject, policy.hold, policy.mitigate):
            gate.threshold(self.by, rate)

    def opened(self) -> gates.Gate:
        """The gate."""
        return gates.read(self.gate or SHIPPED)

    def policy(self) -> gates.Policy:
        """The rates, checked."""
        return gates.policy(
            reject=self.reject, hold=self.hold, mitigate=self.mitigate, mitigation=self.mitigation
        )

    def detectors(self) -> dict[str, Detector]:
        """What it reads uploads with, by spec."""
        return {spec: detector(spec) for spec in self.opened().read_by(self.by)}

    def needs(self) -> frozenset[Need]:
        """What its detectors need."""
        return frozenset[Need]().union(*(one.needs() for one in self.detectors().values()))

    def uses(self) -> tuple[object, ...]:
        """Its detectors."""
        return tuple(self.detectors().values())

    def resolved(self) -> dict[str, str]:
        """The gate's contents, wherever it lies."""
        return {"gate": gates.digest(self.opened())}

    def questions(self) -> int:
        """Its detectors'."""
        return sum(one.questions() for one in self.detectors().values())

    def screen(self, upload: Upload, provider: Provider) -> Decision:
        """The decision for the whole upload; no row is dropped."""
        verdict, readings = self.report(upload, provider)
        evidence = {f"surprise of {name}": nats for name, nats in verdict.surprises.items()}
        if verdict.score is not None and verdict.nominal is not None:
            evidence |= {"score": verdict.score, "nominal rate": verdict.nominal}
        demands = verdict.answer == "allow with mitigation"
        return Decision(
            _OUTCOMES[verdict.answer],
            reason=": ".join(filter(None, (verdict.answer, ", ".join(verdict.reasons)))),
            evidence=evidence,
            unfinished=any(reading.unfinished for reading in readings.values()),
            mitigation=self.mitigation if demands else "",
        )

    def report(self, upload: Upload, provider: Provider) -> Screened:
        """The verdict with everything that was read for it."""
        gate = self.opened()
        lacking = gate.lacking(self.by, upload, provider.model)
        found = {} if lacking else self.detectors()
        readings = {name: one.read(upload, provider) for name, one in found.items()}
        scores: dict[str, float | None] = {}
        for name, reading in readings.items():
            scores |= features(name, found[name].also, reading)
        verdict = gate.decide(self.by, upload, provider.model, scores, self.policy())
        return Screened(verdict, readings)
