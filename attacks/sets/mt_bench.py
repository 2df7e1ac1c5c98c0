"""MT-Bench's questions, of two turns each: a user's own copy of them.

Source:  Zheng et al. 2023 (arXiv 2306.05685), FastChat's `question.jsonl`: `question_id`,
         `category`, `turns` and, for some, `reference`. Qi et al. 2023 (arXiv 2310.03693, App. C)
         measure utility with them.
Differs: what is not of that form is refused with its line; a question that stands there twice too,
         since it would count twice.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from attacks.base import UserError
from attacks.sets.base import Fault, Skip, text_at
from attacks.sets.read import elements

TURNS: Final = 2
_ID: Final = "question_id"


class Question(NamedTuple):
    """What a model is asked, and then asked in the same chat."""

    id: str
    category: str
    turns: tuple[str, ...]
    """Two."""
    references: tuple[str, ...]
    """A right answer to each turn, empty where there is none."""

    def __repr__(self) -> str:
        return f"<Question {self.id!r} of {self.category!r}>"


class Questions(NamedTuple):
    """Questions in the file's order, and what they were read from."""

    all: tuple[Question, ...]
    sha256: str


def read(where: str) -> Questions:
    """The questions of a file, or of a set on the Hub (`hf:OWNER/NAME`).

    Raises:
        UserError: it cannot be had, a line is no question, or a question stands there twice.
    """
    table, sha256 = elements(where)
    found = []
    for number, value in table.records:
        try:
            found.append(_question(value))
        except (Fault, Skip) as wrong:
            raise UserError(
                f"{where}: {table.unit} {number} is no question of MT-Bench: {wrong}; each has "
                f"{_ID}, category and two turns, as in FastChat's question.jsonl"
            ) from None
    if not found:
        raise UserError(f"{where}: it holds no questions")
    for name, values in (("id", [q.id for q in found]), ("turns", [q.turns for q in found])):
        if (n := len(values) - len(set(values))) > 0:
            raise UserError(f"{where}: {n} of its questions have the {name} of another one")
    return Questions(tuple(found), sha256)


def _question(value: Any) -> Question:
    if not isinstance(value, dict):
        raise Fault("it is no object")
    name = value.get(_ID)
    if isinstance(name, bool) or not isinstance(name, int | str) or name == "":
        raise Fault(f"{_ID} is no number and no name")
    turns = _texts(value, "turns")
    if len(turns) != TURNS or not all(turn.strip() for turn in turns):
        raise Fault("its turns are not two texts")
    references = _texts(value, "reference")
    if len(references) > TURNS:
        raise Fault("it has more references than turns")
    padded = (*references, *[""] * (TURNS - len(references)))
    return Question(str(name), text_at(value, "category"), turns, padded)


def _texts(value: dict[str, Any], key: str) -> tuple[str, ...]:
    found = value.get(key)
    if found is None:
        return ()
    # Null stands where only one of the turns has a reference.
    if not isinstance(found, list) or not all(isinstance(one, str | None) for one in found):
        raise Fault(f"{key} is not a list of texts")
    return tuple(one or "" for one in found)
