"""Guard models: how they are asked about an exchange, and how what they print is read.

Source: the models' own papers and cards; `guards.toml` describes each form as data.
"""

from __future__ import annotations

import functools
import hashlib
import operator
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pydantic

from attacks.base import Message, component
from eval.local import Loaded
from eval.protocol import Question
from targets.base import Rules

if TYPE_CHECKING:
    from targets.moderator import Answer, Moderator

AUTO = "auto"
_FORMS = Path(__file__).with_name("guards.toml")
_FLAGS = re.IGNORECASE
_THOUGHT = r"\s*(?:<think>(?s:.*?)</think>\s*)?"


class Form(pydantic.BaseModel):
    """One way of printing a verdict."""

    model_config = pydantic.ConfigDict(strict=True, extra="forbid", frozen=True)

    verdict: str
    unsafe: list[str]
    between: list[str] = []
    safe: list[str]
    listed: str = ""
    category: str = ""

    def words(self) -> list[str]:
        """All that a verdict can be."""
        return [*self.unsafe, *self.between, *self.safe]

    def weight(self, word: str, strict: bool) -> int:
        """1 for a word that means unsafe, 0 for one that means safe."""
        return int(word in self.unsafe or (strict and word in self.between))


class Said(NamedTuple):
    """A verdict as it was read off an answer."""

    form: Form
    word: str
    """As the form has it."""
    start: int
    """Where it begins in the answer."""
    categories: tuple[str, ...]
    """Those that the answer names, as the form knows them."""


def digest() -> str:
    """Hash of all forms: part of the key of whatever is read by them."""
    return hashlib.sha256(_FORMS.read_bytes()).hexdigest()


@functools.cache
def forms() -> dict[str, Form]:
    """The forms that are known, by name."""
    read = tomllib.loads(_FORMS.read_text(encoding="utf-8"))
    return {name: Form.model_validate(form) for name, form in read.items()}


def read(text: str, form: str = AUTO) -> Said | None:
    """The verdict in an answer; None where it is in no form that is asked for.

    Args:
        text: What the guard printed.
        form: Name of a form, or `auto` for whichever the answer keeps to: no answer fits two.
    """
    known = forms().values() if form == AUTO else [forms()[form]]
    for one in known:
        if found := re.match(_THOUGHT + f"(?:{one.verdict})", text, _FLAGS):
            group = next(name for name, word in found.groupdict().items() if word is not None)
            said = found[group]
            same = [word for word in one.words() if word == said]
            alike = [word for word in one.words() if word.casefold() == said.casefold()]
            return Said(one, (same or alike)[0], found.start(group), _categories(one, text))
    return None


def _categories(form: Form, text: str) -> tuple[str, ...]:
    line = re.search(form.listed, text, _FLAGS | re.MULTILINE) if form.listed else None
    if line is None:
        return ()
    known = {name.casefold(): name for name in re.findall(form.category, line["names"], _FLAGS)}
    return tuple(sorted(known.values()))


@component
class Exchange(Loaded):
    """A model that is asked about a whole exchange through its own chat template."""

    @classmethod
    def load(cls, folder: Path) -> Moderator:
        """The model in a folder, one that is asked about an exchange."""
        from targets.moderator import Moderator

        return Moderator.load(folder)

    def question(self, rules: Rules, request: str, reply: str) -> Question:
        """The exchange itself; what is asked of it stands in the model's chat template."""
        return Question((Message("user", request), Message("assistant", reply)), "")


def chance(
    target: Moderator, asked: Sequence[tuple[list[int], Answer, Said]], strict: bool
) -> list[float | None]:
    """How likely each guard's verdict was to be `unsafe`, at the word that it printed.

    Args:
        target: The guard.
        asked: Tokens of the question, the answer, and what was read off it.
        strict: Whether what is neither safe nor unsafe counts as unsafe.

    Returns:
        Between 0 and 1, over the words that the form knows; None where the word's tokens cannot be
        told from those of the others.
    """
    places = [_place(target, answer, said) for _, answer, said in asked]
    contexts = [
        [*question, *answer.ids[: place.at], *place.shared]
        for (question, answer, _), place in zip(asked, places, strict=True)
        if place is not None
    ]
    options = [list(place.options.values()) for place in places if place is not None]
    chances = iter(target.chances(contexts, options))
    found: list[float | None] = []
    for (_, _, said), place in zip(asked, places, strict=True):
        weights = [said.form.weight(word, strict) for word in place.options] if place else []
        found.append(sum(map(operator.mul, weights, next(chances))) if place else None)
    return found


class _Place(NamedTuple):
    """Where in an answer's tokens the verdict falls."""

    at: int
    """Tokens of the answer before it."""
    shared: list[int]
    """Tokens that all words begin with there."""
    options: dict[str, int]
    """The token that tells each word from the others."""


def _place(target: Moderator, answer: Answer, said: Said) -> _Place | None:
    tokenizer, ids = target.tokenizer, list(answer.ids)
    begun = (tokenizer.decode(ids[:n], skip_special_tokens=True) for n in range(len(ids) + 1))
    lengths = [len(text.lstrip()) for text in begun]
    at = next((n for n in range(len(ids)) if lengths[n + 1] > said.start), None)
    if at is None:
        return None
    gap = answer.text[lengths[at] : said.start]
    # In the case of the word that was printed: `yes` competes with `no`, and not with `No`.
    words = [w for w in said.form.words() if w[0].isupper() == said.word[0].isupper()]
    coded = {w: tokenizer.encode(gap + w, add_special_tokens=False) for w in words}
    mine = coded[said.word]
    columns = enumerate(zip(*coded.values(), strict=False))
    shared = next((n for n, column in columns if len(set(column)) > 1), len(mine))
    options = {w: one[shared] for w, one in coded.items() if len(one) > shared}
    same = ids[at : at + len(mine)] == mine
    told_apart = len(set(options.values())) == len(words)
    return _Place(at, mine[:shared], options) if same and told_apart else None
