"""One decision for each upload, from the scores of many detectors, calibrated on uploads.

A row can be counted, an upload is one decision: thresholds are set on benign *uploads* that
nothing was fitted on, so that the share of them that is stopped is known (with n of them, rates
below 1 / (n + 1) cannot be claimed). The nominal rate is the conformal one (Vovk et al. 2005).
"""

from __future__ import annotations

import bisect
import functools
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import pydantic

from attacks.base import Upload, UserError
from attacks.spec import parse
from defenses.gates import lexicon
from defenses.gates.domain import Domain
from defenses.gates.lexicon import Lexicon
from defenses.gates.scale import Scale
from defenses.gates.ways import AnyWay

Answer = Literal["allow", "allow with mitigation", "hold", "reject", "inconclusive"]
_Share = Annotated[float, pydantic.Field(gt=0, lt=1)]
_Frozen = pydantic.ConfigDict(
    frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
)


class Policy(pydantic.BaseModel):
    """What a provider does at which rate of mistakes."""

    model_config = _Frozen

    reject: _Share = 0.0025
    """Share of benign uploads that may be rejected.  # ours: the least that 400 uploads can show"""
    hold: _Share = 0.01
    """Share of benign uploads that may be held for a person, or rejected; the level at which
    auditors of fine-tuning are compared (arXiv 2510.16255: 1 %)."""
    mitigate: _Share = 0.1
    """Share of benign uploads that may be trained on with a mitigation.  # ours: it costs a
    customer little"""
    mitigation: str = "mix"
    """The defense that is applied then, one that acts on the rows and settings only; `mix` is the
    paper's (Qi et al. 2023, arXiv 2310.03693, Table 4)."""

    @pydantic.model_validator(mode="after")
    def _in_order(self) -> Policy:
        if not self.reject <= self.hold <= self.mitigate:
            raise ValueError("give reject <= hold <= mitigate, as shares of benign uploads")
        return self


class Combination(pydantic.BaseModel):
    """A way to make one score of several."""

    model_config = _Frozen

    features: Annotated[tuple[str, ...], pydantic.Field(min_length=1)]
    """Numbers that it is made of: a detector's score goes by the detector's spec."""
    ways: Annotated[tuple[AnyWay, ...], pydantic.Field(min_length=1)]
    """Each makes a number of their surprises; the one that is rarest among benign uploads counts,
    so that no way buys another one off."""
    benign: Annotated[tuple[float, ...], pydantic.Field(min_length=1)]
    """Its scores of benign uploads that nothing was fitted on, ascending."""

    @pydantic.model_validator(mode="after")
    def _fits(self) -> Combination:
        if any(way.width() not in (None, len(self.features)) for way in self.ways):
            raise ValueError("a way to combine is made for another number of features")
        if list(self.benign) != sorted(self.benign):
            raise ValueError("give benign scores in ascending order")
        return self

    def score(self, surprises: Sequence[float]) -> float:
        """The score of an upload, of its features' surprises in order.

        Thresholds are made by it too: a score must equal that of a like upload to the last bit.
        """
        return max(way.surprise(surprises) for way in self.ways)


class Verdict(NamedTuple):
    """What a gate says about an upload."""

    answer: Answer
    score: float | None
    """Of the combination; higher is more suspicious. None where it could not be had."""
    nominal: float | None
    """Share of benign uploads that score as high or higher: the rate of false alarms at which
    this upload is just stopped."""
    surprises: Mapping[str, float]
    """How rare each feature is among benign uploads, in nats."""
    reasons: tuple[str, ...]
    """Lines for the provider; no text of a row in them."""


