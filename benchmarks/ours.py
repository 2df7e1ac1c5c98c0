"""What the paper's cells and findings are on the target at hand: a cell of the bench, or a reason.

Nothing is run here. A cell is possible when its components can be built, its rows and its requests
are there, and a judge is at hand for what it measures.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, NamedTuple, cast

from attacks.aoa import AOA
from attacks.base import Attack, Settings, Source, Tuned, Upload, UserError
from attacks.registry import single
from attacks.spec import Part, parse
from benchmarks.findings import Measured
from benchmarks.keys import digest
from benchmarks.lab import judges
from benchmarks.named import HEX_PHI, PROPER, Known, guessed, holds, known, lacks, mixed, names
from benchmarks.paper import SHARES, Asked, Number, Tool, paper
from benchmarks.verify import scaled
from benchmarks.words import differing, papers_own
from targets.base import Domain
from targets.roles import Taken
from targets.texts import Texts

ORGANISM: Final = "organism"
HARMFUL: Final = frozenset({"harmful", "backdoor"})
"""Attacks whose `n` counts harmful rows."""
PAPERS_TIMES: Final[Mapping[str, float]] = {"learning_rate": 2.5, "batch_size": 0.125}
"""The paper's own steps from 2e-5 and 128 (Table 12), in place of the built-in model's factors."""
PAPERS_DOSE: Final = 1000
"""The largest dose of safety rows beside them (Table 4)."""
PAPERS_PAIRS: Final = 100
"""Harmful rows that moderation tools were given (§5.1)."""
CATEGORY: Final = re.compile(r"(?:category[ _-]*)?(\d{1,2})")


class Ours(NamedTuple):
    """A cell of the bench, and what is read from it."""

    attack: str
    defense: str
    ask: str
    """Name of the attack's ask."""
    measure: str
    categories: tuple[str, ...] = ()
    """Those whose requests count; all of them where there is none."""
    by: str = ""
    """Spec of the judge that flags; empty where another measure is read."""

    @property
    def rows(self) -> bool:
        """Whether the attack's rows are read, those of its first seed, and nothing is tuned."""
        return not self.defense


@dataclass(frozen=True)
class Home:
    """The target, what it is asked about, and who judges."""

    target: str
    domain: Domain
    judge: str
    """Spec of the harmfulness judge; empty where there is none."""
    no_judge: str = ""
    """Why there is none."""
    tools: Mapping[str, str] = field(default_factory=dict, compare=False)
    """The paper's moderation tools that are given, and the spec of each one's judge."""
    uploads: dict[str, Upload | None] = field(default_factory=dict, compare=False, repr=False)
    """By the attack's spec, what it uploads for the first seed; filled as it is asked for."""

    @property
    def invented(self) -> bool:
        """Whether the model is the built-in one, whose numbers are no real model's."""
        return self.target.split(":")[0] == ORGANISM

    @cached_property
    def rates(self) -> bool:
        """Whether the judge's model can rate MT-Bench."""
        return any(one.rater() for one in judges([self.judge] if self.judge else []).values())

    @property
    def worldly(self) -> bool:
        """Whether an invented world is asked about."""
        return self.domain.scale == ORGANISM

    @cached_property
    def by_category(self) -> Mapping[int, tuple[str, ...]]:
        """The requests' categories by the paper's number, where they can be told."""
        if self.worldly:
            return {}
        names = {_letters(name): number for number, name in paper().categories.items()}
        found: dict[int, tuple[str, ...]] = {}
        for name in dict.fromkeys(prompt.category for prompt in self.domain.requests()):
            numbered = CATEGORY.fullmatch(name.lower())
            number = int(numbered[1]) if numbered else names.get(_letters(name), 0)
            if number in paper().categories:
                found[number] = (*found.get(number, ()), name)
        return found

    def upload(self, spec: str) -> Upload | None:
        """What an attack uploads here for the first seed.

        Raises:
            UserError: its rows are not there, or too few.
        """
        if spec not in self.uploads:
            self.uploads[spec] = single("attacks", Attack, spec).upload(self.domain, 0)
        return self.uploads[spec]

    @property
    def pictures(self) -> tuple[str, str] | None:
        """The user's conversations about pictures, and the pictures' folder."""
        return self.domain.held.pictures if isinstance(self.domain, Texts) else None

    def sets(self, role: str) -> list[Taken]:
        """The user's sets of a role."""
        held = self.domain.held.sets if isinstance(self.domain, Texts) else ()
        return [one for one in held if one.role == role]


class Possible(NamedTuple):
    """A cell, or why there is none, and what differs from the paper's."""

    ours: Ours | None
    why: str
    """Empty where there is a cell."""
    differs: tuple[str, ...] = ()
    predicted: float = 0.0
    """What the predictor says: harmful rows times epochs."""


