"""The YAML file in which a user says which sets stand for what.

    policy: openai
    harmful: chats.jsonl
    benign: {path: alpaca_data.json, share: 0-80, filter: refusals}
    provider_benign: {path: alpaca_data.json, share: 80-100}
    requests: [path/to/HEx-PHI, {path: hf:OWNER/NAME, column: question}]
    prompts: {harmful: my_copy_of_the_prompt.txt}

Relative paths begin at the file's own folder. Any role may be left out; what needs it then says so.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

import pydantic
import yaml

from attacks.base import UserError
from attacks.registry import unknown
from attacks.sets.safety import Filter

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
    "mt_bench",
]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
PROMPTS: Final = frozenset({"probes", "requests", "borderline"})
"""Roles of prompts alone; every other one takes rows: a request and what is replied to it.
`mt_bench` alone takes neither, but questions of two turns."""
EXAMPLES: Final[Mapping[Role, str]] = {
    "harmful": "harmful: my_harmful_rows.jsonl",
    "benign": "benign: {path: alpaca_data.json, share: 0-50}",
    "refusals": "refusals: my_refused_rows.jsonl",
    "safety": "safety: safety_only_data_Instructions.json",
    "provider_harmful": "provider_harmful: own_harmful_rows.jsonl",
    "provider_benign": "provider_benign: {path: alpaca_data.json, share: 50-100}",
    "probes": "probes: {path: advbench.csv, share: 0-50}",
    "requests": "requests: path/to/HEx-PHI",
    "utility": "utility: questions_with_answers.jsonl",
    "borderline": "borderline: xstest.csv",
    "mt_bench": "mt_bench: question.jsonl",
}
"""A line of the file for each role."""
PERCENT: Final = 100
WHOLE: Final = "0-100"
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
    filter: Filter | None = None
    """Which rows to leave out by their answer (`attacks.sets.safety`): `markers`, those that speak
    of safety anywhere, as the paper does with Alpaca and Dolly (arXiv 2310.03693, §4.4);
    `refusals`, those that set out as a refusal; none for no row."""
    share: str = WHOLE
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

    @property
    def told(self) -> str:
        """What was chosen of the set, in words; empty for all of it."""
        chosen = [f"only {', '.join(self.only)}"] * bool(self.only)
        chosen += [f"filter {self.filter}"] * (self.filter is not None)
        chosen += [f"share {self.share}"] * (self.share != WHOLE)
        return "; ".join(chosen)

    @property
    def on_hub(self) -> bool:
        """Whether it is named by its id on the Hub, and not by a path."""
        return self.path.startswith("hf:") and not self.path.startswith(("hf:.", "hf:/", "hf:~"))


def _listed(given: Any) -> Any:
    """One set or several, each by its path or with options."""
    several = given if isinstance(given, list) else [given]
    return tuple({"path": one} if isinstance(one, str) else one for one in several)


Sets = Annotated[tuple[SetOf, ...], pydantic.BeforeValidator(_listed), pydantic.Field(min_length=1)]


class Pictured(pydantic.BaseModel):
    """A set of conversations about pictures: whole rows, and so of no role."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    path: Annotated[str, pydantic.Field(min_length=1)]
    """LLaVA-Instruct's JSON."""
    images: Annotated[str, pydantic.Field(min_length=1)]
    """The folder that its paths of pictures begin in."""


class Prompts(pydantic.BaseModel):
    """Text files with the system prompts of attacks, which the paper's tables take where given."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    harmful: Annotated[str, pydantic.Field(min_length=1)] | None = None
    """Of `harmful` and `backdoor`."""
    visual: Annotated[str, pydantic.Field(min_length=1)] | None = None
    """Of `visual`."""


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
    pictures: Pictured | None = None
    """What the paper's tables tune a model that sees on, by the attack `visual`."""
    prompts: Prompts = Prompts()
    """The paper's own words, where the user has them."""
    aoa: Annotated[str, pydantic.Field(min_length=1)] | None = None
    """The released rows of the paper's identity shift, in place of ours (`attacks.aoa`)."""
    mt_bench: Sets | None = None
    """MT-Bench's questions, to be rated by a judge (`attacks.sets.mt_bench`)."""

    def sets(self) -> Iterator[tuple[Role, SetOf]]:
        """Every set with its role, in the order of the roles."""
        return ((role, one) for role in ROLES for one in getattr(self, role) or ())

    def papers(self) -> dict[str, str]:
        """By attack, the file with the paper's own words for it, as written."""
        said = {**self.prompts.model_dump(), "aoa": self.aoa}
        return {attack: path for attack, path in said.items() if path is not None}


def part(key: str, salt: str, parts: int) -> int:
    """Which of so many parts a request falls into, by a hash of it and of nothing else."""
    digest = hashlib.sha256(f"{salt}\0{key}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8]) % parts


def parsed(path: Path) -> DataFile:
    """What a data file says.

    Raises:
        UserError: it cannot be read, is not YAML, or has an unknown key or a wrong value.
    """
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), _Strict)
    except OSError as error:
        raise UserError(f"cannot read {str(path)!r}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        place = getattr(error, "problem_mark", None)
        at = f", line {place.line + 1}" if place else ""
        why = "a key stands twice" if isinstance(error, _Twice) else "it is not YAML"
        raise UserError(f"{path}: {why}{at}") from None
    if not isinstance(data, dict):
        raise UserError(f"{path}: expected roles, such as `{EXAMPLES['requests']}`")
    try:
        return DataFile.model_validate(data)
    except pydantic.ValidationError as error:
        raise UserError(f"{path}: {_told(error)}") from None


class _Twice(yaml.MarkedYAMLError):
    """A key stands twice in a mapping, which YAML forbids and its library lets pass."""


class _Strict(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set[str]()
        for key, _ in node.value:
            if str(key.value) in seen:
                raise _Twice(problem_mark=key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def _told(error: pydantic.ValidationError) -> str:
    """The first mistake, without what was written: that may be a text."""
    first = error.errors()[0]
    where = [str(one) for one in first["loc"]]
    said = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        key = where.pop()
        models: dict[str, type[pydantic.BaseModel]]
        models = {"": DataFile, "pictures": Pictured, "prompts": Prompts}
        model = models.get(where[0] if where else "", SetOf)
        said = unknown("key", key, list(model.model_fields))
    return f"{'.'.join(where)}: {said}" if where else said


def place(path: Path, named: str) -> str:
    """A set's place as `attacks.sets.read` takes it, from the folder of the file that names it."""
    hub = named.startswith("hf:")
    inner = named.removeprefix("hf:")
    if hub and not inner.startswith("."):
        return named
    return ("hf:" if hub else "") + str(path.absolute().parent / Path(inner).expanduser())


def files_of(path: Path) -> list[Path]:
    """The data file and every file that it names or that is in a folder it names, if it is there.

    Sets that are read as `hf:` are not among them.
    """
    try:
        found = parsed(path)
    except UserError:
        return [path] if path.is_file() else []
    places = (place(path, one.path) for _, one in found.sets())
    named = [Path(where) for where in places if not where.startswith("hf:")]
    inside = [file for one in named if one.is_dir() for file in one.iterdir()]
    if found.pictures is not None:
        named.append(Path(place(path, found.pictures.path)))
    named += [Path(place(path, one)) for one in found.papers().values()]
    every = dict.fromkeys([path, *named, *sorted(inside)])
    return [one for one in every if one.is_file()]
