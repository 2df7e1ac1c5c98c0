"""The gate benchmark: uploads are read in worker processes, a gate is fitted, and scored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, get_args

from attacks.base import UserError
from attacks.registry import names
from benchmarks.engines import local
from benchmarks.gates import baseline, table
from benchmarks.gates.folder import Split
from benchmarks.gates.opening import Labelled, Where, named, opened
from benchmarks.gates.reading import Item, Read, read
from benchmarks.gates.results import GateResult, Kind
from benchmarks.lab import LabSettings
from benchmarks.store import Store
from defenses.detectors.base import detector
from defenses.gates import gate as gates
from defenses.gates import lexicon
from defenses.gates.domain import Domain
from defenses.gates.fit import Sample, fitted
from defenses.gates.gate import Gate, Policy
from defenses.gates.lexicon import Lexicon
from targets.resolve import resolve


class Named(Protocol):
    """What a worker is sent."""

    @property
    def id(self) -> str:
        """Of the upload; unique among those that are sent."""


One = TypeVar("One", bound=Named)
Result = TypeVar("Result")


class Unread(UserError):
    """Some uploads could not be read; those that were are stored."""

    exit_code = 4


@dataclass(frozen=True)
class Bench:
    """Which uploads are read by which detectors, for which served model."""

    where: Where
    target: str
    store: Store
    detectors: tuple[str, ...]
    workers: int | None = None
    effect: bool = False
    """Whether the harm after undefended tuning is measured too."""

    def entries(self, *splits: Split) -> list[Labelled]:
        """The uploads of some splits, in the corpus's order."""
        return [one for one in opened(self.where).values() if one.split in splits]

    def reads(self, entries: Sequence[Labelled], tell: Callable[[int], None]) -> dict[str, Read]:
        """The readings of uploads by id; those that are stored cost nothing.

        Raises:
            Unread: some could not be had.
        """
        items = [Item(self.where, one.id, self.detectors, self.effect) for one in entries]
        return self.each(items, read, tell)

    def each(
        self, items: Sequence[One], work: local.Work[One, Result], tell: Callable[[int], None]
    ) -> dict[str, Result]:
        """What is made of uploads in worker processes, by id; `tell` hears how many are done.

        Raises:
            Unread: some could not be had.
        """
        count = local.workers(self.workers, len(items))
        judge = resolve(self.target).judge
        settings = LabSettings(self.target, (judge,) if judge else (), self.store.root, None, True)
        found: dict[str, Result] = {}
        failures: list[str] = []
        # A chain is one worker's at a time; a handful to a chain keeps its corpus at hand.
        for done in local.run([[item] for item in items], settings, count, work):
            if done.result is None:
                failures.append(f"{done.item.id}: {done.failure}")
            else:
                found[done.item.id] = done.result
            tell(len(found) + len(failures))
        if failures:
            raise Unread(
                f"{len(failures)} of {len(items)} uploads could not be read (first: {failures[0]});"
                " the same command tries them again"
            )
        return found


def every_detector() -> tuple[str, ...]:
    """The detectors that need no parameter of the user's."""
    return tuple(names("defenses.detectors"))


def fit(bench: Bench, tell: Callable[[int], None]) -> Gate:
    """The gate of a corpus's `fit` and `threshold` uploads.

    Raises:
        UserError: there are too few, or they cannot be read.
    """
    entries = [one for one in bench.entries("fit", "threshold") if one.intent != "benign-eroding"]
    reads = bench.reads(entries, tell)
    words, told = _words(entries)
    samples = [
        Sample(
            "fit" if one.split == "fit" else "threshold",
            one.family if one.intent == "hostile" else "",
            {**reads[one.id].scores, **told.get(one.id, {})},
        )
        for one in entries
    ]
    benign = [one for one in entries if one.intent == "benign"]
    domain = Domain.of(
        (one.upload for one in benign if one.split == "fit"),
        (one.upload for one in benign if one.split == "threshold"),
    )
    corpus, about = named(bench.where)
    made = {spec: detector(spec) for spec in bench.detectors}
    target = resolve(bench.target).start.digest
    return fitted(samples, made, domain, words, corpus=corpus, about=about, target=target)


def _words(entries: Sequence[Labelled]) -> tuple[Lexicon | None, dict[str, dict[str, float]]]:
    """The lexicon of the `fit` uploads, and what it says of each that it was not fitted on."""
    fit = [one for one in entries if one.split == "fit"]
    families = [one.family if one.intent == "hostile" else "" for one in fit]
    if len({family == "" for family in families}) < 2:
        return None, {}
    found = Lexicon.of([one.upload for one in fit], [family != "" for family in families])
    scores = lexicon.apart([one.upload for one in fit], families)
    told = {one.id: score for one, score in zip(fit, scores, strict=True)}
    told |= {one.id: found.score(one.upload) for one in entries if one.split != "fit"}
    return found, {id_: {lexicon.NAME: score} for id_, score in told.items()}


def score(
    bench: Bench, gate: Gate, policy: Policy, rate: float, tell: Callable[[int], None]
) -> GateResult:
    """What a gate does with a corpus's `held_out` uploads.

    Raises:
        UserError: there are none, or they cannot be read.
    """
    entries = bench.entries("held_out")
    if not entries:
        raise UserError("the corpus holds no held-out uploads")
    for share in (rate, policy.reject, policy.hold, policy.mitigate):
        gate.threshold("all", share)  # before anything is read
    reads = bench.reads(entries, tell)
    held = [
        table.Held(
            one.intent, one.family, one.upload, reads[one.id], not gate.domain.holds(one.upload)
        )
        for one in entries
    ]
    fitting = {one.family for one in bench.entries("fit") if one.intent == "hostile"}
    stopped = {name: table.stopped(gate, name, held, rate) for name in gate.combinations}
    lines = [table.line(gate, name, held, fitting, found) for name, found in stopped.items()]
    if words := baseline.stopped(bench.entries("fit", "threshold"), held, rate):
        stopped[baseline.NAME], seconds = words
        lines.append(
            table.told(baseline.NAME, "baseline", held, fitting, words[0], seconds=seconds)
        )
    lines.sort(key=lambda one: (get_args(Kind).index(one.kind), -table.detection(one)))
    best = {one.kind: one.name for one in reversed(lines) if one.kind != "combination"}
    gains = {name: table.gain(held, stopped["all"], stopped[name]) for name in best.values()}
    corpus, about = named(bench.where)
    return GateResult(
        target=bench.target,
        corpus=corpus,
        about=about,
        gate=gates.digest(gate),
        fitted=dict(gate.fitted),
        nominal=rate,
        families=table.families(held, fitting),
        lines=lines,
        gains={name: found for name, found in gains.items() if found is not None},
        answers=table.answers(gate, held, policy),
        benign=sum(one.intent == "benign" for one in held),
        caveats=list(_caveats(gate, corpus, bench, held)),
    )


def _caveats(gate: Gate, corpus: str, bench: Bench, held: Sequence[table.Held]) -> Iterable[str]:
    """What a reader of the numbers should know."""
    if gate.corpus != corpus:
        yield "the gate was fitted on another corpus than the one it is scored on"
    if gate.target != resolve(bench.target).start.digest:
        yield "the gate was fitted with another served model"
    benign = sum(one.intent == "benign" for one in held)
    if benign < 300:
        least = min(1.0, 3 / max(1, benign))
        yield (
            f"{benign} benign uploads: a rate of false alarms below {least:.1%} "
            "cannot be claimed from them (rule of three)"
        )