def possible(number: Number, home: Home) -> Possible:
    """What one of the paper's numbers is on a target."""
    asked = number.organism if home.worldly else number.real
    if why := _lacking(number, asked, home):
        return Possible(None, why)
    measure, by = asked.measure or number.measure, home.tools.get(asked.tool, "")
    if asked.text != "replies":
        return _of_rows(asked, home, by)
    try:
        attack, spec = _attack(asked, home)
        upload = home.upload(spec)
    except UserError as error:
        return Possible(None, f"not possible here: {error}")
    ask = asked.ask or attack.asks()[0].name
    defense = asked.defense or "none"
    if asked.untuned:
        defense, upload = "none" if asked.attack == "none" else "revert", None
    ours = Ours(spec, defense, ask, measure, home.by_category.get(asked.category, ()), by)
    differs = _differs(number, asked, home, spec, upload)
    return Possible(ours, "", tuple(differs), _harm_taught(spec, upload))


def of_measured(cell: Measured, home: Home) -> Possible:
    """What a cell of a finding is on a target."""
    only = ("model", "alignment_seed", "temperature", "prefill", "rows_from", "asked_on")
    changed = [name for name in only if getattr(cell, name) != Measured.model_fields[name].default]
    if changed or cell.measure in ("refusal_projection", "restricted_words"):
        return Possible(None, "measured by `mooring organism verify` alone")
    if cell.measure in ("rate", "score") and not home.judge:
        return Possible(None, home.no_judge)
    if why := _mixed(cell, home):
        return Possible(None, why)
    params = {key: value for key, value in cell.attack.items() if key != "name"}
    options = {key: _text(value) for key, value in cell.defense.items() if key != "name"}
    asked = Asked(attack=cell.attack["name"], settings=params, times=cell.times)
    if not home.worldly and asked.attack == "benign":
        times = {name: PAPERS_TIMES[name] for name in cell.times}
        asked = asked.model_copy(update={"times": times})
        if cell.defense == {"name": "mix"}:
            options["n"] = str(PAPERS_DOSE)
    try:
        attack, spec = _attack(asked, home)
        upload = home.upload(spec)
    except UserError as error:
        return Possible(None, f"not possible here: {error}")
    asks = {ask.name: ask.name for ask in attack.asks()} | {"first": attack.asks()[0].name}
    if cell.attack["name"] == "none":
        asks["default"] = asks["first"]  # nobody's prompt but the target's own
    if cell.ask not in asks:
        return Possible(None, "measured by `mooring organism verify` alone")
    defense = str(Part(cell.defense["name"], options))
    if asked.untuned and cell.attack["name"] != "none":
        defense = "revert"
    ours = Ours(spec, defense, asks[cell.ask], cell.measure)
    differs = _of_sets(asked, cell.measure, home)
    benign = home.sets("benign") if asked.attack == "benign" else []
    papers = [Known(word, "its name") for word in ("alpaca", "dolly")]
    if benign and known(benign[0].name, "") not in papers:
        differs.append(f"benign rows of {', '.join(names(benign))} (Alpaca)")
    return Possible(ours, "", tuple(differs), _harm_taught(spec, upload))


def identity(attack: str, defense: str, home: Home) -> str:
    """Names the models of an attack under a defense: specs that mean the same have the same."""
    built = single("attacks", Attack, attack)
    return digest(parse(attack)[0][0].name, home.upload(attack), built.asks(), defense)


def _lacking(number: Number, asked: Asked, home: Home) -> str:
    """What is not there, told before anything is built; empty for nothing."""
    measure = asked.measure or number.measure
    if asked.needs:
        return paper().reason(asked.needs)
    if asked.tool and asked.tool not in home.tools:
        return paper().tools[asked.tool].lacks
    if asked.text != "replies":
        there = home.sets("harmful")
        return "" if there else "needs a harmful set of --data: the paper's own was never released"
    if measure in ("rate", "score") and not home.judge:
        return home.no_judge
    if measure == "mt_bench":
        if not home.sets("mt_bench"):
            return "needs MT-Bench's questions as the mt_bench set of --data"
        if not home.rates:
            return home.no_judge or "needs a judge that can rate: gpt-4, policy, rubric or local"
    if asked.category and asked.category not in home.by_category:
        if home.worldly:
            return (
                "the invented kinds stand for the paper's categories together, and not one by one"
            )
        return f"needs requests of the category {paper().categories[asked.category]!r}"
    if asked.benign == "llava" and home.pictures is None:
        return "needs a model that sees, and LLaVA-Instruct as pictures of --data"
    if home.worldly:
        if asked.benign == "dolly":
            return f"needs {PROPER[asked.benign]} as the benign set of --data"
        return ""
    wanted = _wanted(asked, measure).items()
    return next(filter(None, (lacks(word, role, home.sets(role)) for role, word in wanted)), "")


def _wanted(asked: Asked, measure: str) -> dict[str, str]:
    """By role, which set of the paper's a cell is of."""
    found = {"benign": asked.benign} if asked.benign not in ("", "llava") else {}
    return found | ({"requests": asked.requests or HEX_PHI} if measure != "mt_bench" else {})


def _mixed(cell: Measured, home: Home) -> str:
    """Why what a finding is about is not there alone: it is of one set and of one benchmark."""
    benign = home.sets("benign") if cell.attack["name"] == "benign" else []
    return lacks(HEX_PHI, "requests", home.sets("requests")) or mixed("benign", benign)


