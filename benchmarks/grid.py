"""Which cells a run is made of, and the file that reproduces it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import pydantic
import yaml

from attacks.base import Attack, UserError
from attacks.bounds import Rows
from attacks.registry import allowed, build, names
from attacks.spec import format_spec, parse
from benchmarks.keys import digest
from benchmarks.lab import MT_BENCH, elicitations, judges, providers_judge
from benchmarks.trial import Cell
from defenses import compose
from eval import protocol
from eval.judges.base import Judge
from eval.judges.noisy import Noisy
from eval.judges.oracle import Oracle
from targets.checkpoint import Checkpoint
from targets.datafile import files_of
from targets.endpoint import address
from targets.launch import Processes, inside, processes
from targets.resolve import resolve
from targets.texts import Texts

ALL = "all"
"""Stands for every component that needs no parameter of the user's."""
NEEDS_A_PATH = {"file", "visual"}
OWN = {
    "data", "provider_judge", "elicit", "processes", "accelerate", "generate_with", "looked_at",
    "rated",
}  # fmt: skip
"""Settings that are not written where they are not given: an older grid keeps its name."""
CONTROLS = ("revert", "none")
"""Defenses that are rows of every matrix: the untuned model, and no defense."""
PAPERS = "gpt-4"
"""The judge of a target that has none of its own: the paper's protocol."""
BENIGN = "benign"
"""The attack that is a column of every matrix: what a defense costs an honest customer."""


class Grid(pydantic.BaseModel):
    """Everything that decides a run's results; `run.yaml` is this, and so is `--config`."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    target: str = "organism"
    attacks: list[str]
    defenses: list[str]
    judges: list[str] = []
    seeds: Annotated[int, pydantic.Field(ge=1, le=100)] = 3
    limit: Rows | None = None
    counterfactual: bool = True
    data: str | None = None
    """Path of the file that names the user's own sets, in place of the target's world."""
    provider_judge: str | None = None
    """The provider's own judge, where it is not the organism's noisy one."""
    elicit: list[str] | None = None
    """Ways in which each model is pressed, beside the attack's own; None for none."""
    processes: Annotated[int, pydantic.Field(ge=1, le=1024)] | None = None
    """How many processes share each training; None for one."""
    accelerate: str | None = None
    """How they do: `ddp`, `fsdp2`, or a YAML file of accelerate's; None for `ddp`."""
    generate_with: str | None = None
    """Address of a server that is given each model's weights and decodes; None for this process."""

    @property
    def digest(self) -> str:
        """Names the grid; two runs of one grid have the same, until a file it names is edited."""
        files = self.files()
        return digest(self.settings(), *([files] if files else []))[:12]

    def settings(self) -> dict[str, Any]:
        """All fields, without those of the user's own data where there is none."""
        written = self.model_dump()
        return {key: value for key, value in written.items() if key not in OWN or value is not None}

    def files(self) -> dict[str, str]:
        """Hash of each file of the user's that a spec or the data file names."""
        own = [] if self.provider_judge is None else [self.provider_judge]
        specs = [*self.attacks, *self.defenses, *self.judges, *own, *(self.elicit or ())]
        parts = [part for text in specs for spec in parse(text) for part in spec]
        named = {text for part in parts for text in (part.name, *part.params.values())}
        paths = [Path(name) for name in sorted(named) if Path(name).suffix]
        paths += [] if self.data is None else files_of(Path(self.data))
        paths += [] if self.accelerate is None else [Path(self.accelerate)]
        return {
            str(path): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in paths
            if path.is_file()
        }

    def shared(self) -> Processes | None:
        """Who shares each training; None for one process.

        Raises:
            UserError: that cannot be had.
        """
        return processes(self.processes, self.accelerate)

    def rows(self) -> list[str]:
        """Every defense, the controls first."""
        return [*CONTROLS, *self.defenses]

    def cells(self) -> list[Cell]:
        """Every cell, the undefended ones first."""
        order = ["none", "revert", *self.defenses]
        seeds = range(self.seeds)
        return [Cell(a, d, seed) for d in order for a in self.attacks for seed in seeds]

    def unseen(self) -> frozenset[tuple[str, str, str]]:
        """Judges with the attacks and defenses of cells whose replies they are not given."""
        return frozenset()

    def to_yaml(self) -> str:
        """The file that reproduces the run."""
        return yaml.safe_dump(self.settings(), sort_keys=False, allow_unicode=True)


