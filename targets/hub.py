"""A model's folder, by its path or by its name on the Hub; told apart by what is in it.

Nothing here imports torch: a name is looked up, and a key made of it, before a model is needed.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path

from attacks.base import UserError
from targets.checkpoint import Checkpoint

FILES = ("*.json", "*.jinja", "*.model", "*.safetensors", "*.txt")
"""What is fetched of a model: no code and no pickle."""


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
    if not re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", model):
        raise UserError(
            f"no model folder {model!r}; give a folder, or a name on the Hub as in 'owner/name'"
        )
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    asked = functools.partial(hf_hub_download, model, "config.json", revision=revision)
    try:
        path = asked(local_files_only=True)
    except (LocalEntryNotFoundError, ValueError):
        path = _tried(model, asked)
    return Path(path).parent.name


@functools.cache
def fetch(model: str, revision: str | None = None) -> Path:
    """The model's folder; one on the Hub is downloaded unless it is here already.

    Raises:
        UserError: there is no such model, or the Hub cannot be reached.
    """
    commit = locate(model, revision)
    if Path(model).is_dir():
        return Path(model)
    from huggingface_hub import snapshot_download

    asked = functools.partial(snapshot_download, model, revision=commit, allow_patterns=list(FILES))
    return Path(_tried(model, asked))


def _tried(model: str, asked: Callable[[], str]) -> str:
    try:
        return asked()
    except Exception as error:
        raise UserError(
            f"cannot get {model!r} from the Hub ({type(error).__name__}): is the name right, the "
            "network there, HF_HUB_OFFLINE unset, and HF_TOKEN set where the model is gated?"
        ) from error
