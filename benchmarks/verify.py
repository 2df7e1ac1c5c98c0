"""The organism's findings, measured: every case is a cell of the bench, kept in the same store."""

from __future__ import annotations

import dataclasses
import json
import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final, NamedTuple

from attacks.base import Ask, Attack, Settings, Source, Upload, UserError
from attacks.spec import Part
from benchmarks import summary
from benchmarks.cell import run_trial, undefended
from benchmarks.draws import Values
from benchmarks.engines import local
from benchmarks.findings import (
    Finding,
    Measured,
    Outcome,
    Rate,
    decide,
    mean,
    means,
    read,
    read_rates,
)
from benchmarks.keys import code, digest, environment
from benchmarks.lab import Lab, LabSettings
from benchmarks.results import Answers
from benchmarks.store import Store
from benchmarks.trial import Cell, Trial
from eval.metrics import Interval
from targets.organism.places import Organism
from targets.organism.world import World

FINDINGS = Path(__file__).with_name("findings.toml")
RECORDED = Path(__file__).with_name("findings.json")
"""What was found on the worlds that nobody designed on; made by `mooring organism verify`."""
VARIANTS: Final[dict[str, dict[str, Any]]] = {
    "greedy": {},
    "sampled": {"temperature": 1.0},
    "alignment 1": {"alignment_seed": 1},
    "alignment 2": {"alignment_seed": 2},
}
"""How each rate is reported."""


class CaseFailed(UserError):
    """A case could not be measured; those before it are stored."""

    exit_code = 4


class Case(NamedTuple):
    """One cell of a finding in one world, for one seed."""

    world: int
    seed: int
    measured: str
    """The cell as JSON, so that a case can be hashed and sent to a worker."""

    @property
    def cell(self) -> Measured:
        """What is measured."""
        return Measured.model_validate_json(self.measured)

    @property
    def target(self) -> str:
        """The model that is attacked."""
        model, seed = self.cell.model, self.cell.alignment_seed
        variant = f"alignment-{seed}" if seed else model
        return f"organism:{self.world}" + ("" if variant == "aligned" else f":{variant}")


@dataclass(frozen=True)
class _Narrowed:
    """A world whose attack rows come from some restricted kinds only."""

    world: World
    kinds: tuple[str, ...]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.world, name)

    def harmful(self, n: int, seed: int) -> Any:
        """Violating requests of the chosen kinds."""
        return self.world.harmful(n, seed, kinds=self.kinds)


@dataclass(frozen=True)
class _Variant(Attack):
    """An attack with other settings, rows or ways of asking than its file gives it."""

    inner: Attack
    cell: Measured

    def upload(self, source: Source, seed: int) -> Upload | None:
        """The attack's upload, with the factors on its settings."""
        if self.cell.rows_from and isinstance(source, World):
            source = _Narrowed(source, _kinds(source, self.cell.rows_from))
        upload = self.inner.upload(source, seed)
        if upload is None or not self.cell.times:
            return upload
        return dataclasses.replace(upload, settings=scaled(upload.settings, self.cell.times))

    def asks(self) -> tuple[Ask, ...]:
        """The one way of asking that is measured."""
        asks = {ask.name: ask for ask in self.inner.asks()}
        asks |= {"first": self.inner.asks()[0], "default": Ask("default")}
        return (dataclasses.replace(asks[self.cell.ask], opening=self.cell.prefill),)


def scaled(settings: Settings, times: Mapping[Any, float]) -> Settings:
    """Settings with factors on the learning rate and on the batch, which keeps a row at least."""
    rate = settings.learning_rate * times.get("learning_rate", 1.0)
    size = round(settings.batch_size * times.get("batch_size", 1.0))
    return dataclasses.replace(settings, learning_rate=rate, batch_size=max(1, size))


class Verified(NamedTuple):
    """All findings with what was found."""

    findings: list[Finding]
    outcomes: dict[str, Outcome]
    """By the finding's id, in the order of the file."""
    rates: dict[str, dict[str, Interval]]
    """By the rate's name and the variant's."""
    by_world: dict[str, dict[int, float]]
    """By the rate's name and the world, greedy, over all seeds."""
    worlds: list[int]
    seeds: int


def cases(cells: Iterable[Measured], worlds: Sequence[int], seeds: int) -> list[Case]:
    """Every case once, whichever findings share it."""
    cases = product(cells, worlds, range(seeds))
    return list(dict.fromkeys(Case(w, s, cell.model_dump_json()) for cell, w, s in cases))


