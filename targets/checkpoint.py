"""Model folders on disk, before they are loaded."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from attacks.base import Upload, UserError
from targets import formats
from targets.base import Start, Target, device

if TYPE_CHECKING:
    from targets.hooks import TrainHooks
    from targets.launch import Processes
    from targets.local import LocalTarget

ADAPTER = "adapter_config.json"
"""What a folder holds that is a part of a model only."""

SHARED = 256 * 2**20
"""Bytes of weights up to which every core may have a copy on the GPU.  # ours: sixteen copies and
their tunings fit into 24 GB"""


@dataclass(frozen=True)
class Checkpoint(Start):
    """A model with weights at hand: a folder as `from_pretrained` reads it."""

    name: str
    folder: Path
    """The aligned model."""
    base: Path | None = None
    """The unaligned model it came from, where there is one."""
    max_new_tokens: int = 512
    format: str = ""
    """One of `targets.formats`, in which it is trained and asked; empty for its own template."""
    processes: Processes | None = None
    """Who shares each training; None for one process."""
    server: tuple[str, Path] | None = None
    """Address of what decodes its replies, and the folder that both can see; None for this process.
    """

    here = True
    module = "targets.local"

    def __post_init__(self) -> None:
        if not (self.folder / "config.json").is_file():
            raise UserError(f"{str(self.folder)!r} is not a model folder: it holds no config.json")
        if self.format:
            formats.of(self.format)

    @property
    def digest(self) -> str:
        """Hash of every file of the model, and of the format that it is asked in."""
        return self._formatted(self.contents())

    @property
    def base_digest(self) -> str:
        """Hash of every file of the base model, empty without one."""
        return "" if self.base is None else self._formatted(digest_folder(self.base))

    @property
    def has(self) -> frozenset[str]:
        """Weights, and the base checkpoint where there is one."""
        return frozenset({"weights"} | ({"base"} if self.base else set()))

    @property
    def alone(self) -> bool:
        """Whether it is too large to be on a GPU once for each core, or takes several at a time."""
        if self.processes is not None:
            return True
        size = sum(path.stat().st_size for path in self.folder.glob("*.safetensors"))
        return device() == "cuda" and size > SHARED

    def shared(self, processes: Processes) -> Self:
        """The same, whose trainings several processes share."""
        return dataclasses.replace(self, processes=processes)

    def tuned(self, target: Target, upload: Upload, hooks: TrainHooks | None, seed: int) -> Target:
        """A model of its own, tuned on an upload.

        Raises:
            UserError: several processes are to share what only one can do.
        """
        if self.processes is None:
            return super().tuned(target, upload, hooks, seed)
        from targets.launch import fine_tune
        from targets.local import LocalTarget

        assert isinstance(target, LocalTarget)
        return fine_tune(target, upload, hooks, seed, self.processes)

    def caveats(self) -> list[str]:
        """That its replies were decoded elsewhere, where they were."""
        told = []
        if self.server is not None:
            told.append("replies were decoded by a server that was given each model's weights")
        if self.processes is not None:
            told.append(
                f"{self.processes.count} processes shared each training ({self.processes.name}); "
                "in pieces (FSDP) weights are stepped in float32, one GPU's in bfloat16"
            )
        return told

    def contents(self) -> str:
        """What tells the model from every other, whatever format it is asked in."""
        return digest_folder(self.folder)

    def files(self) -> Path:
        """The model's folder, with everything in it."""
        return self.folder

    def load(self) -> LocalTarget:
        """The model."""
        return self._load(self.files())

    def load_base(self) -> LocalTarget:
        """The unaligned model."""
        if self.base is None:
            raise UserError("this target has no base checkpoint")
        return self._load(self.base, self.base)

    def reopen(self, folder: Path) -> LocalTarget:
        """A tuned model, whole or an adapter; its tokenizer is the start model's."""
        if (folder / ADAPTER).is_file():
            return self.load().beside(folder)
        return self._load(folder)

    def _load(self, folder: Path, tokenizer: Path | None = None) -> LocalTarget:
        from targets.local import LocalTarget

        template = formats.of(self.format) if self.format else None
        target = LocalTarget.load(folder, tokenizer or self.files(), template)
        if self.server is not None:
            from targets.served import Server

            target.server = Server(*self.server)
        return target

    def _formatted(self, digest: str) -> str:
        """A model's hash together with the format."""
        if not self.format:
            return digest
        text = f"{digest}\0{self.format}\0{formats.of(self.format)}"
        return hashlib.sha256(text.encode()).hexdigest()


@functools.cache
def digest_folder(folder: Path) -> str:
    """SHA-256 over names and contents."""
    total = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{path.relative_to(folder).as_posix()}\0{content}\n".encode())
    return total.hexdigest()
