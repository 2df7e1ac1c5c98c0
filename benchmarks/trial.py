"""One cell while it is being run: who attacks, who defends, with what, under which keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

from attacks.base import Attack, Prompt, UserError
from attacks.registry import single
from attacks.spec import parse
from benchmarks.keys import code, component_digest, digest, environment
from benchmarks.lab import Lab
from defenses import compose
from defenses.base import Defense, Moment, Provider
from eval.judges.base import Verdict
from eval.judges.noisy import Noisy
from targets.base import Domain, Pools, Start


class Cell(NamedTuple):
    """What is to be run, in words."""

    attack: str
    defense: str
    seed: int


@dataclass
class Trial:
    """The pieces that a cell's stages share."""

    cell: Cell
    lab: Lab
    attack: Attack
    defense: compose.Composition
    provider: Provider

    @classmethod
    def of(cls, cell: Cell, lab: Lab) -> Trial:
        """The trial of a cell.

        Raises:
            UserError: an unknown name or parameter.
        """
        provider = provider_of(lab, cell.seed)
        defense = compose.load(parse(cell.defense)[0])
        return cls(cell, lab, single("attacks", Attack, cell.attack), defense, provider)

    def lacking(self) -> str:
        """What the defense needs that is not there; empty when it can run."""
        return lacking(self.defense, self.lab.resolved.start)

    def key(self, moment: Moment, *inputs: Any) -> str:
        """Key of what the defense does at a moment, given its inputs."""
        # A defense may tune or ask a model whichever way it was given one.
        modules = code(self.lab.resolved.start.module)
        return digest(moment, self.acting(moment), inputs, self.owned(), environment(), modules)

    def acting(self, moment: Moment) -> list[str]:
        """The parts of the defense that act at a moment, hashed; empty for nothing."""
        return [component_digest(part) for part in self.defense.at(moment)]

    def owned(self) -> list[Any]:
        """What the provider owns, hashed: part of the key of every moment."""
        return owned(self.lab, self.provider)


def provider_of(lab: Lab, seed: int) -> Provider:
    """What the provider of a lab's target owns."""
    start = lab.start()
    return Provider(
        pools=_only_pools(lab.resolved.domain),
        judge=lambda prompts, replies: _judged(lab, prompts, replies),
        start=start,
        start_replies=lambda chats: lab.ask(start, chats)[1],
        base=lab.base,
        decoding=lab.decoding,
        model=lab.resolved.start.digest,
        seed=seed,
    )


def _judged(lab: Lab, prompts: Sequence[Prompt], replies: Sequence[str]) -> list[Verdict]:
    """What the provider's own judge says.

    Raises:
        UserError: it is the organism's, and what is really so is not known.
    """
    truth, judge = lab.resolved.truth, lab.provider_judge
    if truth is None and isinstance(judge, Noisy):
        raise UserError(
            "this defense asks the provider's own judge, which only the organism's world comes "
            "with; name one with --provider-judge, not the judge that scores the matrix"
        )
    return judge.score(prompts, replies, truth)


def owned(lab: Lab, provider: Provider) -> list[Any]:
    """What a lab's provider owns, hashed."""
    start = lab.resolved.start
    judge = component_digest(lab.provider_judge)
    models = [start.digest, start.base_digest]
    texts, truth = provider.pools.digest, lab.truth_digest()
    return [texts, judge, truth, models, provider.decoding, provider.seed, *lab.decoded()]


def lacking(defense: Defense, start: Start) -> str:
    """What a defense needs that is not there; empty when it can run."""
    missing = sorted(defense.needs() - start.has)
    return f"needs {' and '.join(missing)}" if missing else ""


def _only_pools(domain: Domain) -> Pools:
    """The provider's pools and nothing else: no evaluation, no attack's rows, no truth."""
    names = [name for name in vars(Pools) if not name.startswith("_")]
    return cast(Pools, SimpleNamespace(**{name: getattr(domain, name) for name in names}))