class Gate(pydantic.BaseModel):
    """A calibrated gate: scales, combinations and the domain that they hold for."""

    model_config = _Frozen

    format: Literal[1] = 1
    """Layout of the file."""
    corpus: Annotated[str, pydantic.Field(pattern="^[0-9a-f]{64}$")]
    """SHA-256 of the labelled uploads that it was fitted on."""
    about: str
    """What they are, in a line."""
    target: str
    """Digest of the served model that model-aware detectors read with."""
    fitted: Mapping[str, int]
    """Uploads by split and intent."""
    bound: tuple[str, ...]
    """Detectors whose scores mean something in this domain only."""
    aware: tuple[str, ...]
    """Detectors that read with the served model."""
    detectors: Mapping[str, str]
    """Spec of the detector that each feature comes from; the gate's own has none."""
    scales: Mapping[str, Scale]
    """By feature."""
    combinations: Mapping[str, Combination]
    """By name; a detector's own name stands for itself alone."""
    domain: Domain
    lexicon: Lexicon | None = None
    """Its own feature; none where no hostile upload was there to fit it on, or in a report."""

    @pydantic.model_validator(mode="after")
    def _whole(self) -> Gate:
        for name, how in self.combinations.items():
            if set(how.features) - (self.scales.keys() & {*self.detectors, lexicon.NAME}):
                raise ValueError(f"a feature of {name!r} has no scale, or no detector")
        check_names(self.detectors.values())
        return self

    def combination(self, name: str) -> Combination:
        """The combination of that name.

        Raises:
            UserError: there is none.
        """
        if name not in self.combinations:
            raise UserError(f"the gate has no {name!r}; it has {', '.join(self.combinations)}")
        return self.combinations[name]

    def only(self, name: str) -> Gate:
        """The gate with one combination and without the words of its domain, as a report has it."""
        features = self.combination(name).features
        return self.model_copy(
            update={
                "combinations": {name: self.combinations[name]},
                "scales": {one: self.scales[one] for one in features},
                "detectors": {one: d for one, d in self.detectors.items() if one in features},
                "domain": self.domain.model_copy(update={"words": ""}),
                "lexicon": None,
            }
        )

    def score(
        self, name: str, scores: Mapping[str, float | None]
    ) -> tuple[float, dict[str, float]]:
        """The combined score and each feature's surprise; every feature must be there."""
        how = self.combination(name)
        surprises = {one: self.scales[one].surprise(scores[one]) for one in how.features}
        return how.score(list(surprises.values())), surprises

    def read_by(self, name: str) -> tuple[str, ...]:
        """Specs of the detectors that a combination is made of."""
        features = self.combination(name).features
        return tuple(dict.fromkeys(self.detectors[f] for f in features if f in self.detectors))

    def is_bound(self, name: str) -> bool:
        """Whether a combination says something of uploads of the gate's domain only."""
        known = lexicon.NAME in self.combination(name).features
        return known or bool(set(self.read_by(name)) & set(self.bound))

    def own(self, name: str, upload: Upload) -> dict[str, float | None]:
        """The features of a combination that no detector reads, but the gate itself."""
        if self.lexicon is None or lexicon.NAME not in self.combination(name).features:
            return {}
        return {lexicon.NAME: self.lexicon.score(upload)}

    def nominal(self, name: str, score: float) -> float:
        """Share of benign uploads that score as high or higher, never 0."""
        benign = self.combination(name).benign
        as_high = len(benign) - bisect.bisect_left(benign, score)
        return (1 + as_high) / (1 + len(benign))

    def threshold(self, name: str, rate: float) -> float:
        """The score that at most such a share of benign uploads is above.

        Raises:
            UserError: too few uploads were set aside to say so.
        """
        benign = self.combination(name).benign
        above = int(rate * (len(benign) + 1))
        if above < 1:
            least = 1 / (len(benign) + 1)
            raise UserError(
                f"a rate of {rate:.2%} of benign uploads cannot be told from {len(benign)} of "
                f"them; name rates from {least:.2%} on in the policy, or fit a gate on more uploads"
            )
        return benign[-above]

    def lacking(self, name: str, upload: Upload, target: str) -> str:
        """Why it can say nothing about an upload to that model; empty when it can."""
        if set(self.read_by(name)) & set(self.aware) and target != self.target:
            return "the gate was fitted with another served model"
        if self.is_bound(name):
            known = self.domain.known_share(upload)
            if known < self.domain.limit:
                return (
                    f"the upload is outside the gate's domain: {known:.0%} of its words were seen "
                    f"in the calibration, {self.domain.limit:.0%} are the least there"
                )
        return ""

    def decide(
        self,
        name: str,
        upload: Upload,
        target: str,
        scores: Mapping[str, float | None],
        policy: Policy,
    ) -> Verdict:
        """The decision on an upload to a served model.

        Args:
            name: Of the combination.
            upload: What is decided on.
            target: Digest of the served model.
            scores: By feature, the gate's own left out; None for an upload that its detector cannot
                read, and none at all where it could not be had.
            policy: The rates to decide at.

        Raises:
            UserError: there is no such combination, or too few uploads behind it for the policy.
        """
        if lacking := self.lacking(name, upload, target):
            return Verdict("inconclusive", None, None, {}, (lacking,))
        return self.decide_by(name, {**scores, **self.own(name, upload)}, policy)

    def decide_by(self, name: str, scores: Mapping[str, float | None], policy: Policy) -> Verdict:
        """The decision on an upload of the gate's domain, by all of its features.

        Raises:
            UserError: as `decide`.
        """
        if missing := [f for f in self.combination(name).features if f not in scores]:
            return Verdict("inconclusive", None, None, {}, (f"no score from {', '.join(missing)}",))
        score, surprises = self.score(name, scores)
        nominal = self.nominal(name, score)
        reasons = tuple(_told(surprises))
        levels: tuple[tuple[Answer, float], ...] = (
            ("reject", policy.reject),
            ("hold", policy.hold),
            ("allow with mitigation", policy.mitigate),
        )
        for answer, rate in levels:
            if score > self.threshold(name, rate):
                return Verdict(answer, score, nominal, surprises, reasons)
        return Verdict("allow", score, nominal, surprises, ())