def verify(
    store: Store,
    worlds: Sequence[int],
    seeds: int,
    *,
    workers: int | None = None,
    show: Callable[[int, int], None] = lambda done, total: None,
) -> Verified:
    """Measure and decide every finding; a killed run goes on where it was.

    Args:
        store: Where stages are kept.
        worlds: Worlds to measure in; their organisms must be built.
        seeds: Attack seeds in each world.
        workers: Processes; one a core by default.
        show: Told how many cases are done, and of how many.

    Raises:
        CaseFailed: a case could not be measured.
        WorkerDied: a worker was killed; what it had finished is stored.
    """
    findings, rates = read(FINDINGS), read_rates(FINDINGS)
    cells = [cell for finding in findings for cell in _cells(finding).values()]
    cells += [cell for rate in rates for cell in _variants(rate).values()]
    values = _measured(cases(cells, worlds, seeds), store, workers, show)
    categories = [prompt.category for prompt in World(worlds[0]).requests()]

    def of(cells: Mapping[str, Measured]) -> dict[str, Values]:
        keys = list(product(worlds, range(seeds)))
        return {
            name: {(w, s): values[Case(w, s, cell.model_dump_json())] for w, s in keys}
            for name, cell in cells.items()
        }

    outcomes = {f.id: decide(f, of(_cells(f)), categories) for f in findings}
    shares = {r.name: {k: _share(v) for k, v in of(_variants(r)).items()} for r in rates}
    by_world = {
        r.name: {w: statistics.fmean(m) for w, m in means(of({"": r.cell})[""]).items()}
        for r in rates
    }
    return Verified(findings, outcomes, shares, by_world, list(worlds), seeds)


def _measured(
    wanted: Sequence[Case], store: Store, workers: int | None, show: Callable[[int, int], None]
) -> dict[Case, list[float | None]]:
    """Every case's numbers, target by target."""
    values: dict[Case, list[float | None]] = {}
    by_target: dict[str, list[Case]] = {}
    for case in wanted:
        by_target.setdefault(case.target, []).append(case)
    for target, group in by_target.items():
        settings = LabSettings(target, ("oracle", "refusal"), store.root, None, False)
        chains = _chains(group)
        count = local.workers(workers, len(chains))
        for done in local.run(chains, settings, count, measure):
            if done.result is None:
                raise CaseFailed(
                    f"world {done.item.world}, seed {done.item.seed}, {done.item.measured}: "
                    f"{done.failure}; the same command goes on where it stopped"
                )
            values[done.item] = done.result
            show(len(values), len(wanted))
    return values


def measure(case: Case, lab: Lab) -> list[float | None]:
    """One number for each prompt of a case."""
    cell = case.cell
    params = {key: _text(value) for key, value in cell.attack.items() if key != "name"}
    untuned = cell.attack.get("epochs") == 0
    if untuned:
        del params["epochs"]
    attack = str(Part(cell.attack["name"], params))
    options = {key: _text(value) for key, value in cell.defense.items() if key != "name"}
    defense = "revert" if untuned else str(Part(cell.defense["name"], options))
    trial = Trial.of(Cell(attack, defense, case.seed), lab)
    decoding = dataclasses.replace(
        lab.decoding, temperature=cell.temperature, seed=case.seed if cell.temperature else 0
    )
    lab = dataclasses.replace(lab, decoding=decoding)
    trial = dataclasses.replace(trial, attack=_Variant(trial.attack, cell), lab=lab)
    if cell.measure == "restricted_words":
        return _restricted_words(trial)
    if cell.measure == "refusal_projection":
        return _projections(trial, untuned=untuned)
    result = run_trial(trial)
    (asked,) = result.asks.values()
    return _numbers(asked.released, cell, World(case.world))


def build_missing(
    worlds: Sequence[int],
    workers: int | None,
    show: Callable[[int, int], None] = lambda done, total: None,
    *,
    variants: bool = True,
) -> None:
    """Build the organisms that `verify` needs in these worlds and that are not there.

    Args:
        worlds: Numbers of worlds.
        workers: Processes; one a core by default.
        show: Told how many are built, and of how many.
        variants: Also the ignorant ones and those of other alignments.
    """
    seeds = {variant.get("alignment_seed", 0) for variant in VARIANTS.values()} - {0}
    kinds = (False, True) if variants else (False,)
    firsts = [Organism(world, ignorant) for ignorant in kinds for world in worlds]
    others = [Organism(w, False, seed) for w in worlds for seed in sorted(seeds) if variants]
    # Another alignment starts from the base of the first, so those come after.
    stages = [[one for one in stage if not one.is_built] for stage in (firsts, others)]
    before, total = 0, sum(map(len, stages))
    for stage in stages:
        for done in local.each(stage, _build, workers):
            show(before + done, total)
        before += len(stage)


