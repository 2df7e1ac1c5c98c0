"""What each of several processes does that share a training: `-m targets.train FOLDER`.

The program itself stays one process: it alone reads and writes the store, asks, judges and logs,
so that no two processes can take different ways through a grid and wait for each other for ever.
Only a training is given to several, started by `accelerate launch` (`targets.launch`), and what
goes in and out is a folder: `job.json` (the model's and the tokenizer's folder, settings, seed),
`rows.jsonl` (chats as in an upload), and `tuned`, the weights or the adapter alone. JSON and
safetensors, no pickle. What every process runs is the one training path, `targets.tuning`: each
takes its share of every batch, and the loss is the mean over the tokens of the whole batch, so
that several processes give what one gives, but for rounding and for what LoRA's dropout draws.

By hand: `accelerate launch --multi_gpu --num_processes 2 -m targets.train FOLDER` (without a GPU
too: `--cpu` would start one process), or `-m mooring.targets.train` where Mooring is installed.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import threading
import traceback
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import pydantic

from attacks.base import Chat, Row, Settings, Upload, UserError
from targets.base import device

if TYPE_CHECKING:
    from accelerate import PartialState

    from targets.local import LocalTarget

JOB: Final = "job.json"
ROWS: Final = "rows.jsonl"
TUNED: Final = "tuned"
FAILED: Final = "failed.json"
"""Written by the first process that fails: the others fail because of it."""
WARNED: Final = "warned.jsonl"
"""What the first process has to say of the training; no text of a row."""
TETHERED: Final = "--tethered"
"""Told by a parent: the processes end when what they read from it ends."""
DEBUG: Final = "MOORING_DEBUG"
"""When it is set, whole tracebacks are printed, texts of rows in them included."""
PATIENCE: Final = timedelta(minutes=30)
"""How long a process waits for the others.  # ours: torch's for the CPU; 140 GB from a slow disk"""


class Job(pydantic.BaseModel):
    """A training, without its rows. Folders are the model's own, or stand beside the file."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    model: str
    tokenizer: str
    settings: Settings
    seed: int = 0


class _Row(pydantic.BaseModel):
    """A row, as it is written in an upload."""

    model_config = pydantic.ConfigDict(extra="forbid")

    messages: Chat


def write(folder: Path, target: LocalTarget, upload: Upload, seed: int) -> None:
    """Put a training into an empty folder."""
    tokenizer = folder / "tokenizer"
    target.tokenizer.save_pretrained(tokenizer)
    model = target.folder
    if model is None:
        model = folder / "model"
        target.save(model)
    job = Job(
        model=str(model.resolve()), tokenizer=str(tokenizer), settings=upload.settings, seed=seed
    )
    (folder / JOB).write_text(job.model_dump_json(), encoding="utf-8")
    with (folder / ROWS).open("w", encoding="utf-8") as file:
        for row in upload.rows:
            turns = [message._asdict() for message in row.messages]
            file.write(json.dumps({"messages": turns}) + "\n")


def read(folder: Path) -> tuple[Job, Upload]:
    """The training in a folder.

    Raises:
        UserError: a file is missing or is not of this form; no text of a row is told.
    """
    rows: list[Row] = []
    reading = JOB
    try:
        job = Job(**json.loads((folder / JOB).read_text(encoding="utf-8")))
        with (folder / ROWS).open(encoding="utf-8") as file:
            for text in file:
                reading = f"{ROWS}, line {len(rows) + 1}"
                rows.append(Row(_Row(**json.loads(text)).messages))
    except OSError as error:
        raise UserError(f"cannot read {error.filename}: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise UserError(f"{folder / reading}: {_told(error)}") from None
    if not rows:
        raise UserError(f"{folder / ROWS} holds no row")
    return job, Upload(tuple(rows), job.settings)


def _told(error: Exception) -> str:
    if not isinstance(error, pydantic.ValidationError):
        return "no JSON object"
    first = error.errors(include_input=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def train(folder: Path) -> None:
    """Take part in the training of a folder; the first process writes what comes of it.

    Raises:
        UserError: it cannot be read, or the rows cannot be trained on, or not in the memory.
    """
    job, upload = read(folder)
    if (folder / TUNED).exists():
        raise UserError(f"{folder / TUNED} is there already; take it away first")
    from accelerate import PartialState

    state = PartialState(cpu=device() == "cpu", timeout=PATIENCE)
    from targets.local import LocalTarget
    from targets.tuning import DoesNotFit, tune

    # What is to be cut into pieces is read where there is room for all of it.
    pieces = os.environ.get("ACCELERATE_USE_FSDP") == "true"
    if pieces and upload.settings.tuning == "prefix":
        raise UserError("peft keeps no prefix of a model in pieces; leave out --accelerate fsdp2")
    if state.is_main_process:
        logging.getLogger("targets").addHandler(_Warned(folder))
    place = "cpu" if pieces else str(state.device)
    start = LocalTarget.load(folder / job.model, folder / job.tokenizer, place=place)
    try:
        tuned = tune(start.model, start.tokenizer, upload, None, job.seed, own=True)
    except DoesNotFit as error:
        raise UserError(_would_fit(upload.settings, state.num_processes, pieces)) from error
    _save(tuned, folder / TUNED, state, pieces)
    state.wait_for_everyone()
    state.destroy_process_group()


class _Warned(logging.Handler):
    """Keeps the project's own warnings, for a parent to give."""

    def __init__(self, folder: Path) -> None:
        super().__init__(logging.WARNING)
        self.file = folder / WARNED

    def emit(self, record: logging.LogRecord) -> None:
        """Add one."""
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record.getMessage()) + "\n")


