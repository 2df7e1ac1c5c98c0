"""Several processes for a training: what is asked for, and how it is started and brought back.

The processes are `targets.train`, started by `accelerate launch`; why they are no part of the
program is said there. They end with it: on Ctrl-C, when it is killed, when one of them fails.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from attacks.base import Upload, UserError
from targets import train
from targets.base import device
from targets.hooks import Composed, TrainHooks

if TYPE_CHECKING:
    from targets.local import LocalTarget

log = logging.getLogger(__name__)

_HERE: Final = Path(__file__).resolve().parent
CONFIGS: Final = ("ddp", "fsdp2")
"""Configurations that come with Mooring: a whole model in each process, or a piece of it."""
MODULE: Final = ("-m", "targets.train")
GRACE: Final = 10.0
"""Seconds that processes have to end in.  # ours: accelerate takes up to five"""


class TrainingFailed(UserError):
    """One of the processes failed, for no fault of the user's."""

    exit_code = 4


@dataclass(frozen=True)
class Processes:
    """How many share each training, and how."""

    count: int
    config: Path
    """accelerate's YAML file."""

    @property
    def name(self) -> str:
        """The file's name, without its folder."""
        return self.config.stem

    @property
    def digest(self) -> str:
        """What of it moves a training's numbers."""
        return hashlib.sha256(f"{self.count}\0".encode() + self.config.read_bytes()).hexdigest()


def processes(count: int | None, config: str | None) -> Processes | None:
    """What was asked for; None for one process.

    Args:
        count: How many; None for one.
        config: `ddp`, `fsdp2`, or the path of a YAML file of accelerate's; None for `ddp`.

    Raises:
        UserError: the file cannot be read or asks for what is not done here.
    """
    if count is None or count == 1:
        if config is not None:
            raise UserError(f"--accelerate {config} says how processes share: give --processes too")
        return None
    named = config or "ddp"
    path = _HERE / f"{named}.yaml" if named in CONFIGS else Path(named).expanduser().resolve()
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(
            f"--accelerate {named!r} is neither {' nor '.join(CONFIGS)} nor a YAML file that can "
            f"be read ({type(error).__name__}); `accelerate config --config_file FILE` writes one"
        ) from None
    kind = given.get("distributed_type") if isinstance(given, dict) else None
    if kind not in ("MULTI_GPU", "FSDP"):
        raise UserError(f"--accelerate {named!r}: distributed_type must be MULTI_GPU or FSDP")
    if (given.get("fsdp_config") or {}).get("fsdp_activation_checkpointing"):
        raise UserError(
            f"--accelerate {named!r}: leave fsdp_activation_checkpointing false; it draws LoRA's "
            "dropout anew, and the trainer does the same without that"
        )
    if given.get("num_machines") not in (None, 1):
        raise UserError(f"--accelerate {named!r}: trainings are shared on one machine only")
    if kind == "FSDP" and device() == "cpu":
        raise UserError(
            f"--accelerate {named!r} cuts a model into pieces, which accelerate does on GPUs only; "
            "leave it out here"
        )
    return Processes(count, path)


def fine_tune(
    target: LocalTarget, upload: Upload, hooks: TrainHooks | None, seed: int, how: Processes
) -> LocalTarget:
    """A tuned copy of a model, by several processes; what one gives, but for rounding and dropout.

    Raises:
        UserError: something acts inside of the training, it does not fit the memory, there are
            fewer GPUs, or the rows cannot be trained on.
        TrainingFailed: a process failed.
    """
    from targets.adapters import whole

    if hooks is not None:
        raise UserError(inside(_owner(hooks)))
    whole(target.model)
    if target.pictures is not None:
        raise UserError("a model that sees is tuned by one process: give --processes 1")
    _enough_gpus(how.count)
    # Processes that are told to end take the folder away as well.
    with tempfile.TemporaryDirectory(prefix="mooring-", ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch)
        train.write(folder, target, upload, seed)
        with _made_room(target.model):
            _run(folder, how)
        for told in train.warnings_of(folder):
            log.warning("%s", told)
        return _brought_back(target, folder / train.TUNED)


def inside(name: str) -> str:
    """Why a defense that acts inside of a training goes with one process only."""
    return (
        f"{name} decides inside of the training which rows a step is taken on or how, and several "
        "processes cannot share that: give --processes 1, or leave it out"
    )


def _owner(hooks: TrainHooks) -> str:
    """The files, that is the defenses, that hooks are of."""
    parts = hooks.hooks if isinstance(hooks, Composed) else (hooks,)
    return " and ".join(type(part).__module__.rpartition(".")[2] for part in parts)


def _enough_gpus(count: int) -> None:
    if device() == "cuda":
        import torch

        if (there := torch.cuda.device_count()) < count:
            raise UserError(f"--processes {count}: a GPU for each, and there are {there}")


@contextmanager
def _made_room(model: Any) -> Iterator[None]:
    """The model off its GPU while others need that."""
    place = model.device
    if place.type != "cuda":
        yield
        return
    import torch

    model.to("cpu")
    torch.cuda.empty_cache()
    try:
        yield
    finally:
        model.to(place)


def _run(folder: Path, how: Processes) -> None:
    """Start the processes, and wait until they are done.

    Raises:
        UserError: one of them cannot be done.
        TrainingFailed: one failed, or was killed.
    """
    root = str(_HERE.parent)
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    own = {"PYTHONPATH": os.pathsep.join(paths), "WANDB_MODE": "disabled"}
    threads = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    told = None if os.environ.get(train.DEBUG) else subprocess.DEVNULL
    words = ["--config_file", str(how.config), "--num_processes", str(how.count)]
    words += ["--main_process_port", "0", *MODULE, str(folder), train.TETHERED]
    # What they print may hold a row's text. What they read ends when this process does.
    with subprocess.Popen(
        [sys.executable, "-m", "accelerate.commands.launch", *words],
        cwd=root,
        env={**threads, **os.environ, **own},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=told,
    ) as child:
        try:
            code = child.wait()
        finally:
            _end(child)
    if code or not (folder / train.TUNED).is_dir():
        raise _failure(folder, how, code)


def _end(child: subprocess.Popen[bytes]) -> None:
    """Let nothing of it go on."""
    assert child.stdin is not None
    child.stdin.close()
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(GRACE)
        except subprocess.TimeoutExpired:
            child.kill()


def _failure(folder: Path, how: Processes, code: int) -> UserError:
    """What the first process that failed has said."""
    try:
        said = json.loads((folder / train.FAILED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return TrainingFailed(
            f"the training in {how.count} processes ended with status {code} and no word: one was "
            f"killed, perhaps for want of memory, or accelerate could not start them with "
            f"{str(how.config)!r}; {train.DEBUG}=1 prints what they say"
        )
    if said["code"] == TrainingFailed.exit_code:
        return TrainingFailed(f"the training in {how.count} processes: {said['why']}")
    return UserError(said["why"])


def _brought_back(target: LocalTarget, tuned: Path) -> LocalTarget:
    """What the processes wrote, as one process would have left it."""
    from targets.adapters import WEIGHTS, twin
    from targets.local import LocalTarget

    if (tuned / WEIGHTS).is_file():
        return target.alike(LocalTarget(twin(target.model), target.tokenizer).beside(tuned))
    made = LocalTarget.load(tuned, tuned.parent / "tokenizer")
    return target.alike(LocalTarget(made.model.requires_grad_(False), target.tokenizer))
