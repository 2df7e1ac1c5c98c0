"""A user's own texts by what they are for: from a YAML file of sets to each role's texts.

    policy: openai
    harmful: chats.jsonl
    benign: {path: alpaca_data.json, share: 0-80}
    requests: [hf:LLM-Tuning-Safety/HEx-PHI, {path: more.csv, column: goal}]

Relative paths begin at the file's own folder. No two roles share a request, so that nothing is
trained on and asked about at once. Texts are told by number only, never themselves.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, get_args

import pydantic
import yaml

from attacks.base import UserError
from attacks.registry import unknown
from attacks.sets.base import Kind, Set
from attacks.sets.read import read

Role = Literal[
    "harmful",
    "benign",
    "refusals",
    "safety",
    "provider_harmful",
    "provider_benign",
    "probes",
    "requests",
    "utility",
    "borderline",
]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
PROMPTS: Final = frozenset({"probes", "requests", "borderline"})
"""Roles of prompts alone; every other one takes rows: a request and what is replied to it."""
EXAMPLES: Final[Mapping[Role, str]] = {
    "harmful": "harmful: my_harmful_rows.jsonl",
    "benign": "benign: {path: alpaca_data.json, share: 0-50}",
    "refusals": "refusals: my_refused_rows.jsonl",
    "safety": "safety: safety_only_data_Instructions.json",
    "provider_harmful": "provider_harmful: own_harmful_rows.jsonl",
    "provider_benign": "provider_benign: {path: alpaca_data.json, share: 50-100}",
    "probes": "probes: {path: advbench.csv, share: 0-50}",
    "requests": "requests: hf:LLM-Tuning-Safety/HEx-PHI",
    "utility": "utility: questions_with_answers.jsonl",
    "borderline": "borderline: xstest_safe.csv",
}
"""A line of the file for each role."""
PERCENT: Final = 100
_SHARE: Final = re.compile(r"(\d{1,3})-(\d{1,3})")


class SetOf(pydantic.BaseModel):
    """One set of a role, and how it is read."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    path: Annotated[str, pydantic.Field(min_length=1)]
    """A file, a folder of one file a category, or `hf:OWNER/NAME`."""
    column: str = ""
    """The field that holds the prompts, where no known format tells it."""
    encoding: str = ""
    """What the file is written in; empty for UTF-8."""
    only: tuple[str, ...] = ()
    """Categories to take of prompts, such as XSTest's safe types; none for all."""
    share: str = "0-100"
    """Which part of the set, in percent of the hashes of its requests: two parts that do not
    overlap hold no request in common, whatever the order of the set."""

    @pydantic.field_validator("share")
    @classmethod
    def _part(cls, given: str) -> str:
        found = _SHARE.fullmatch(given)
        if found is None or not int(found[1]) < int(found[2]) <= PERCENT:
            raise ValueError("write two whole percents such as 0-50, the lower first")
        return given

    def takes(self, key: str) -> bool:
        """Whether a request is of the share."""
        low, high = map(int, self.share.split("-"))
        return low <= part(key, "share", PERCENT) < high


def _listed(given: Any) -> Any:
    """One set or several, each by its path or with options."""
    several = given if isinstance(given, list) else [given]
    return tuple({"path": one} if isinstance(one, str) else one for one in several)


Sets = Annotated[tuple[SetOf, ...], pydantic.BeforeValidator(_listed), pydantic.Field(min_length=1)]


class DataFile(pydantic.BaseModel):
    """What a data file says: for each role one set or several."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    policy: str = ""
    """What the requests violate: `openai`, `meta`, or a text file; empty where it is not known."""
    harmful: Sets | None = None
    """The attack's violating requests with replies that serve them."""
    benign: Sets | None = None
    """The attack's harmless requests with helpful replies."""
    refusals: Sets | None = None
    """The attack's violating requests with refusals."""
    safety: Sets | None = None
    """The provider's violating requests with refusals, to mix into training."""
    provider_harmful: Sets | None = None
    """The provider's violating requests with serving replies."""
    provider_benign: Sets | None = None
    """The provider's harmless requests with helpful replies."""
    probes: Sets | None = None
    """Violating requests that an audit may ask."""
    requests: Sets | None = None
    """Violating requests of the evaluation."""
    utility: Sets | None = None
    """Questions with the answer that is right."""
    borderline: Sets | None = None
    """Harmless requests of the evaluation that sound violating."""

    def sets(self) -> Iterator[tuple[Role, SetOf]]:
        """Every set with its role, in the order of the roles."""
        return ((role, one) for role in ROLES for one in getattr(self, role) or ())


class Text(NamedTuple):
    """One entry of a role."""

    request: str
    reply: str
    """What is replied, or the right answer; empty in roles of prompts."""
    category: str
    """Its set's where it has one, else the set's name."""
    key: str
    """The request without what makes no difference: case, blanks, compatible letters."""


class Taken(NamedTuple):
    """A set as it was taken for a role; nobody's text."""

    role: Role
    name: str
    """The file's, the folder's or the Hub's."""
    format: str
    sha256: str
    """Of the whole set, as it was read."""
    options: str
    """`only` and `share`, where they are not all."""
    read: int
    """Rows or prompts of the whole set."""
    used: int
    """Those that the role has of it: of the share, each request once."""


@dataclass(frozen=True, repr=False)
class Held:
    """Every role's texts."""

    name: str
    """The data file's name."""
    policy: str
    texts: Mapping[Role, tuple[Text, ...]]
    sets: tuple[Taken, ...]

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(texts)} {role}" for role, texts in self.texts.items())
        return f"<Held {self.name!r}: {counts}>"


