"""The server's parts, put together: what is asked for by the routes and outlives a request."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path
from typing import Annotated, NamedTuple

import platformdirs
from fastapi import Depends, Request

from attacks.base import UserError
from attacks.spec import Spec, parse
from benchmarks.lab import Lab, LabSettings, open_lab
from benchmarks.trial import lacking, provider_of
from defenses import compose
from provider.contents import Contents
from provider.errors import unknown
from provider.generation import Generator, Loaded
from provider.identity import fingerprint, secret_of, seed_of
from provider.records import BATCH_ACTIVE, JOB_ACTIVE, Batch, File, Job, Records, Tuned
from provider.tuner import Tuner
from provider.tuning import here

ORACLE = "oracle"


class Settings(NamedTuple):
    """What is served, and from where."""

    target: str
    folder: Path
    token: str
    defense: str = "none"
    largest: int = 64 * 2**20
    """Bytes of one request.  # ours: a hundred thousand rows of usual length"""


def default_folder() -> Path:
    """`$MOORING_SERVE_FOLDER`, or the user's data folder."""
    given = os.environ.get("MOORING_SERVE_FOLDER")
    return Path(given) if given else platformdirs.user_data_path("mooring") / "server"


class Service:
    """What every route works with."""

    def __init__(self, settings: Settings) -> None:
        folder = settings.folder
        self.settings = settings
        lab_settings = LabSettings(settings.target, (), folder / "store", None, False)
        self.lab = open_lab(lab_settings, may_make=True)
        self.start = here(self.lab)
        self.base = _model_name(settings.target)
        spec, self.defense = _defense(settings.defense, self.lab)
        secret = secret_of(folder)
        self.seed = seed_of(secret)
        """The provider's own, of every gate and of what it adds: no client's, and told to none."""
        self.fingerprint = fingerprint(self.lab, spec, self.defense, secret)
        self.records = Records(folder / "records.sqlite")
        self.contents = Contents(folder / "contents")
        self.weights = folder / "weights"
        self.weights.mkdir(exist_ok=True)
        self._forget_leftovers()
        self.generator = Generator(self.load)
        self.tuner = Tuner(self.records, self.base, lab_settings, settings.defense, self.seed)
        self.batch_added = threading.Event()
        """Wakes the thread that does batches."""

    def models(self) -> list[str]:
        """Ids of the models that are not tuned here."""
        judge = [ORACLE] if self.lab.resolved.truth else []
        return [self.base, *judge, f"{self.base}-moderation"]

    def load(self, model: str) -> Loaded:
        """A model that can be asked, as it is served.

        Raises:
            ApiError: there is none of that name.
        """
        if model == self.base:
            start = self.start.load()
            return Loaded(start, start)
        tuned = self.records.find(Tuned, model)
        if tuned is None:
            raise unknown("model", "model")
        local = self.start.reopen(self.weights / tuned.weights)
        return Loaded(local, self.defense.serve(local, provider_of(self.lab, self.seed)))

    def has(self, model: str) -> bool:
        """Whether a model is here that can be asked or tuned further."""
        return model == self.base or self.records.find(Tuned, model) is not None

    def release(self, sha256: str) -> None:
        """Remove a content that nothing names any more; the contents' lock is held."""
        if sha256 not in self._needed():
            self.contents.path(sha256).unlink(missing_ok=True)

    def remove(self, tuned: Tuned) -> None:
        """Forget a tuned model, its weights included."""
        self.records.remove(tuned)
        self.generator.forget(tuned.id)
        shutil.rmtree(self.weights / tuned.weights, ignore_errors=True)

    def _needed(self) -> set[str]:
        """Contents of every file, and of what was deleted while work on it goes on."""
        jobs = self.records.all(Job, status=JOB_ACTIVE)
        batches = self.records.all(Batch, status=BATCH_ACTIVE)
        files = {file.sha256 for file in self.records.all(File)}
        return files | {j.training_sha256 for j in jobs} | {b.input_sha256 for b in batches}

    def _forget_leftovers(self) -> None:
        """Remove what a kill left behind; nobody else works in this folder."""
        self.contents.keep_only(self._needed())
        named = {tuned.weights for tuned in self.records.all(Tuned)}
        for path in self.weights.iterdir():
            if path.name not in named:
                shutil.rmtree(path, ignore_errors=True)


async def service_of(request: Request) -> Service:
    """The service that a request is served by."""
    found: Service = request.app.state.service
    return found


Serving = Annotated[Service, Depends(service_of)]
"""A route's parameter: the service."""


def _model_name(target: str) -> str:
    """The target's name on the wire: a model's own, and not where it lies."""
    kind, _, rest = target.partition(":")
    if kind == "organism":
        return target
    model = rest.split("#")[0].split("@")[0] if kind == "hf" else target
    return Path(model).expanduser().resolve().name


def _defense(text: str, lab: Lab) -> tuple[Spec, compose.Composition]:
    specs = parse(text)
    if len(specs) != 1:
        raise UserError("--defense: a server has one; parameters cannot be swept here")
    defense = compose.load(specs[0])
    if missing := lacking(defense, lab.resolved.start):
        raise UserError(f"--defense {text}: {missing}, which this target has not")
    if defense.acts("immunize"):
        raise UserError(f"--defense {text}: acts on the start model, which a server does not tune")
    return specs[0], defense
