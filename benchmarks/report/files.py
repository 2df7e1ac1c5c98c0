"""A run's folder.

matrix.json        results and nothing else: the same results give the same bytes
matrix.csv .md .tex
provenance.json    when, with which versions, what was made and what was reused
run.yaml           reproduces the run
report.html        all of it to look at
figures/*.png *.svg
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydantic

from attacks.base import UserError
from attacks.sets.mt_bench import TURNS
from benchmarks.report import sheet, stamp, tables
from benchmarks.report.sheet import Sheet
from benchmarks.results import Answers, Matrix, Transcript
from benchmarks.store import SCRATCH, remove

if TYPE_CHECKING:
    import pandas

MATRIX = "matrix.json"
RUN = "run.yaml"
SUMMARY = "summary"
"""Key of the computed numbers in `matrix.json`; they are not read back."""


class OutputError(UserError):
    """The folder cannot be written: a full disk, a missing permission."""

    exit_code = 4


def write(
    folder: Path,
    matrix: Matrix,
    provenance: Mapping[str, Any],
    run_yaml: str,
    transcripts: Sequence[Transcript] | None = None,
) -> None:
    """Write all files of a run; each appears whole or not at all, `matrix.json` last.

    What is there already, drawn from the same results by the same code, is not drawn again.

    Args:
        folder: Made when it is not there; the files of an earlier run of the grid are replaced.
        matrix: The results.
        provenance: Plain data for `provenance.json`: everything with a time in it.
        run_yaml: Text of `run.yaml`.
        transcripts: Texts for `report.html`; None leaves all text out.

    Raises:
        UserError: the folder cannot be written.
    """
    wanted = stamp.inputs(matrix, transcripts)
    made = {"provenance.json": _pretty(provenance).encode(), RUN: run_yaml.encode()}
    if not stamp.holds(folder, wanted):
        drawn = contents(matrix, transcripts)
        made |= {**drawn, stamp.STAMP: stamp.make(wanted, drawn)}
    _replace(folder, made)


def write_report(
    folder: Path, matrix: Matrix, transcripts: Sequence[Transcript] | None = None
) -> None:
    """Write what follows from the results alone; the run's own records stay as they are.

    Raises:
        UserError: the folder cannot be written.
    """
    drawn = contents(matrix, transcripts)
    mark = stamp.make(stamp.inputs(matrix, transcripts), drawn)
    _replace(folder, {**drawn, stamp.STAMP: mark})


def frame(matrix: Matrix) -> pandas.DataFrame:
    """Every entry as a row; shares from 0 to 1, missing where there is no number."""
    return tables.frame(sheet.make(matrix))


def contents(matrix: Matrix, transcripts: Sequence[Transcript] | None = None) -> dict[str, bytes]:
    """The files that follow from the results alone, by path within the folder."""
    from benchmarks.report import figures, html  # matplotlib, which reading a run does not need

    made = sheet.make(matrix)
    images = figures.draw(made)
    texts = {
        "matrix.csv": tables.csv(made),
        "matrix.md": tables.markdown(made),
        "matrix.tex": tables.latex(made),
        "report.html": html.page(made, images, transcripts),
        MATRIX: to_json(made),
    }
    found = {name: text.encode() for name, text in texts.items()}
    for image in images:
        found[f"figures/{image.name}.png"] = image.png
        found[f"figures/{image.name}.svg"] = image.svg.encode()
    return found


def load(folder: Path) -> Matrix:
    """The matrix in a run's folder.

    Raises:
        UserError: there is none, it is damaged, or it was written in another format.
    """
    path = folder / MATRIX
    if not path.is_file():
        raise UserError(f"no {MATRIX} in {str(folder)!r}; give the folder of a run")
    try:
        data = json.loads(path.read_bytes())
        if isinstance(data, dict):
            data.pop(SUMMARY, None)
            _check_format(path, data.get("format"))
        matrix = Matrix.model_validate(data, strict=True)
    except OSError as error:
        raise UserError(f"cannot read {str(path)!r}: {error.strerror}") from error
    except pydantic.ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"])) or "the whole"
        raise _damaged(path, f"{where} is not what it should be") from error
    except (ValueError, RecursionError) as error:
        raise _damaged(path, "it is not JSON") from error
    _check_lengths(path, matrix)
    return matrix


def to_json(made: Sheet) -> str:
    """The text of `matrix.json`: a line for each cell, and for each line of the summary.

    Keys stand in the order of the format, and within `evidence` in that of the alphabet. The
    order of judges and of asks means something (the first judge is the matrix's) and is kept.
    """
    data = made.matrix.model_dump(mode="json")
    for cell in data["cells"]:
        for gate in cell["gates"]:
            gate["evidence"] = dict(sorted(gate["evidence"].items()))
        for asked in cell["asks"].values():
            for answers in filter(None, asked.values()):
                for name in ("scores", "expected"):
                    found = answers[name]
                    answers[name] = {j: found[j] for j in made.matrix.judges if j in found}
                if not answers["expected"]:
                    del answers["expected"]
                if answers["mt_bench"] is None:
                    del answers["mt_bench"]
    if not data["prompts"]["mt_bench"]:
        del data["prompts"]["mt_bench"]
    if not data["rater"]:
        del data["rater"]
    if not data["caveats"]:
        del data["caveats"]
    if data["data"] is None:
        del data["data"]
    data[SUMMARY] = made.records()
    parts = [f"{json.dumps(key)}: {_lines(value)}" for key, value in data.items()]
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _lines(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n" + ",\n".join(map(_compact, value)) + "\n]"
    return _compact(value)


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, default=str) + "\n"


def _check_format(path: Path, found: Any) -> None:
    wanted = Matrix.model_fields["format"].default
    if found != wanted:
        raise UserError(
            f"{str(path)!r} has format {found!r} and this version reads {wanted}; "
            "run the grid again, or read it with the version that wrote it"
        )


def _check_lengths(path: Path, matrix: Matrix) -> None:
    """Every cell answers every request, for every judge."""
    n = len(matrix.prompts.ids)
    if not matrix.judges or len(matrix.prompts.categories) != n:
        raise _damaged(path, "its parts do not fit together")
    for cell in matrix.cells:
        for asked in cell.asks.values():
            for answers in filter(None, (asked.released, asked.if_released)):
                if not _whole(answers, set(matrix.judges), n) or not _rated(answers, matrix):
                    name = f"{cell.attack} x {cell.defense}, seed {cell.seed}"
                    raise _damaged(path, f"the cell {name} lacks answers")


def _whole(answers: Answers, judges: set[str], n: int) -> bool:
    lengths = {len(answers.coherent), *map(len, answers.scores.values())}
    lengths |= set(map(len, answers.expected.values()))
    return set(answers.scores) == judges >= set(answers.expected) and lengths == {n}


def _rated(answers: Answers, matrix: Matrix) -> bool:
    """Whether every question of MT-Bench has its turns, where they are rated."""
    if answers.mt_bench is None:
        return True
    found = answers.mt_bench.scores
    return len(found) == matrix.prompts.mt_bench and all(len(each) == TURNS for each in found)


def _damaged(path: Path, what: str) -> UserError:
    return UserError(f"{str(path)!r} is damaged: {what}; run the grid again")


def _replace(folder: Path, made: Mapping[str, bytes]) -> None:
    """Write everything beside the folder's files first, then move each into its place."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f"{SCRATCH}*"):
            remove(left)  # of a run that was killed while it wrote
        # Beside the files that are there, so that a move within one disk puts each in its place.
        with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=folder) as staging:
            for name, content in made.items():
                path = Path(staging, name)
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content)
            # The matrix last: a folder with a matrix has everything else that belongs to it.
            for name in sorted(made, key=lambda name: (name == MATRIX, name == stamp.STAMP, name)):
                (folder / name).parent.mkdir(exist_ok=True)
                os.replace(Path(staging, name), folder / name)
    except OSError as error:
        raise OutputError(
            f"cannot write into {str(folder)!r}: {error.strerror}; "
            "no file there is half written: make room and run the same command again"
        ) from error
