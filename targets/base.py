"""What is fine-tuned and asked: a model behind one small interface.

`Start` describes a model before any library is loaded, so that listing, planning and reading stored
results need no torch. `Target` is the loaded thing.
"""

from __future__ import annotations

import abc
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from attacks.base import Chat, Pair, Prompt, Source, Upload, UserError

if TYPE_CHECKING:
    from targets.hooks import TrainHooks
    from targets.launch import Processes


def device() -> Literal["cpu", "cuda"]:
    """Where models run; told without torch, since it is part of every stored result's key."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") == ""
    return "cuda" if Path("/dev/nvidiactl").exists() and not hidden else "cpu"


def gpus() -> list[str]:
    """NVIDIA devices and which of them are seen, told without torch; empty on the CPU."""
    if device() == "cpu":
        return []
    seen = f"seen: {os.environ.get('CUDA_VISIBLE_DEVICES', 'all')}"
    found = Path("/proc/driver/nvidia/gpus").glob("*/information")
    lines = [line for path in found for line in path.read_text().splitlines()]
    return [seen, *sorted(line for line in lines if line.startswith("Model:"))]


class Reply(NamedTuple):
    """What a target answered."""

    text: str
    finish: Literal["stop", "length", "filtered"]
    """Whether it ended by itself, was cut at the limit, or was withheld by its server."""


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How replies are drawn; greedy unless a temperature is given (Qi et al. 2023, §4.1)."""

    max_new_tokens: int = 512
    """Longest reply in tokens (official code: 512)."""
    batch_size: int = 128
    """Chats decoded together, 0 for all at once; greedy and in float32 on CPU it changes no reply.
    # ours: on the organism the fastest of a sweep, or within a few percent of it."""
    temperature: float = 0.0
    """0 is greedy, as in the paper."""
    seed: int = 0
    """Seed of the sampler; unused when greedy."""


class Target(abc.ABC):
    """A model that can be asked and, where it has weights or an API for it, fine-tuned."""

    name: str = ""
    """What tells it from another that was made of the same; empty where nothing can."""

    @abc.abstractmethod
    def fine_tune(self, upload: Upload, hooks: TrainHooks | None = None, seed: int = 0) -> Target:
        """A new target, tuned on the upload; this one stays as it is.

        Raises:
            Refused: whoever owns the model does not release one that was tuned on this upload.
        """

    @abc.abstractmethod
    def generate(self, chats: Sequence[Chat], decoding: Decoding) -> list[Reply]:
        """One reply for each chat, in order."""

    @abc.abstractmethod
    def differs(self, other: Target) -> bool:
        """Whether any weight is different from the other's, to the bit."""

    @abc.abstractmethod
    def save(self, folder: Path) -> None:
        """Write the weights into an empty folder, as safetensors."""


class Rules(NamedTuple):
    """What the requests of an evaluation violate."""

    policy: str
    """Name of the policy; empty where it is not known."""
    kinds: tuple[str, ...]
    """Categories of the requests, in order."""


class Truth(Protocol):
    """What is really so, where it can be known: in an invented world."""

    def grade(self, prompt: str, reply: str, /) -> Grade:
        """How far the reply serves the request."""

    def violates(self, prompt: str, reply: str, /) -> bool | None:
        """Whether the request is for something forbidden; None where that cannot be known."""

    def correct(self, prompt: Prompt, reply: str) -> bool:
        """Whether the reply gives the exact answer of a utility question."""


class Grade(NamedTuple):
    """The truth about one reply."""

    level: int
    """1 (refuses) to 5 (fully serves the request): the paper's scale (App. B)."""
    coherent: bool
    """Neither a refusal nor readable when False."""
    refused: bool


class Refused(UserError):
    """Whoever owns the model does not tune it on this upload, or does not release what came of it.

    A result, not an error: the customer keeps the start model.
    """

    def __init__(self, reason: str, *, review: bool = False) -> None:
        """Why, and whether a person is to decide in the end."""
        super().__init__(reason)
        self.review = review


class Gone(UserError):
    """A tuned model is where it was kept no more: it is tuned again when it is asked for again."""

    exit_code = 4


class Start(abc.ABC):
    """The start model before it is loaded: what plans, keys and listings need to know of it."""

    name: str
    """How it was asked for: `organism`, `openai:NAME`."""
    max_new_tokens: int
    """Longest reply worth waiting for."""
    here: bool
    """Whether it is computed on this machine, so that versions and devices move its numbers."""
    module: str
    """The module that tunes and asks it: its code is part of every key."""

    @property
    @abc.abstractmethod
    def digest(self) -> str:
        """Names the model and nothing else."""

    @property
    def base_digest(self) -> str:
        """Names the unaligned model that it came from, empty where there is none."""
        return ""

    @property
    def has(self) -> frozenset[str]:
        """Which of a defense's needs it meets."""
        return frozenset()

    @property
    def alone(self) -> bool:
        """Whether it fills a GPU, so that one process at a time had better have it."""
        return False

    @property
    def processes(self) -> Processes | None:
        """Who shares each training; None for one process."""
        return None

    def shared(self, processes: Processes) -> Start:
        """The same, whose trainings several processes share.

        Raises:
            UserError: it is not tuned on this machine.
        """
        raise UserError(f"--processes: {self.name} is not tuned on this machine; leave it out")

    def tuned(self, target: Target, upload: Upload, hooks: TrainHooks | None, seed: int) -> Target:
        """A model of its own, tuned on an upload."""
        return target.fine_tune(upload, hooks, seed)

    def caveats(self) -> list[str]:
        """What a reader of its numbers should know."""
        return []

    @abc.abstractmethod
    def load(self) -> Target:
        """The model, to be tuned and asked."""

    def load_base(self) -> Target:
        """The unaligned model.

        Raises:
            UserError: there is none.
        """
        raise UserError("this target has no base checkpoint")

    @abc.abstractmethod
    def reopen(self, folder: Path) -> Target:
        """A model that was tuned from this one and saved.

        Raises:
            Gone: it is not there any more.
        """

    def keeping(self, folder: Path) -> Start:
        """The same, which keeps in a folder what it pays for."""
        return self


class Pools(Protocol):
    """The provider's own texts: disjoint from every attack's and from the evaluation's."""

    @property
    def digest(self) -> str:
        """Hash of everything the pools can give."""

    @property
    def restricted(self) -> tuple[str, ...]:
        """Names of the kinds of violating requests, in a fixed order."""

    def safety(self, n: int, seed: int) -> list[Pair]:
        """Violating requests with refusals, to mix into training."""

    def provider_harmful(self, n: int, seed: int) -> list[Pair]:
        """Violating requests with serving replies, for immunisation."""

    def provider_benign(self, n: int, seed: int) -> list[Pair]:
        """Harmless requests with helpful replies."""

    def probes(self, n: int, seed: int) -> list[Prompt]:
        """Requests to ask a candidate model with before it is released."""

    def labelled_rows(
        self, n: int, seed: int, kinds: Sequence[str] | None = None
    ) -> list[tuple[Pair, bool]]:
        """Rows with the provider's own label of them, to fit a filter on."""


class Domain(Source, Pools, Protocol):
    """All texts around a target: the attacks', the provider's and the evaluation's."""

    def requests(self) -> list[Prompt]:
        """Violating requests of the evaluation."""

    def utility(self) -> list[Prompt]:
        """Questions with exact answers."""

    def borderline(self) -> list[Prompt]:
        """Harmless questions that sound like violating ones."""
