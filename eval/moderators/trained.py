"""A classifier of your own: logistic regression fitted on rows that you have labelled.

Source:  hashed words and pairs of words under multinomial logistic regression (scikit-learn), as
         `words`; fitted by `fit` on `{"messages": [...], "label": "safe" or a category}` lines.
Differs: it is kept as coefficients, JSON and safetensors: nothing that is loaded can run.
Breaks:  it knows the words of its rows and nothing else: another domain, a paraphrase, a cipher or
         another language make its scores mean little. Its card says what it was fitted on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pydantic

from attacks.base import Chat, UserError, component
from attacks.uploads import shape
from attacks.uploads.rows import row_of
from eval import linear
from eval.moderators.base import Moderator, Owner, Scored, said


@component
class Trained(Moderator):
    """A linear classifier that was fitted on labelled rows: `trained:path=FOLDER`."""

    path: str
    """Folder that `eval.moderators.trained.fit` has written."""

    def resolved(self) -> dict[str, str]:
        """The classifier's contents."""
        return {"model": linear.digest(Path(self.path))}

    def scored(self, chats: Sequence[Chat], owner: Owner) -> list[Scored]:
        """The probability of each category; never missing."""
        model = linear.load(Path(self.path))
        return [Scored(scores) for scores in model.scores([said(chat) for chat in chats])]


def fit(rows: Sequence[Chat], labels: Sequence[str], folder: Path, *, domain: str = "") -> Path:
    """Fit a classifier on labelled rows, in any order, and keep it in a folder.

    Args:
        rows: Chats; their system prompts are not looked at.
        labels: `safe`, or the category that a row violates.
        folder: Where it is written.
        domain: What the rows are, in your words; kept beside the coefficients.

    Returns:
        The folder, for `trained:path=FOLDER`.

    Raises:
        UserError: there are not two labels, `safe` is none of them, or one is no short name.
    """
    if len(rows) != len(labels):
        raise UserError(f"classifier: {len(rows)} rows, but {len(labels)} labels")
    pairs = sorted(zip(map(said, rows), labels, strict=True))
    texts, given = [text for text, _ in pairs], [label for _, label in pairs]
    return linear.fit(texts, given, domain=domain).save(folder)


class _Labelled(shape.Supervised):
    label: str


def labelled(text: str) -> tuple[list[Chat], list[str]]:
    """The rows and labels of a labelled JSONL file's text.

    Raises:
        UserError: a line is none, told by its number and without its text.
    """
    rows, labels = [], []
    # Not `splitlines`: it also cuts at marks that may stand inside a JSON string.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            found = _Labelled.model_validate_json(line)
        except pydantic.ValidationError as error:
            raise UserError(
                f"line {number} is no labelled row; each line must be "
                '{"messages": [{"role": ..., "content": ...}, ...], "label": "safe" or a category}'
            ) from error
        labels.append(found.label)
        row = row_of(found)
        assert row is not None  # it ends with a reply
        rows.append(row.messages)
    if not rows:
        raise UserError("the file holds no labelled rows")
    return rows, labels