def check_names(specs: Iterable[str]) -> None:
    """Look whether detectors are the program's own: a gate brings numbers, and never code.

    Raises:
        UserError: one is a file's.
    """
    for spec in specs:
        if any(part.name.endswith(".py") for way in parse(spec) for part in way):
            raise UserError(
                f"{spec!r} is a file, and a gate runs none; put it into defenses/detectors"
            )


def policy(**given: Any) -> Policy:
    """The policy of such fields.

    Raises:
        UserError: a field is out of its range.
    """
    try:
        return Policy(**given)
    except pydantic.ValidationError as error:
        raise UserError(f"the policy: {_first(error)}") from error


def read_policy(path: Path) -> Policy:
    """The policy in a YAML file, whose fields are those of `Policy`.

    Raises:
        UserError: it cannot be read, or is none.
    """
    return policy(**fields(path, "hold: 0.01"))


def fields(path: Path, example: str) -> dict[str, Any]:
    """The fields of a policy's YAML file.

    Raises:
        UserError: it cannot be read, or holds none; `example` is a line that would do.
    """
    import yaml

    if path.exists() and not path.is_file():
        raise UserError(f"the policy {str(path)!r} is not a file")
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    # A date that there is not is a ValueError, as is text that is not UTF-8.
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise UserError(f"cannot read the policy {str(path)!r}: {type(error).__name__}") from error
    if not isinstance(found, dict):
        raise UserError(f"the policy {str(path)!r} holds no fields; write `{example}`, say")
    return {str(key): value for key, value in found.items()}


@functools.cache
def read(path: Path) -> Gate:
    """A gate from its file.

    Raises:
        UserError: it cannot be read, or is no gate of this format.
    """
    try:
        gate = Gate.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(f"cannot read the gate {str(path)!r}: {error.strerror}") from error
    except pydantic.ValidationError as error:
        raise UserError(f"{str(path)!r} is no gate of this version: {_first(error)}") from error
    except UserError as error:  # a detector's spec
        raise UserError(f"{str(path)!r} is no gate: {error}") from error
    owned = any(lexicon.NAME in how.features for how in gate.combinations.values())
    if (gate.bound and not gate.domain.words) or (owned and gate.lexicon is None):
        raise UserError(f"{str(path)!r} is a report's part: what it knows words by is left out")
    return gate


def digest(gate: Gate) -> str:
    """Hash of all that a gate decides by."""
    return hashlib.sha256(gate.model_dump_json().encode()).hexdigest()


def _first(error: pydantic.ValidationError) -> str:
    first = error.errors(include_input=False)[0]
    return ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))


def _told(surprises: Mapping[str, float]) -> list[str]:
    """The features that are rarest among benign uploads, the rarest first."""
    high = sorted(surprises.items(), key=lambda one: -one[1])
    return [f"{name} ({value:.1f})" for name, value in high[:3] if value > 0]