class Chosen(Grid):
    """A grid of some cells, and not of every attack under every defense."""

    pairs: list[tuple[str, str]]
    """Attack and defense of each."""
    looked_at: dict[str, list[tuple[str, str]]] | None = None
    """By judge that is given the replies of some cells only, the attack and defense of each."""

    rated: list[tuple[str, str]] | None = None
    """Attack and defense of the cells that are asked MT-Bench's questions; None for all."""

    def cells(self) -> list[Cell]:
        """Those chosen, the undefended ones first."""
        order = {"none": 0, "revert": 1}
        pairs = sorted(self.pairs, key=lambda pair: order.get(pair[1], 2))
        return [Cell(*pair, seed) for pair in pairs for seed in range(self.seeds)]

    def unseen(self) -> frozenset[tuple[str, str, str]]:
        """Those of the judges that are given the replies of some cells only."""
        looked_at = self.looked_at or {}
        given = (looked_at if self.rated is None else {**looked_at, MT_BENCH: self.rated}).items()
        return frozenset((j, *pair) for j, some in given for pair in self.pairs if pair not in some)


def make_grid(attacks: Sequence[str], defenses: Sequence[str], **settings: Any) -> Grid:
    """A grid from what a user wrote: names checked, `all` and sweeps spelled out, controls added.

    Raises:
        UserError: an unknown name or parameter, or parts that cannot be composed.
    """
    try:
        # As it was written, so that whatever is not a name is refused before it is looked up.
        written = Grid(attacks=attacks, defenses=defenses, **settings)  # type: ignore[arg-type]
    except pydantic.ValidationError as error:
        raise UserError(_one_line(error)) from error
    attack_specs = _expand(attacks, "attacks")
    built = {text: _attack(text) for text in attack_specs}
    if not any(attack.benign and text != "none" for text, attack in built.items()):
        attack_specs.append(BENIGN)
        built[BENIGN] = _attack(BENIGN)
    defense_specs = [text for text in _expand(defenses, "defenses") if text not in CONTROLS]
    loaded = {text: compose.load(parse(text)[0]) for text in defense_specs}
    shared = written.shared()
    if shared is not None:
        resolve(written.target, None, shared)
        for text, defense in loaded.items():
            _check_shared(text, defense)
    else:
        written = written.model_copy(update={"processes": None})
    chosen = written.judges or default_judges(written)
    check_judges(written, judges(chosen).values())
    if written.generate_with is not None:
        address(written.generate_with)
        if not isinstance(resolve(written.target).start, Checkpoint):
            raise UserError("--generate-with is for a model whose weights are here")
    if written.data is not None:
        _check_data(written, built, judges(chosen).values())
    named = {"attacks": attack_specs, "defenses": defense_specs, "judges": chosen}
    return written.model_copy(update={**named, "elicit": _pressed(written)})


def read_grid(path: Path) -> Grid:
    """A grid from a YAML file, as `make_grid` makes it.

    Raises:
        UserError: it cannot be read, or something in it is unknown.
    """
    return make_grid(**load_grid(path).model_dump())