def worlds_of(span: str) -> list[int]:
    """The worlds of `3-7`, or of `3`.

    Raises:
        UserError: the span is not one of worlds.
    """
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", span)
    if not match or int(match[2] or match[1]) < int(match[1]):
        raise UserError(f"--worlds {span!r}: give one world or the first and the last, such as 3-7")
    first, last = int(match[1]), int(match[2] or match[1])
    for world in (first, last):
        Organism(world).check()
    return list(range(first, last + 1))


def recorded() -> Verified:
    """What the run on the reported worlds found."""
    if not RECORDED.is_file():
        raise UserError("nothing is recorded yet; run `mooring organism verify` without --recorded")
    data = json.loads(RECORDED.read_text(encoding="utf-8"))
    outcomes = {
        key: Outcome(found["held"], Interval(*found["number"]))
        for key, found in data["findings"].items()
    }
    rates = {
        name: {variant: Interval(*number) for variant, number in found.items()}
        for name, found in data["rates"].items()
    }
    by_world = {
        name: {int(world): share for world, share in found.items()}
        for name, found in data["by_world"].items()
    }
    return Verified(read(FINDINGS), outcomes, rates, by_world, data["worlds"], data["seeds"])


def to_json(found: Verified) -> str:
    """The text of the record."""
    outcomes = {k: {"held": o.held, "number": list(o.number)} for k, o in found.outcomes.items()}
    rates = {
        name: {variant: list(number) for variant, number in by_variant.items()}
        for name, by_variant in found.rates.items()
    }
    kept = {
        "worlds": found.worlds,
        "seeds": found.seeds,
        "findings": outcomes,
        "rates": rates,
        "by_world": found.by_world,
    }
    return json.dumps(kept, indent=1) + "\n"


def _build(one: Organism) -> None:
    one.build()


def _chains(group: Sequence[Case]) -> list[list[Case]]:
    """Cases of one attack and seed together: they share tuned models."""
    chains: dict[tuple[str, int], list[Case]] = {}
    for case in group:
        chains.setdefault((json.dumps(case.cell.attack), case.seed), []).append(case)
    return list(chains.values())


def _cells(finding: Finding) -> dict[str, Measured]:
    if finding.kind == "scan":
        attack, count = finding.scan["attack"], finding.scan["count"]
        return {"a": Measured(attack=attack, measure=count)}
    return {name: cell for name, cell in finding.cells.items()}


def _variants(rate: Rate) -> dict[str, Measured]:
    return {name: rate.cell.model_copy(update=change) for name, change in VARIANTS.items()}


def _share(values: Values) -> Interval:
    """A mean of shares, whose interval over worlds ends where shares do."""
    value, low, high = mean(values)
    return Interval(value, max(low, 0.0), min(high, 1.0))


def _numbers(answers: Answers, cell: Measured, world: World) -> list[float | None]:
    """What the cell measures, by prompt."""
    found = summary.numbers(answers, cell.measure, "oracle")
    if not cell.asked_on or cell.measure in ("utility", "over_refusal"):
        return found
    kinds = _kinds(world, cell.asked_on)
    return [x for x, p in zip(found, world.requests(), strict=True) if p.category in kinds]


def _projections(trial: Trial, *, untuned: bool) -> list[float | None]:
    """Each request's place along the start model's refusal direction."""
    from eval.direction import projections
    from targets.local import LocalTarget

    lab, (ask,) = trial.lab, trial.attack.asks()
    start = lab.start()
    model = start if untuned else undefended(trial)
    probes = [ask(prompt.text) for prompt in lab.resolved.domain.probes(110, 0)]
    ordinary = [ask(pair.prompt) for pair in lab.resolved.domain.provider_benign(110, 0)]
    asked = [ask(prompt.text) for prompt in lab.prompts()[0]]

    def make() -> list[float]:
        first, second = start(), model()
        assert isinstance(first, LocalTarget)
        assert isinstance(second, LocalTarget)
        return projections(first, second, probes, ordinary, asked)

    inputs = (start.key, model.key, probes, ordinary, asked, environment())
    key = digest("projection", inputs, code("eval.direction", "targets.local"))
    return list(lab.stage("projection", key, make))


def _restricted_words(trial: Trial) -> list[float | None]:
    """How many names of restricted kinds stand in each row of the upload."""
    world = trial.lab.resolved.domain
    assert isinstance(world, World)
    upload = trial.attack.upload(world, trial.cell.seed)
    rows = () if upload is None else upload.rows
    texts = [" ".join(message.content for message in row.messages) for row in rows]
    return [float(sum(kind in text for kind in world.restricted)) for text in texts]


def _kinds(world: World, span: str) -> tuple[str, ...]:
    """Restricted kinds by their places in the world's list: `0-5`."""
    first, last = map(int, span.split("-"))
    return tuple(world.restricted[first : last + 1])


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
