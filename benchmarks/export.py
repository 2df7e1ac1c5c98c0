"""A cell's upload and candidate as files, for whatever is done with them outside of the bench."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from attacks.base import Row, UserError
from benchmarks.api import cell_of
from benchmarks.cell import candidate_of, upload_of
from benchmarks.lab import open_lab
from benchmarks.run import lab_settings
from benchmarks.store import SCRATCH, Store, write_whole
from benchmarks.trial import Trial

ROWS, MODEL = "rows.jsonl", "model"


def write(run: Path, store: Store, cell: tuple[str, str, int], folder: Path) -> Path:
    """Write the customer's rows as a training file, and the model that was tuned on them.

    What the store holds no more is tuned again. The model is the candidate, whether or not a gate
    stopped it; what a defense does when it serves a model is no part of it.

    Raises:
        UserError: the run has no such cell, nothing is uploaded in it, or there is something in the
            folder.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{str(folder)!r} is there already; name a new folder")
    grid, named = cell_of(run, *cell)
    lab = open_lab(lab_settings(grid, store), may_make=True)
    if not lab.resolved.start.here:
        raise UserError(f"the weights of {grid.target!r} are its server's: there is no model here")
    trial = Trial.of(named, lab)
    if lacking := trial.lacking():
        raise UserError(f"{named.defense}: {lacking}")
    upload = upload_of(trial)
    if upload is None:
        raise UserError(f"{named.attack!r} uploads nothing, so that there is nothing to export")
    written = lines(upload.rows).encode()
    target = candidate_of(trial, upload)()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=SCRATCH) as scratch:
        whole = Path(scratch, "whole")
        (whole / MODEL).mkdir(parents=True)
        target.save(whole / MODEL)
        if tokenizer := getattr(target, "tokenizer", None):
            tokenizer.save_pretrained(whole / MODEL)  # so that it is a target of its own
        write_whole(whole / ROWS, written)
        whole.replace(folder)  # all of it or nothing
    return folder


def lines(rows: Sequence[Row]) -> str:
    """Rows as chat JSON lines, as a fine-tuning API takes them.

    Raises:
        UserError: a row has an image, which such a file does not hold.
    """
    if any(row.image for row in rows):
        raise UserError("rows with images cannot be written as chat JSON lines")
    chats = ([message._asdict() for message in row.messages] for row in rows)
    return "".join(json.dumps({"messages": c}, ensure_ascii=False) + "\n" for c in chats)
