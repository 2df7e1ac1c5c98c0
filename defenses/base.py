"""What a provider can do, at seven moments, each of which does nothing unless overridden.

    immunize  the start model, before any upload
    screen    the upload: a gate that may drop rows or refuse
    curate    the upload: rows and settings
    during    the training: hooks
    repair    the tuned weights
    serve     how the tuned model is asked
    audit     the candidate: a gate that may block the release

A defense sees rows and settings, the provider's own pools and the provider's own judge: never
an attack's name, a row's label, or the judge and prompts that score the matrix.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from attacks.base import Chat, Message, Pair, Prompt, Row, Upload, UserError
from attacks.registry import single
from eval.moderators.base import Moderator
from targets.base import Decoding, Pools, Reply, Target

if TYPE_CHECKING:
    from eval.judges.base import Verdict
    from targets.hooks import TrainHooks

Moment = Literal["immunize", "screen", "curate", "during", "repair", "serve", "audit"]
MOMENTS: tuple[Moment, ...] = (
    "immunize",
    "screen",
    "curate",
    "during",
    "repair",
    "serve",
    "audit",
)
Need = Literal["weights", "base"]
"""What must be there: weights that can be tuned here; the unaligned base checkpoint."""
Outcome = Literal["pass", "review", "refuse"]
_SEVERITY: tuple[Outcome, ...] = ("pass", "review", "refuse")


@dataclass(frozen=True)
class Decision:
    """What a gate says."""

    outcome: Outcome = "pass"
    """`pass`; `review`, a person must look (nothing is released meanwhile); `refuse`."""
    keep: tuple[int, ...] | None = None
    """Indices of the rows to train on; None for all of them."""
    reason: str = ""
    """One line for the report; no text of a row or a reply in it."""
    evidence: Mapping[str, float] = field(default_factory=dict)
    """Numbers behind it."""
    unfinished: bool = False
    """Whether something that could not be had may be had another time: the gate is asked again."""
    mitigation: str = ""
    """A defense to train with where the gate lets the upload pass on that condition."""

    def apply(self, upload: Upload) -> Upload:
        """The upload with the kept rows only."""
        if self.keep is None:
            return upload
        return upload.replace_rows([upload.rows[i] for i in self.keep])

    def joined(self, other: Decision) -> Decision:
        """Both gates' decision: the stricter outcome, rows that both keep, all evidence."""
        keep = self.keep if other.keep is None else other.keep
        if self.keep is not None and other.keep is not None:
            keep = tuple(i for i in self.keep if i in set(other.keep))
        return Decision(
            outcome=max(self.outcome, other.outcome, key=_SEVERITY.index),
            keep=keep,
            reason="; ".join(filter(None, (self.reason, other.reason))),
            evidence={**self.evidence, **other.evidence},
            unfinished=self.unfinished or other.unfinished,
            mitigation="+".join(filter(None, (self.mitigation, other.mitigation))),
        )


@dataclass(frozen=True)
class Provider:
    """What the provider owns and every moment may use."""

    pools: Pools
    """Safety, harmful and benign rows and probes of the provider's own."""
    judge: Callable[[Sequence[Prompt], Sequence[str]], list[Verdict]]
    """The provider's judge; never the one that scores the matrix."""
    start: Callable[[], Target]
    """The start model, loaded when it is called for."""
    start_replies: Callable[[Sequence[Chat]], list[Reply]]
    """What the start model answers; asked once, however many candidates are compared with it."""
    base: Callable[[], Target]
    """The unaligned base model; raises `UserError` when there is none."""
    decoding: Decoding
    """How the provider asks."""
    model: str = ""
    """Digest of the start model."""
    seed: int = 0


