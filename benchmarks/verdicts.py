"""Verdicts that were paid for: each is kept as soon as it is there, and never asked for again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attacks.base import Prompt
from benchmarks.keys import code, component_digest, digest, environment
from eval.judges.base import Called, Judge, Verdict
from targets.base import Rules
from targets.hosted.memory import Memory

if TYPE_CHECKING:
    from targets.hosted.desk import Desk
    from targets.hosted.ledger import Ledger


class Verdicts(Memory):
    """The verdicts in a store."""

    def __init__(self, root: Path) -> None:
        """Open them, made when they are not there."""
        super().__init__(root / "verdicts" / "verdicts.sqlite")


def verdict_of(stored: Iterable[object]) -> Verdict:
    """A verdict from its plain data; what was not yet written down at its time has its default."""
    score, coherent, why, again, by, tokens, *later = stored
    return Verdict(score, coherent, why, again, by, tuple(tokens), *later)  # type: ignore[arg-type]


def identity(judge: Judge, rules: Rules) -> Any:
    """Whatever a judge's verdicts are kept under, beside the texts."""
    if not isinstance(judge, Called):
        return component_digest(judge)
    own = judge.identity(rules)
    if made_of := [component_digest(part) for part in getattr(judge, "uses", tuple)()]:
        own = [own, made_of]
    return [own, environment(), code(type(judge).__module__)] if judge.here else own


@dataclass
class Calls:
    """What all judges' calls of a run share: the memory, one account, and whether they stopped."""

    kept: Verdicts
    ledger: Ledger
    stopped: str = ""
    """Why nothing more is asked; what is not judged then is missing."""
    batch: Batch | None = None
    """Where questions are gathered that are not asked one by one."""

    def score(
        self, judge: Called, rules: Rules, prompts: Sequence[Prompt], replies: Sequence[str]
    ) -> list[Verdict]:
        """A verdict on each pair: the one that is kept, or else asked for and kept at once."""
        from targets.hosted.ledger import Stopped

        own = identity(judge, rules)
        pairs = [(p.text, r) for p, r in zip(prompts, replies, strict=True)]
        keys = [digest("verdict", own, pair) for pair in pairs]
        found = {key: verdict_of(kept) for key, kept in self.kept.read(keys).items()}
        todo = [i for i, key in enumerate(keys) if key not in found]
        if self.batch is not None and not judge.here:
            self.batch.gather(judge, rules, {keys[i]: pairs[i] for i in todo})
            lacking = Verdict(None, why=self.stopped or "the batch gave no answer", again=True)
            return [found.get(key, lacking) for key in keys]

        def keep(place: int, verdict: Verdict) -> None:
            key = keys[todo[place]]
            found[key] = verdict
            if not verdict.again:
                write(key, verdict)

        with self.kept.writing() as write:
            try:
                if todo and not self.stopped:
                    judge.ask([pairs[i] for i in todo], rules, keep, self.ledger)
            except Stopped as stopped:
                self.stopped = str(stopped)
        lacking = Verdict(None, why=self.stopped, again=True)
        return [found.get(key, lacking) for key in keys]

    def send(self) -> None:
        """Ask all that was gathered, and keep each answer."""
        from targets.hosted.ledger import Stopped

        assert self.batch is not None

        def keep(key: str, verdict: Verdict) -> None:
            if not verdict.again:
                write(key, verdict)

        with self.kept.writing() as write:
            try:
                for judge, (rules, pairs) in self.batch.gathered.items():
                    judge.ask_in_batch(pairs, rules, keep, self.batch.desk)
            except Stopped as stopped:
                self.stopped = str(stopped)


@dataclass
class Batch:
    """Questions to judges, gathered over a whole run."""

    desk: Desk
    gathered: dict[Called, tuple[Rules, dict[str, tuple[str, str]]]] = field(default_factory=dict)

    def gather(self, judge: Called, rules: Rules, pairs: Mapping[str, tuple[str, str]]) -> None:
        """Add pairs by the key of their verdict; equal ones are asked once."""
        self.gathered.setdefault(judge, (rules, {}))[1].update(pairs)