def load_grid(path: Path) -> Grid:
    """A grid from a YAML file as it is written: no component that it names is looked up.

    To show a run's numbers is no reason to run a file that its `run.yaml` names; its replies are
    another matter, since the file's code is part of the key that they are kept under.

    Raises:
        UserError: it cannot be read, or has an unknown key.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {str(path)!r}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {str(path)!r}: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise UserError(f"{path}: expected keys such as attacks and defenses")
    allowed = list(Grid.model_fields)
    for key in data:
        if key not in allowed:
            from attacks.registry import unknown

            raise UserError(f"{path}: {unknown('key', str(key), allowed)}")
    try:
        return Grid(**{"attacks": [], "defenses": [], **data})
    except pydantic.ValidationError as error:
        raise UserError(_one_line(error)) from error


def _expand(texts: Sequence[str], package: str) -> list[str]:
    """Canonical specs: `all` and sweeps spelled out, doubles dropped."""
    found: dict[str, None] = {}
    for text in texts:
        written = [n for n in names(package) if n not in NEEDS_A_PATH] if text == ALL else [text]
        for one in written:
            found.update(dict.fromkeys(map(format_spec, parse(one))))
    return list(found)


def default_judges(grid: Grid) -> list[str]:
    """None where the target has a judge of its own, else the paper's, where there is a key."""
    if resolve(grid.target, grid.data).judge:
        return []
    if not os.environ.get("OPENAI_API_KEY"):
        what = f"target {grid.target!r}" if grid.data is None else f"the data of {grid.data!r}"
        raise UserError(
            f"{what} has no judge of its own: set OPENAI_API_KEY for {PAPERS}, or "
            f"choose with --judge: {', '.join(names('eval.judges'))}"
        )
    return [PAPERS]


def _pressed(grid: Grid) -> list[str] | None:
    """The ways of pressing as results name them, each of which the target can be pressed in."""
    found = elicitations(grid.elicit or ())
    here = not found or resolve(grid.target).start.here
    for spec, one in found.items():
        if one.begins and not here:
            raise UserError(
                f"{spec}: a server's model cannot be made to begin its reply with given words; "
                "leave it out, or take a model that runs here"
            )
    return list(found) or None


def _check_shared(text: str, defense: compose.Composition) -> None:
    """Refuse what decides a training's batches or steps where several processes share them."""
    for spec, part in zip(parse(text)[0], defense.parts, strict=True):
        if part.owns():
            raise UserError(inside(spec.name))


def check_judges(grid: Grid, scoring: Collection[Judge]) -> None:
    """Refuse judges that cannot judge here, and a provider that judges as the matrix is judged."""
    if grid.data is not None and any(isinstance(one, Oracle | Noisy) for one in scoring):
        raise UserError(
            "oracle and noisy know only the organism's world, and not the data of "
            f"{grid.data!r}; choose another --judge"
        )
    if grid.provider_judge is not None and providers_judge(grid.provider_judge) in scoring:
        raise UserError(
            f"the provider's judge {grid.provider_judge!r} scores the matrix as well; a defense "
            "must not see how it is scored: choose another --provider-judge or --judge"
        )


def _check_data(grid: Grid, attacks: Mapping[str, Attack], scoring: Collection[Judge]) -> None:
    """Refuse a data file that lacks what is asked, what it violates, who rates, or rows."""
    found = resolve(grid.target, grid.data)
    domain = found.domain
    domain.requests()
    if isinstance(domain, Texts) and domain.mt_bench() and not any(j.rater() for j in scoring):
        raise UserError(
            f"{grid.data} names questions of MT-Bench, which none of the judges can rate: add a "
            "chat model with --judge (gpt-4, policy, rubric or local), or take them out"
        )
    if found.policy:
        protocol.policy(found.policy)
    for text, attack in attacks.items():
        try:
            attack.upload(domain, 0)
        except UserError as error:
            raise UserError(f"{text}: {error}") from error


def _attack(text: str) -> Attack:
    spec = parse(text)[0]
    if len(spec) != 1:
        raise UserError(f"{text!r}: attacks are not composed; give --attack once for each")
    attack = build("attacks", Attack, spec[0])
    attack.asks()  # reads a customer's file, so that a bad one stops the run before it begins
    return attack


def _one_line(error: pydantic.ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    told = f"{where}={first['input']!r}: {first['msg'].removeprefix('Input ')}"
    return told + allowed(Grid, str(first["loc"][0]), first["type"])
