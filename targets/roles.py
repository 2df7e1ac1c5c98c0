"""A user's own texts by what they are for: from the sets of a data file to each role's texts.

No two roles share a request, so that nothing is trained on and asked about at once. Texts are told
by their number only, never themselves.
"""

from __future__ import annotations

import functools
import itertools
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as Set_
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import pydantic

from attacks.base import Row, UserError
from attacks.sets import mt_bench
from attacks.sets.base import Kind, Set
from attacks.sets.benchmarks import without_contrasts
from attacks.sets.mt_bench import Question
from attacks.sets.read import read
from attacks.sets.safety import Filter, filtered
from attacks.sets.templates import TEMPLATES
from targets.datafile import EXAMPLES, PROMPTS, Role, SetOf, files_of, parsed, place

MOST: Final = 5
"""Strings of a filter that are told.  # ours: a line"""


class Text(NamedTuple):
    """One entry of a role."""

    request: str
    reply: str
    """What is replied, or the right answer; empty in roles of prompts."""
    category: str
    """Its set's where it has one, else the set's name."""
    key: str
    """The request without what makes no difference: case, blanks, compatible letters."""

    def __repr__(self) -> str:
        return f"<Text of {self.category!r}>"


class Taken(pydantic.BaseModel):
    """A set as it was taken for a role, by counts and hashes: nobody's text."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    role: Role
    name: str
    """The file's, the folder's or the Hub's."""
    format: str
    sha256: str
    """Of the whole set, as it was read."""
    options: str
    """What was chosen of it; empty for all."""
    read: int
    """Rows or prompts of the whole set, with those that were left out."""
    used: int
    """Those that the role has of it: of the share, each request once."""
    left_out: dict[str, int] = {}
    """How many of `read` were left out, by reason, but for `only` and the share."""
    noted: dict[str, int] = {}
    """How many were kept and are worth knowing of, by what."""
    filter: Filter | None = None
    hits: dict[str, int] = {}
    """Of the filter's own strings, the most frequent and in how many rows each is."""


@dataclass(frozen=True, repr=False)
class Held:
    """Every role's texts."""

    name: str
    """The data file's name."""
    policy: str
    texts: Mapping[Role, tuple[Text, ...]]
    sets: tuple[Taken, ...]
    pictures: tuple[str, str] | None = None
    """Where conversations about pictures lie, and the folder of the pictures."""
    questions: tuple[Question, ...] = ()
    """MT-Bench's, which are no texts of a role."""
    papers: Mapping[str, str] = field(default_factory=dict)
    """By attack, where the paper's own words for it lie."""
    written: Mapping[tuple[str, str, str], Row] = field(default_factory=dict)
    """By template, request and reply, the benign rows of instructions as their own set's template
    writes them."""

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(texts)} {role}" for role, texts in self.texts.items())
        return f"<Held {self.name!r}: {counts}>"