def warnings_of(folder: Path) -> list[str]:
    """What the first process had to say of a training that is done."""
    if not (folder / WARNED).is_file():
        return []
    return [json.loads(line) for line in (folder / WARNED).read_text("utf-8").splitlines()]


def _would_fit(settings: Settings, processes: int, pieces: bool) -> str:
    """What is told when a process ran out of memory."""
    less = ["more --processes"]
    if settings.batch_size > 1:
        less.insert(0, f"batch_size={settings.batch_size // 2}")
    if settings.tuning == "full":
        less.append("tuning=lora")
    if not pieces:
        less.append("--accelerate fsdp2, which cuts the model into as many pieces")
    return (
        f"the training does not fit the memory of {processes} processes, which share batches of "
        f"{settings.batch_size} rows. Give {', or '.join(less)}"
    )


def _save(tuned: Any, folder: Path, state: PartialState, pieces: bool) -> None:
    """What was tuned, whole or not at all; every process has a part in it where it is in pieces."""
    weights: Any = None
    if pieces:
        from torch.distributed.checkpoint import state_dict

        options = state_dict.StateDictOptions(full_state_dict=True, cpu_offload=True)
        weights = state_dict.get_model_state_dict(tuned, options=options)
    if not state.is_main_process:
        return
    from peft import PeftModel

    from targets import adapters

    part = folder.with_suffix(".part")
    if isinstance(tuned, PeftModel):
        adapters.save(tuned, part, weights)
    else:
        tuned.save_pretrained(part, state_dict=weights)
    part.rename(folder)


def main(words: Sequence[str]) -> int:
    """Take part, and say in the folder why it failed; the exit code."""
    if len(words) not in (1, 2) or (len(words) == 2 and words[1] != TETHERED):
        sys.stderr.write("usage: accelerate launch -m targets.train FOLDER\n")
        return 2
    folder = Path(words[0])
    if TETHERED in words:
        threading.Thread(target=_end_with_parent, args=(folder,), daemon=True).start()
    try:
        train(folder)
    except UserError as error:
        _fail(folder, str(error), error.exit_code)
    except Exception as error:  # noqa: BLE001 - told by its kind: a message may hold a row's text
        if os.environ.get(DEBUG):
            traceback.print_exc()
        _fail(
            folder, f"a process of it failed: {type(error).__module__}.{type(error).__qualname__}"
        )
    return 0


def _fail(folder: Path, why: str, code: int = 4) -> NoReturn:
    """End at once: a process that others wait for cannot be taken down in order."""
    sys.stderr.write(f"mooring: {why}\n")
    with suppress(OSError), (folder / FAILED).open("x", encoding="utf-8") as file:
        json.dump({"why": why, "code": code}, file)
    sys.stderr.flush()
    os._exit(code)


def _end_with_parent(folder: Path) -> None:
    """Wait until the parent is gone or wants no more; leave no rows behind then."""
    # Not by `sys.stdin`, whose lock would be held when the interpreter ends.
    while os.read(0, 1):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(4)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