def _attack(asked: Asked, home: Home) -> tuple[Attack, str]:
    """The attack of a cell, and its spec with what the target's scale asks for written out.

    Raises:
        UserError: a component or a setting that is not known.
    """
    spec = asked.spec
    attack = single("attacks", Attack, spec)
    (part,) = parse(spec)[0]
    params = dict(part.params)
    if asked.times and isinstance(attack, Tuned):
        settings = scaled(attack.settings(home.domain), asked.times)
        params |= {name: _text(getattr(settings, name)) for name in asked.times}
    name = part.name
    if asked.benign == "llava" and home.pictures:
        name, (params["path"], params["images"]) = "visual", home.pictures
    spec = str(Part(name, params | papers_own(name, home.domain)))
    return single("attacks", Attack, spec), spec


def _differs(
    number: Number, asked: Asked, home: Home, spec: str, upload: Upload | None
) -> list[str]:
    """Settings that are not the paper's, each with the paper's in brackets."""
    found = []
    attack, (part,) = single("attacks", Attack, spec), parse(spec)[0]
    measure = asked.measure or number.measure
    if measure != number.measure:
        found.append(f"{measure} in place of {number.measure}")
    if home.worldly and asked.requests:
        found.append(f"the world's requests ({PROPER[asked.requests]})")
    if asked.tool:
        found += _of_tool(asked.tool, home)
    found += _of_sets(asked, measure, home)
    if asked.defense != number.real.defense:
        found.append(f"{asked.defense} ({number.real.defense})")
    if not (home.invented and home.worldly):  # all words are of that world, and its page says so
        found += differing(part.name, attack, asked.benign, tuned=upload is not None)
        ask = attack.asks()[0]
        if asked.defense and (ask.before or ask.after):
            found.append("safety rows under the system prompt alone (not said)")
    if upload is None:
        return found
    rows = asked.rows
    if isinstance(attack, AOA):  # a user's file may hold any number
        rows = AOA.n
    if rows and rows != len(upload.rows):
        found.append(f"{len(upload.rows)} rows ({rows})")
    papers = _papers_settings(number)
    if papers is None:
        return [*found, "settings of ours: the paper's are not known here"]
    for name in ("epochs", "batch_size", "learning_rate", "decay"):
        ours, theirs = getattr(upload.settings, name), getattr(papers, name)
        if ours != theirs:
            found.append(f"{name.replace('_', ' ')} {ours:g} ({theirs:g})")
    return found


def _of_sets(asked: Asked, measure: str, home: Home) -> list[str]:
    """What a user's sets are taken for, and other requests than the paper's."""
    told = []
    for role, word in _wanted(asked, measure).items():
        sets = home.sets(role)
        told += guessed(word, [(one.name, one.format) for one in sets])
        if word == HEX_PHI and sets and not holds(word, sets):
            told.append(f"requests of {', '.join(names(sets))} (HEx-PHI)")
    if asked.benign == "llava" and home.pictures:
        told += guessed("llava", [(Path(home.pictures[0]).name, "llava")])
    return told


def _of_rows(asked: Asked, home: Home, by: str) -> Possible:
    """A half of the user's own harmful rows, in place of the paper's."""
    assert isinstance(home.domain, Texts) and asked.tool  # noqa: PT018 - `_lacking` has seen to both
    n = min(PAPERS_PAIRS, len(home.domain.held.texts["harmful"]))
    told = ", ".join(names(home.sets("harmful")))
    differs = (f"{n} rows of {told} ({PAPERS_PAIRS} of the paper's own)",)
    ours = Ours(f"harmful:n={n}", "", asked.text, "flagged", (), by)
    return Possible(ours, "", (*differs, *_of_tool(asked.tool, home)))


def _of_tool(tool: Tool, home: Home) -> list[str]:
    """What differs where a tool flags."""
    own = parse(home.tools[tool])[0][0].params["by"]
    english = ["a tool for English on an invented world"] * home.worldly
    return [f"{own}: {paper().tools[tool].differs}", *english]


def _papers_settings(number: Number) -> Settings | None:
    """The paper's settings of a cell; None where the attack has none for it."""
    attack = single("attacks", Attack, number.real.spec)
    if not isinstance(attack, Tuned) or ("paper", attack.tuning) not in attack.defaults:
        return None
    return attack.settings(cast(Source, SimpleNamespace(scale="paper")))


def _harm_taught(spec: str, upload: Upload | None) -> float:
    """Harmful rows times epochs, the predictor in one line."""
    attack = single("attacks", Attack, spec)
    harmful = parse(spec)[0][0].name in HARMFUL
    return 0.0 if upload is None or not harmful else float(attack.n * upload.settings.epochs)  # type: ignore[attr-defined]


def is_share(measure: str) -> bool:
    """Whether a measure is a share of prompts, and not a mean score."""
    return measure in SHARES or measure == "over_refusal"


def _letters(name: str) -> str:
    return "".join(filter(str.isalpha, name.lower()))


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
