"""Standard suites on a model by EleutherAI's `lm-eval`: what tuning cost, in tasks others report.

Source:  Gao et al., the Language Model Evaluation Harness (`lm-eval`), whose tasks, prompts,
         metrics and standard errors these are; nothing is scored here.
Differs: the model is opened as every other of ours, so that an adapter that stays beside its start
         model is asked as it is in the bench.
Breaks:  numbers of another version, number of examples in the prompt or chat template are other
         numbers: all three stand in what is written.
"""

from __future__ import annotations

import difflib
import importlib.metadata
import importlib.util
import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import pydantic

from attacks.base import UserError
from targets.base import Start
from targets.resolve import resolve

EXTRA: Final = "pip install 'mooring[lm-eval]'"
BATCH: Final = 16
"""Requests together.  # ours: with a model of 7 billion weights it fits 40 GB"""


class Failed(UserError):
    """A suite could not be run, though it was asked for rightly."""

    exit_code = 4


class Score(pydantic.BaseModel):
    """One metric of one task."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    task: str
    version: str
    """Of the task; empty of a group."""
    metric: str
    """With the filter that the answer went through where it is not `none`: `exact_match,strict`."""
    value: float
    stderr: float | None
    """Standard error; None where lm-eval tells none."""
    n: int
    """Questions that were asked."""
    shots: int | None
    """Examples in the prompt; None of a group whose tasks differ."""
    higher_is_better: bool | None


class Suites(pydantic.BaseModel):
    """What was run on which model, and what came out: no question and no answer is in here."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    format: int = 1
    model: str
    base: str
    """What it was tuned from; empty where it is asked as it is."""
    digest: str
    """Hash of the start model."""
    lm_eval: str
    """Its version."""
    limit: int | None
    """Questions asked of each task at most; None for all."""
    chat: bool
    """Whether the model's chat template was put around each question."""
    scores: list[Score]


class Wanted(NamedTuple):
    """What is to be run."""

    model: str
    tasks: Sequence[str]
    base: str = ""
    limit: int | None = None
    shots: int | None = None
    """Examples in the prompt; None for each task's own number."""
    chat: bool = False
    include: Path | None = None
    """Folder of task files of the user's own."""


def run(wanted: Wanted) -> Suites:
    """Run the tasks.

    Raises:
        UserError: lm-eval is not installed, a task or the model is unknown, or it has no weights
            here.
        Failed: a task's data cannot be had, or lm-eval failed on it.
    """
    if importlib.util.find_spec("lm_eval") is None:
        raise UserError(f"suites are run by lm-eval, which is not installed: {EXTRA}")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    start = resolve(wanted.base or wanted.model).start
    if not start.here:
        raise UserError(f"{start.name} is behind a server: suites need weights that are here")
    if wanted.base and not Path(wanted.model).is_dir():
        raise UserError(f"there is no folder {wanted.model!r} of a tuned model")
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    manager = _manager(wanted.include)
    tasks = _tasks(wanted.tasks, manager)
    found = _evaluated(_opened(start, wanted), tasks, manager, wanted)
    return Suites(
        model=wanted.model,
        base=wanted.base,
        digest=start.digest,
        lm_eval=importlib.metadata.version("lm-eval"),
        limit=wanted.limit,
        chat=wanted.chat,
        scores=[score for task in found["results"] for score in _scores(task, found)],
    )


def _manager(include: Path | None) -> Any:
    from lm_eval.tasks import TaskManager

    if include is not None and not include.is_dir():
        raise UserError(f"{str(include)!r} is no folder of task files")
    return TaskManager(include_path=include)


def _tasks(names: Sequence[str], manager: Any) -> list[str]:
    """The tasks, groups and patterns that are named, each of which lm-eval knows."""
    found: dict[str, None] = {}
    for name in names:
        # Not a path: lm-eval would read whatever YAML file it names, and run the code in it.
        matched = manager.match_tasks([name])
        if not matched:
            close = difflib.get_close_matches(name, manager.all_tasks, 3)
            hint = f"; did you mean {', '.join(close)}?" if close else "."
            raise UserError(f"lm-eval knows no task {name!r}{hint} `lm-eval ls tasks` lists all")
        found.update(dict.fromkeys(matched))
    return list(found)


def _opened(start: Start, wanted: Wanted) -> Any:
    """The model as lm-eval takes it."""
    from lm_eval.models.huggingface import HFLM

    target: Any = start.reopen(Path(wanted.model)) if wanted.base else start.load()
    return HFLM(pretrained=target.model, tokenizer=target.tokenizer, batch_size=BATCH)


def _evaluated(model: Any, tasks: list[str], manager: Any, wanted: Wanted) -> Mapping[str, Any]:
    from lm_eval import simple_evaluate

    try:
        found: Mapping[str, Any] = simple_evaluate(
            model,
            tasks=tasks,
            num_fewshot=wanted.shots,
            limit=wanted.limit,
            apply_chat_template=wanted.chat,
            task_manager=manager,
            log_samples=False,
        )
    except Exception as error:
        if os.environ.get("MOORING_DEBUG"):
            raise
        raise Failed(
            f"lm-eval stopped with {type(error).__name__}. Is the network there for the tasks' "
            "data, or the data in the cache of `datasets`? MOORING_DEBUG=1 prints all of it"
        ) from error
    return found


def _scores(task: str, found: Mapping[str, Any]) -> list[Score]:
    """Every metric of a task, beside its standard error."""
    result = found["results"][task]
    shots = found.get("n-shot", {}).get(task)
    better = found.get("higher_is_better", {}).get(task, {})
    scores = []
    for key, value in result.items():
        name, _, filtered = key.partition(",")
        if not filtered or name.endswith("_stderr") or not isinstance(value, int | float):
            continue
        stderr = result.get(f"{name}_stderr,{filtered}")
        scores.append(
            Score(
                task=task,
                version=str(found.get("versions", {}).get(task, "")),
                metric=name if filtered == "none" else key,
                value=value,
                stderr=stderr if isinstance(stderr, int | float) else None,
                n=_asked(task, found),
                shots=shots if isinstance(shots, int) else None,
                higher_is_better=better.get(name),
            )
        )
    return scores


def _asked(task: str, found: Mapping[str, Any]) -> int:
    """Questions of a task, or of all tasks of a group."""
    if task in found["n-samples"]:
        return int(found["n-samples"][task]["effective"])
    return sum(_asked(one, found) for one in found["group_subtasks"][task])


def written(found: Suites) -> str:
    """As JSON."""
    return json.dumps(found.model_dump(), indent=2) + "\n"