class Defense:
    """What the provider does. A subclass is a `component`, one to a file."""

    def immunize(self, start: Target, provider: Provider) -> Target:
        """A hardened start model, before any upload is seen."""
        return start

    def screen(self, upload: Upload, provider: Provider) -> Decision:
        """Which rows may be trained on, or a refusal."""
        return Decision()

    def curate(self, upload: Upload, provider: Provider) -> Upload:
        """The rows and settings that are really trained with."""
        return upload

    def during(self, upload: Upload, provider: Provider) -> TrainHooks | None:
        """What happens while training on the curated upload; None for nothing."""
        return None

    def repair(self, tuned: Target, provider: Provider) -> Target:
        """A new model from the tuned one."""
        return tuned

    def serve(self, tuned: Target, provider: Provider) -> Target:
        """The tuned model as customers reach it."""
        return tuned

    def audit(self, candidate: Target, upload: Upload, provider: Provider) -> Decision:
        """Whether the candidate may be released."""
        return Decision()

    def acts(self, moment: Moment) -> bool:
        """Whether this defense, with these parameters, does anything at a moment."""
        return getattr(type(self), moment) is not getattr(Defense, moment)

    def needs(self) -> frozenset[Need]:
        """What must be there for this defense with these parameters."""
        hidden = {"immunize", "during", "repair"}
        return frozenset({"weights"} if any(self.acts(m) for m in MOMENTS if m in hidden) else ())

    def uses(self) -> tuple[object, ...]:
        """Other components that it is made of: their parameters and code are part of its key."""
        return ()

    def questions(self) -> int:
        """How many questions its gates ask of models at most, for an estimate."""
        return 0

    def owns(self) -> frozenset[Literal["plan", "step"]]:
        """Which of the trainer's moments it must have to itself."""
        return frozenset()


def system_prompts(upload: Upload) -> list[str | None]:
    """The system prompts of the customer's rows (None for a row without), most common first.

    Equally common ones stand in the order of their text, so that the order of rows says nothing.
    """
    heads = (row.messages[0] for row in upload.rows if not row.added_by)
    counts = Counter(head.content if head.role == "system" else None for head in heads)
    return sorted(counts, key=lambda system: (-counts[system], system or ""))


_SMALL_UPLOAD = 100
_LARGE_SHARE = 0.02


def largest_dose(customer_rows: int) -> int:
    """The paper's largest dose of safety rows for an upload, told from its size alone.

    Table 4 of Qi et al. 2023 (arXiv 2310.03693): 10 beside 10 rows, 100 beside 100, and 1000
    beside about 50,000. # ours: between those, a hundred until a fiftieth is more. The paper has
    nothing there; beside 500 rows it is a fifth, ten times the share that its benign sets had.
    """
    return min(customer_rows, max(_SMALL_UPLOAD, round(_LARGE_SHARE * customer_rows)))


def added_rows(
    pairs: Sequence[Pair], upload: Upload, prompt: Literal["customer", "provider"], by: str
) -> list[Row]:
    """The provider's pairs as rows of a defense, to train on beside a customer's.

    Args:
        pairs: What the rows say.
        upload: The customer's rows.
        prompt: Their system prompt: the customer's most common one, or the target's default.
        by: Name of the defense that adds them.
    """
    system = next(iter(system_prompts(upload)), None) if prompt == "customer" else None
    head = () if system is None else (Message("system", system),)
    chats = [(*head, Message("user", p), Message("assistant", reply)) for p, reply in pairs]
    return [Row(chat, added_by=by) for chat in chats]


def moderator(text: str) -> Moderator:
    """The moderator that a spec names.

    Raises:
        UserError: an unknown name or parameter.
    """
    return single("eval.moderators", Moderator, text)


class Fronted(Target):
    """A target with something of the provider's between customers and the model."""

    def __init__(self, target: Target) -> None:
        self.target = target

    def fine_tune(self, upload: Upload, hooks: TrainHooks | None = None, seed: int = 0) -> Target:
        """A served model is not tuned."""
        raise UserError("a model that is being served cannot be fine-tuned")

    def differs(self, other: Target) -> bool:
        """Whether the weights underneath are different."""
        return self.target.differs(other)

    def save(self, folder: Path) -> None:
        """The weights underneath."""
        self.target.save(folder)


class Asked(Fronted):
    """A target whose chats are changed before it sees them: the provider owns the prompt."""

    def __init__(self, target: Target, change: Callable[[Chat], Chat]) -> None:
        super().__init__(target)
        self.change = change

    def generate(self, chats: Sequence[Chat], decoding: Decoding) -> list[Reply]:
        """Replies to the changed chats."""
        return self.target.generate([self.change(chat) for chat in chats], decoding)