def normalised(text: str) -> str:
    """A request as it is compared with others."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def load(path: Path) -> Held:
    """The texts of every role that a data file names.

    Read again only when one of its files has changed.

    Raises:
        UserError: the file or a set cannot be read, a key is unknown, a set is of the other kind
            than its role, or roles share requests.
    """
    stats = [(file, file.stat()) for file in files_of(path)]
    state = tuple((str(file.absolute()), one.st_mtime_ns, one.st_size) for file, one in stats)
    return _load(path, state)


@functools.lru_cache(maxsize=4)
def _load(path: Path, state: tuple[Any, ...]) -> Held:
    found = parsed(path)
    known: dict[tuple[str, str, str], Set] = {}
    texts: dict[Role, dict[str, Text]] = {}
    questions: dict[tuple[str, ...], Question] = {}
    taken = []
    for role, one in found.sets():
        if role == "mt_bench":
            taken.append(_asked_twice(path, one, questions))
            continue
        try:
            chosen = _chosen(role, _read(place(path, one.path), one, known), one)
            entries = list(_texts(role, chosen.left, one))
        except UserError as error:
            raise UserError(f"{path}: {role}: {error}") from None
        held = texts.setdefault(role, {})
        before = len(held)
        for text in entries:
            # Of several the same one, in whatever order they stand.
            held[text.key] = min(text, held.get(text.key, text))
        taken.append(_taken(role, one, chosen, len(entries), len(held) - before))
        if not entries:
            raise UserError(f"{path}: {role}: nothing of {taken[-1].name} is left to use")
    keys: dict[Role, Set_[str]] = {role: held.keys() for role, held in texts.items()}
    _disjoint(path, {**keys, "mt_bench": {turn for turns in questions for turn in turns}})
    policy = found.policy
    if policy.endswith((".md", ".txt")) or "/" in policy:
        policy = place(path, policy)
    kept = {role: tuple(held.values()) for role, held in texts.items()}
    shown = found.pictures
    pictures = (place(path, shown.path), place(path, shown.images)) if shown else None
    papers = {attack: place(path, one) for attack, one in found.papers().items()}
    if gone := [attack for attack, where in papers.items() if not Path(where).is_file()]:
        raise UserError(f"{path}: the file given for {gone[0]} is not there; mend its path")
    asked = tuple(questions.values())
    written = _written(path, found.benign or (), known)
    return Held(path.name, policy, kept, tuple(taken), pictures, asked, papers, written)


def _asked_twice(path: Path, one: SetOf, known: dict[tuple[str, ...], Question]) -> Taken:
    """Read questions of MT-Bench and add those of the share that are new."""
    try:
        if one.column or one.encoding or one.filter:
            raise UserError(f"{one.path} holds questions, of which only and share choose some")
        asked, sha256 = mt_bench.read(place(path, one.path))
        if lacking := set(one.only) - {question.category for question in asked}:
            raise UserError(f"{one.path}: no questions of {len(lacking)} of the categories named")
    except UserError as error:
        raise UserError(f"{path}: mt_bench: {error}") from None
    before = len(known)
    for question in asked:
        turns = tuple(normalised(turn) for turn in question.turns)
        if one.takes(turns[0]) and (not one.only or question.category in one.only):
            known.setdefault(turns, question)
    if len(known) == before:
        raise UserError(f"{path}: mt_bench: nothing of {one.path} is left to use")
    name = one.path if one.on_hub else Path(one.path).name
    return Taken(
        role="mt_bench", name=name, format="mt_bench", sha256=sha256, options=one.told,
        read=len(asked), used=len(known) - before,
    )  # fmt: skip


def _written(
    path: Path, sets: Iterable[SetOf], known: dict[tuple[str, str, str], Set]
) -> dict[tuple[str, str, str], Row]:
    """Rows of instructions in their own template, which keeps what a task is about apart."""
    found: list[tuple[tuple[str, str, str], Row]] = []
    for one in sets:
        where = place(path, one.path)
        whole = _read(where, one, known)
        if whole.format in TEMPLATES:
            own = read(where, encoding=one.encoding).rows
            keys = ((whole.format, *pair) for pair in whole.pairs())
            found += zip(keys, own, strict=True)
    # Sorted, so that of several the same one is kept in whatever order they stand.
    return dict(sorted(found, key=lambda each: each[1].messages))


def _read(where: str, one: SetOf, known: dict[tuple[str, str, str], Set]) -> Set:
    """A set, read once however many roles have a share of it.

    Rows are read without a preamble: how a request is put is the attack's and the defense's.
    """
    key = (where, one.column, one.encoding)
    if key not in known:
        known[key] = read(where, template="plain", column=one.column, encoding=one.encoding)
    return known[key]


class _Chosen(NamedTuple):
    """What a role takes of a set, before its share."""

    whole: Set
    left: Set
    hits: Counter[str]
    """What the filter found."""


def _chosen(role: Role, whole: Set, one: SetOf) -> _Chosen:
    wanted: Kind = "prompts" if role in PROMPTS else "rows"
    if whole.kind != wanted:
        raise UserError(
            f"{whole.name} holds {whole.kind} ({whole.format}) where {wanted} are wanted, as in "
            f"`{EXAMPLES[role]}`"
        )
    if any(whole.images):
        raise UserError(
            f"{whole.name} holds conversations about images, and roles are of text; tune a model "
            "that sees on them with the attack visual:FILE,images=FOLDER"
        )
    if wanted == "rows" and one.only:
        raise UserError(f"{whole.name} holds rows, which have no categories for `only`")
    left, hits = filtered(whole, one.filter) if one.filter else (whole, Counter[str]())
    left = left.only(*one.only) if one.only else left
    return _Chosen(whole, without_contrasts(left) if role == "borderline" else left, hits)


def _texts(role: Role, chosen: Set, one: SetOf) -> Iterator[Text]:
    found = [(prompt.text, "", prompt.category) for prompt in chosen.prompts]
    found += [(pair.prompt, pair.reply, "") for pair in chosen.pairs()]
    if role == "utility" and not all(answer.strip() for _, answer, _ in found):
        raise UserError(f"{chosen.name} holds a question without its answer")
    for request, reply, category in found:
        key = normalised(request)
        if one.takes(key):
            yield Text(request, reply, category or chosen.name, key)


def _taken(role: Role, one: SetOf, chosen: _Chosen, entries: int, used: int) -> Taken:
    """What is told of a set."""
    whole, left, hits = chosen
    again = {"the same request again": entries - used}
    systems = sum(any(m.role == "system" for m in row.messages) for row in left.rows)
    return Taken(
        role=role,
        name=one.path if one.on_hub else Path(whole.name).name,
        format=whole.format,
        sha256=whole.sha256,
        options=one.told,
        read=len(whole.rows) + len(whole.prompts) + sum(whole.skipped.values()),
        used=used,
        left_out=+Counter({**left.skipped, **again}),
        noted=+Counter({**left.noted, "system prompts left out": systems}),
        filter=one.filter,
        hits=dict(hits.most_common(MOST)),
    )


def _disjoint(path: Path, keys: Mapping[Role, Set_[str]]) -> None:
    """No request stands in two roles."""
    shared = Counter[tuple[Role, Role]]()
    for one, other in itertools.combinations(keys, 2):
        shared[one, other] = len(keys[one] & keys[other])
    told = [f"{n} in {one} and {other}" for (one, other), n in (+shared).most_common()]
    if told:
        raise UserError(
            f"{path}: requests stand in two roles: {', '.join(told)}. What is trained on, owned by "
            "the provider and asked in the end must differ: take them out of one of the roles, or "
            "split a set with `share: 0-50` for the one and `share: 50-100` for the other"
        )
