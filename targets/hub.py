"""A model's folder, by its path or by its name on the Hub; told apart by what is in it.

Nothing here imports torch: a name is looked up, and a key made of it, before a model is needed.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from attacks.base import UserError
from targets.base import device
from targets.checkpoint import Checkpoint

FILES = ("*.json", "*.jinja", "*.model", "*.safetensors", "*.txt")
"""What is fetched of a model: no code and no pickle."""
TWICE = ("original/*", "onnx/*", "consolidated*")
"""What is left out: the same weights once more, in formats of others."""
PREFIX: Final = "hf:"
GRAMMAR: Final = "hf:OWNER/NAME[@REVISION][#FORMAT], or hf:FOLDER[#FORMAT]"
_NAME: Final = r"[\w-][\w.-]*/[\w-][\w.-]*"
_ASKED: Final = re.compile(
    rf"(?P<id>{_NAME})(@(?P<revision>[\w./-]+))?(#(?P<format>[\w.-]+))?", re.ASCII
)
_FOLDER: Final = re.compile(r"(?P<folder>[^#]+)(#(?P<format>[\w.-]+))?")


@dataclass(frozen=True)
class OnHub(Checkpoint):
    """A model on the Hub; its weights are fetched when it is loaded."""

    id: str = ""
    """Owner and name."""

    @property
    def alone(self) -> bool:
        """On a GPU: how large it is, is not known before it is fetched."""
        return device() == "cuda" or self.processes is not None

    def contents(self) -> str:
        """Hash of the commit, which tells every file of it."""
        return hashlib.sha256(f"hub\0{self.id}\0{self.folder.name}".encode()).hexdigest()

    def files(self) -> Path:
        """The model's folder, fetched unless it is here already."""
        return fetch(self.id, self.folder.name)


def model(text: str) -> Checkpoint:
    """A model by what follows a target's `hf:`.

    A folder is one that begins with `.`, `/` or `~`, or that is there.

    Raises:
        UserError: there is no such folder, model or format, or the Hub cannot be reached.
    """
    inner = text.removeprefix(PREFIX)
    found = _FOLDER.fullmatch(inner)
    try:
        # Of os.path, which takes a name that cannot be one for a folder that is not there.
        folder = os.path.expanduser(found["folder"]) if found else ""
    except ValueError:  # `~` and what cannot be a user's name
        folder = ""
    there = os.path.isdir(folder)
    if found and (inner.startswith((".", "/", "~")) or there):
        if not there:
            raise UserError(f"target {text!r}: there is no such folder")
        return Checkpoint(text, Path(folder), format=found["format"] or "")
    asked = _ASKED.fullmatch(inner)
    if asked is None:
        raise UserError(f"target {text!r} is no name of a model; write {GRAMMAR}")
    config = _config(asked["id"], asked["revision"])
    return OnHub(text, config.parent, format=asked["format"] or "", id=asked["id"])


@functools.cache
def locate(model: str, revision: str | None = None) -> str:
    """What tells a model from every other: a hash of its folder, or its commit on the Hub.

    Where a commit of that revision is already here it is taken, and the Hub is not asked whether
    there is a newer one.

    Raises:
        UserError: there is no such folder and no such model, or the Hub cannot be reached.
    """
    if Path(model).is_dir():
        return Checkpoint(model, Path(model)).digest
    if not re.fullmatch(_NAME, model, re.ASCII):
        raise UserError(
            f"no model folder {model!r}; give a folder, or a name on the Hub as in 'owner/name'"
        )
    return _config(model, revision).parent.name


@functools.cache
def fetch(model: str, revision: str | None = None) -> Path:
    """The model's folder; one on the Hub is downloaded unless it is here already.

    Raises:
        UserError: there is no such model, it has no safetensors, or the Hub cannot be reached.
    """
    commit = locate(model, revision)
    if Path(model).is_dir():
        return Path(model)
    from huggingface_hub import snapshot_download

    asked = functools.partial(
        snapshot_download,
        model,
        revision=commit,
        allow_patterns=list(FILES),
        ignore_patterns=list(TWICE),
    )
    folder = Path(_tried(model, asked))
    if not _whole(folder):
        # What is asked when the Hub is out of reach gives whatever is here, without a word.
        raise UserError(
            f"{model!r} is not here as a whole, and the Hub did not give the rest: try again with "
            f"HF_HUB_OFFLINE unset, and look at https://huggingface.co/{model}/tree/{commit}. If "
            "it holds no safetensors, convert it with `model.save_pretrained(FOLDER)` where you "
            "trust it, and give the folder: other formats are not opened"
        )
    return folder


def _whole(folder: Path) -> bool:
    """Whether every file of weights is there, and a tokenizer."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        named = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        weights = all((folder / name).is_file() for name in named)
    else:
        weights = (folder / "model.safetensors").is_file()
    return weights and any(folder.glob("tokenizer*"))


@functools.cache
def _config(model: str, revision: str | None) -> Path:
    """The model's configuration, in the folder of its commit."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    asked = functools.partial(hf_hub_download, model, "config.json", revision=revision)
    try:
        return Path(asked(local_files_only=True))
    except (LocalEntryNotFoundError, ValueError):
        return Path(_tried(model, asked))


def _tried(model: str, asked: Callable[[], str]) -> str:
    try:
        return asked()
    except Exception as error:
        raise UserError(f"cannot get {model!r} from the Hub: {told(error, model)}") from error


def told(error: Exception, model: str) -> str:
    """What went wrong and what to do."""
    from huggingface_hub import errors

    page = f"https://huggingface.co/{model}"
    by_hand = f"or `hf download {model}` on a machine that can, and give the folder"
    if isinstance(error, errors.GatedRepoError):
        return (
            f"it is gated. Accept the agreement at {page} (a person may have to approve it), then "
            f"`hf auth login` with a token of that account, {by_hand}"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return f"it has no such revision; {page}/commits/main lists them"
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            f"there is no such model that you may see. Is the name as at {page}? A private one "
            "needs `hf auth login`"
        )
    if isinstance(error, errors.RemoteEntryNotFoundError):
        return "it holds no config.json, so it is no model that transformers can load"
    return (
        f"{type(error).__name__}. Is the network there, HF_HUB_OFFLINE unset, and HF_TOKEN set "
        f"where it is gated? Try again, {by_hand}"
    )