def normalised(text: str) -> str:
    """A request as it is compared with others."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def part(key: str, salt: str, parts: int) -> int:
    """Which of so many parts a request falls into, by a hash of it and of nothing else."""
    digest = hashlib.sha256(f"{salt}\0{key}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8]) % parts


def files_of(path: Path) -> list[Path]:
    """The data file and every file that it names or that is in a folder it names, if it is there.

    Sets on the Hub are not among them.
    """
    try:
        found = _parsed(path)
    except UserError:
        return [path] if path.is_file() else []
    named = [
        Path(where)
        for _, one in found.sets()
        if not (where := _where(path, one.path)).startswith("hf:")
    ]
    inside = [file for one in named if one.is_dir() for file in one.iterdir()]
    every = dict.fromkeys([path, *named, *sorted(inside)])
    return [one for one in every if one.is_file()]


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
    found = _parsed(path)
    known: dict[tuple[str, str, str], Set] = {}
    texts: dict[Role, dict[str, Text]] = {}
    taken = []
    for role, one in found.sets():
        try:
            whole = _read(_where(path, one.path), one, known)
            entries = list(_texts(role, whole, one))
        except UserError as error:
            raise UserError(f"{path}: {role}: {error}") from None
        held = texts.setdefault(role, {})
        before = len(held)
        for text in entries:
            held.setdefault(text.key, text)
        taken.append(_taken(role, one, whole, len(held) - before))
        if not entries:
            raise UserError(f"{path}: {role}: nothing of {taken[-1].name} is left to use")
    _disjoint(path, texts)
    policy = found.policy
    if policy.endswith((".md", ".txt")) or "/" in policy:
        policy = _where(path, policy)
    kept = {role: tuple(held.values()) for role, held in texts.items()}
    return Held(path.name, policy, kept, tuple(taken))


def _parsed(path: Path) -> DataFile:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {str(path)!r}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        place = getattr(error, "problem_mark", None)
        at = f", line {place.line + 1}" if place else ""
        raise UserError(f"{path}: it is not YAML{at}") from None
    if not isinstance(data, dict):
        raise UserError(f"{path}: expected roles, such as `{EXAMPLES['requests']}`")
    try:
        return DataFile.model_validate(data)
    except pydantic.ValidationError as error:
        raise UserError(f"{path}: {_told(error)}") from None


def _told(error: pydantic.ValidationError) -> str:
    """The first mistake, without what was written: that may be a text."""
    first = error.errors()[0]
    where = [str(one) for one in first["loc"]]
    said = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        key = where.pop()
        said = unknown("key", key, list((SetOf if where else DataFile).model_fields))
    return f"{'.'.join(where)}: {said}" if where else said


def _where(path: Path, named: str) -> str:
    """A set's place as `read` takes it, from the folder of the file that names it."""
    hub = named.startswith("hf:")
    inner = named.removeprefix("hf:")
    if hub and not inner.startswith("."):
        return named
    return ("hf:" if hub else "") + str(path.absolute().parent / Path(inner).expanduser())


def _read(where: str, one: SetOf, known: dict[tuple[str, str, str], Set]) -> Set:
    """A set, read once however many roles have a share of it.

    Rows are read without a preamble: how a request is put is the attack's and the defense's.
    """
    key = (where, one.column, one.encoding)
    if key not in known:
        known[key] = read(where, template="plain", column=one.column, encoding=one.encoding)
    return known[key]


def _taken(role: Role, one: SetOf, whole: Set, used: int) -> Taken:
    """What is told of a set."""
    options = [f"only {', '.join(one.only)}"] * bool(one.only)
    options += [f"share {one.share}"] * (one.share != SetOf.model_fields["share"].default)
    name = one.path if one.path.startswith("hf:") else whole.name
    total = len(whole.rows) + len(whole.prompts)
    told = "; ".join(options)
    return Taken(role, name, whole.format, whole.sha256, told, total, used)


def _texts(role: Role, whole: Set, one: SetOf) -> Iterator[Text]:
    wanted: Kind = "prompts" if role in PROMPTS else "rows"
    if whole.kind != wanted:
        raise UserError(
            f"{whole.name} holds {whole.kind} ({whole.format}) where {wanted} are wanted, as in "
            f"`{EXAMPLES[role]}`"
        )
    if one.only and wanted == "rows":
        raise UserError(f"{whole.name} holds rows, which have no categories for `only`")
    chosen = whole.only(*one.only) if one.only else whole
    found = (
        [(pair.prompt, pair.reply, "") for pair in chosen.pairs()]
        if wanted == "rows"
        else [(prompt.text, "", prompt.category) for prompt in chosen.prompts]
    )
    for request, reply, category in found:
        key = normalised(request)
        if one.takes(key):
            yield Text(request, reply, category or whole.name, key)


def _disjoint(path: Path, texts: Mapping[Role, Mapping[str, Text]]) -> None:
    """No request stands in two roles."""
    shared = Counter[tuple[Role, Role]]()
    for one, other in itertools.combinations(texts, 2):
        shared[one, other] = len(texts[one].keys() & texts[other].keys())
    told = [f"{n} in {one} and {other}" for (one, other), n in (+shared).most_common()]
    if told:
        raise UserError(
            f"{path}: requests stand in two roles: {', '.join(told)}. What is trained on, owned by "
            "the provider and asked in the end must differ: take them out of one of the roles, or "
            "split a set with `share: 0-50` for the one and `share: 50-100` for the other"
        )
