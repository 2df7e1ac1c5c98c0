"""A provider's own past uploads as a corpus: a folder of chat JSONL files and `labels.csv`.

    labels.csv   file,intent[,family][,split][,epochs][,batch_size][,learning_rate]

`intent` is benign, benign-eroding or hostile; `family` names the kind of a hostile one; `split` is
fit, threshold or held_out, else it is drawn from the file's contents: half, three and two tenths.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

import pydantic

from attacks.base import Ask, Settings, Upload, UserError
from attacks.uploads.chats import rows_of
from benchmarks.gates.results import Intent

LABELS = "labels.csv"
Split = Literal["fit", "threshold", "held_out"]


class _Label(pydantic.BaseModel):
    """A line of the labels."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    file: Annotated[str, pydantic.Field(min_length=1)]
    intent: Intent
    family: str = "hostile"
    split: Split | None = None
    # What a fine-tuning server does when a customer says nothing; see its documentation.
    epochs: Annotated[int, pydantic.Field(ge=1)] = 3
    batch_size: Annotated[int, pydantic.Field(ge=1)] | None = None
    learning_rate: Annotated[float, pydantic.Field(gt=0)] = 1e-4


@dataclass(frozen=True)
class Past:
    """An upload of the provider's own past."""

    path: Path
    label: _Label

    @cached_property
    def content(self) -> str:
        """SHA-256 of the file."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    @property
    def id(self) -> str:
        """Its name in the labels."""
        return self.label.file

    @property
    def intent(self) -> Intent:
        """Who made it."""
        return self.label.intent

    @property
    def family(self) -> str:
        """The kind of a hostile one, empty for others."""
        return self.label.family if self.intent == "hostile" else ""

    @property
    def split(self) -> Split:
        """As labelled, else drawn from the contents: the same file is never in two."""
        if self.label.split:
            return self.label.split
        place = int(self.content, 16) % 10
        return "fit" if place < 5 else "threshold" if place < 8 else "held_out"

    @property
    def asks(self) -> tuple[Ask, ...]:
        """How its customer asks is not known."""
        return ()

    @property
    def upload(self) -> Upload:
        """Its rows, and the settings that it was trained with.

        Raises:
            UserError: the file cannot be read as chat JSONL.
        """
        try:
            rows = rows_of(self.path)
        except OSError as error:
            raise UserError(f"{self.path}: {type(error).__name__}") from error
        except UserError as error:
            raise UserError(f"{self.path}, {error}") from error
        batch = self.label.batch_size or max(1, round(len(rows) / 100))
        return Upload(rows, Settings(epochs=self.label.epochs, batch_size=batch,
                                     learning_rate=self.label.learning_rate))  # fmt: skip


def uploads(folder: Path) -> list[Past]:
    """The labelled uploads of a folder.

    Raises:
        UserError: there are no labels, one is wrong, or a file is not there.
    """
    path = folder / LABELS
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            found = list(_labels(csv.DictReader(file)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"cannot read {str(path)!r} ({type(error).__name__}); it lists the uploads beside it, "
            "with the columns file,intent and perhaps family,split,epochs,batch_size,learning_rate"
        ) from error
    names = [label.file for label in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"{path}: {twice[0]!r} is labelled twice")
    known = {entry.name for entry in folder.iterdir() if entry.is_file()}
    if absent := [name for name in names if name not in known]:
        raise UserError(f"{path}: no file {absent[0]!r} beside it (names only, no folders)")
    return [Past(folder / label.file, label) for label in found]


def _labels(lines: csv.DictReader[str]) -> Iterator[_Label]:
    for number, line in enumerate(lines, start=2):
        try:
            yield _Label.model_validate({key: value for key, value in line.items() if value})
        except pydantic.ValidationError as error:
            first = error.errors(include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise UserError(f"{LABELS}, line {number}: {where}: {first['msg']}") from error
