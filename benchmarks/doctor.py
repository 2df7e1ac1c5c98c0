"""What a bug report needs and a newcomer wonders: versions, devices, keys, disk."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from pathlib import Path
from typing import NamedTuple

from attacks.sets.read import read
from benchmarks.engines.local import workers
from benchmarks.report.phrasing import left_text, set_text
from benchmarks.store import Store, default_root
from benchmarks.tracking import has_key
from eval import protocol
from targets.datafile import ROLES
from targets.roles import load

_LIBRARIES = ("torch", "transformers", "trl", "peft", "datasets", "openai", "scikit-learn", "wandb")
_KEYS = ("OPENAI_API_KEY", "WANDB_API_KEY", "HF_TOKEN")
_LEAST_FREE = 2 * 1024**3
"""Bytes below which a run may fill the disk: a grid of everything keeps about 1 GB."""


class Check(NamedTuple):
    """One line of the doctor's."""

    name: str
    found: str
    well: bool = True
    advice: str = ""


def checks(data: str | None = None) -> list[Check]:
    """Everything worth knowing about this machine; keys are told as set or not, never shown.

    Args:
        data: A file that names the user's own sets, to be looked at as well.

    Raises:
        UserError: the sets cannot be had.
    """
    return [
        Check("python", platform.python_version()),
        *(_library(name) for name in _LIBRARIES),
        _device(),
        Check("workers", f"{workers(None, 1000)}, one thread each"),
        *(Check(name, "set" if os.environ.get(name) else "not set") for name in _KEYS),
        _wandb(),
        _disk(),
        *(_sets(data) if data is not None else ()),
    ]


def _library(name: str) -> Check:
    try:
        return Check(name, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Check(name, "not installed", False, "pip install mooring")


def _sets(data: str) -> list[Check]:
    """What each role has; a role without a set is as well as one with."""
    held = load(Path(data))
    told = {role: [set_text(one) for one in held.sets if one.role == role] for role in ROLES}
    shown = "no set"
    if held.pictures is not None:
        path, images = map(Path, held.pictures)
        found = read(path, images=images)
        shown = f"{found.name}, {len(found.rows)} rows ({found.format}), all images there"
        shown = "; ".join([shown, *left_text(found.skipped, found.noted)])
    roles = [Check(f"data: {role}", "\n".join(told[role]) or "no set") for role in ROLES]
    own = ", ".join(f"{attack} ({Path(path).name})" for attack, path in held.papers.items())
    return [
        *roles,
        Check("data: pictures", shown),
        Check("data: policy", _policy(held.policy)),
        Check("data: the paper's own words", own or "none: those of ours"),
    ]


def _policy(spec: str) -> str:
    """The policy that a judge reads, whose text is checked.

    Raises:
        UserError: it is none, or its file cannot be read.
    """
    if not spec:
        return "none: a judge that reads one asks for it"
    protocol.policy(spec)
    return spec


def _device() -> Check:
    import torch

    if torch.cuda.is_available():
        return Check("device", torch.cuda.get_device_name())
    return Check("device", "cpu")


def _wandb() -> Check:
    mode = os.environ.get("WANDB_MODE")
    return Check("W&B mode", mode or ("online" if has_key() else "offline, no key"))


def _disk() -> Check:
    store = Store(default_root())
    held = sum(usage.size for usage in store.usage())
    free = shutil.disk_usage(store.root).free
    found = f"store holds {held / 1e6:.0f} MB, {free / 1e9:.0f} GB free"
    return Check("disk", found, free > _LEAST_FREE, "mooring store gc, or give another --store")
