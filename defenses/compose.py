"""`a+b`: several defenses as one, applied from left to right at each moment."""

from __future__ import annotations

from attacks.base import Upload, UserError
from attacks.registry import build
from attacks.spec import Spec, format_spec, parse
from defenses.base import MOMENTS, Decision, Defense, Moment, Need, Provider
from targets.base import Target
from targets.hooks import Composed, TrainHooks


class Composition(Defense):
    """Defenses in the order they were written."""

    def __init__(self, parts: tuple[Defense, ...]) -> None:
        self.parts = parts

    def at(self, moment: Moment) -> list[Defense]:
        """The parts that do anything at a moment."""
        return [part for part in self.parts if part.acts(moment)]

    def acts(self, moment: Moment) -> bool:
        """Whether any part does."""
        return bool(self.at(moment))

    def needs(self) -> frozenset[Need]:
        """What any part needs."""
        return frozenset[Need]().union(*(part.needs() for part in self.parts))

    def questions(self) -> int:
        """All parts'."""
        return sum(part.questions() for part in self.parts)

    def immunize(self, start: Target, provider: Provider) -> Target:
        """Each part on the model of the one before."""
        for part in self.at("immunize"):
            start = part.immunize(start, provider)
        return start

    def screen(self, upload: Upload, provider: Provider) -> Decision:
        """All gates on the same upload, joined."""
        decision = Decision()
        for part in self.at("screen"):
            decision = decision.joined(part.screen(upload, provider))
        return decision

    def curate(self, upload: Upload, provider: Provider) -> Upload:
        """Each part on the rows of the one before."""
        for part in self.at("curate"):
            upload = part.curate(upload, provider)
        return upload

    def hooks(self, upload: Upload, provider: Provider) -> list[tuple[Defense, TrainHooks]]:
        """Each part's hooks, of those parts that have any for this upload."""
        pairs = [(part, part.during(upload, provider)) for part in self.at("during")]
        return [(part, hooks) for part, hooks in pairs if hooks is not None]

    def during(self, upload: Upload, provider: Provider) -> TrainHooks | None:
        """All hooks, composed."""
        hooks = [hooks for _, hooks in self.hooks(upload, provider)]
        return Composed(hooks) if hooks else None

    def repair(self, tuned: Target, provider: Provider) -> Target:
        """Each part on the weights of the one before."""
        for part in self.at("repair"):
            tuned = part.repair(tuned, provider)
        return tuned

    def serve(self, tuned: Target, provider: Provider) -> Target:
        """The last part is the outermost: it sees the customer's chat first."""
        for part in self.at("serve"):
            tuned = part.serve(tuned, provider)
        return tuned

    def audit(self, candidate: Target, upload: Upload, provider: Provider) -> Decision:
        """All gates on the same candidate, joined."""
        decision = Decision()
        for part in self.at("audit"):
            decision = decision.joined(part.audit(candidate, upload, provider))
        return decision


def curated(decision: Decision, defense: Defense, upload: Upload, provider: Provider) -> Upload:
    """What is trained on after a gate's decision: its mitigation first, then the defense's own."""
    if decision.mitigation:
        for spec in parse(decision.mitigation):
            upload = load(spec).curate(upload, provider)
    return defense.curate(upload, provider)


def mitigation(text: str) -> str:
    """A defense that a gate may demand: one that acts on rows and settings alone.

    Raises:
        UserError: it does more, or cannot be read.
    """
    found = parse(text)
    if len(found) != 1:
        raise UserError(f"{text!r}: one mitigation, without a sweep")
    loaded = load(found[0])
    if not loaded.acts("curate") or any(loaded.acts(m) for m in MOMENTS if m != "curate"):
        raise UserError(
            f"{text!r} cannot be a mitigation: it must act on rows and settings and nothing else"
        )
    return text


def load(spec: Spec) -> Composition:
    """The defense that a spec names.

    Raises:
        UserError: an unknown name or parameter, or parts that cannot be composed.
    """
    parts = tuple(build("defenses", Defense, part) for part in spec)
    for moment in ("plan", "step"):
        owners = [
            part.name for part, defense in zip(spec, parts, strict=True) if moment in defense.owns()
        ]
        if len(owners) > 1:
            raise UserError(
                f"{format_spec(spec)}: {' and '.join(owners)} each decide the trainer's {moment}, "
                "and only one can; use one of them, or another mode of one"
            )
    return Composition(parts)
