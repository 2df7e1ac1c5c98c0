"""Where a cell is run: the target and its texts, the judges, the store.

A stage is looked up under its key and made only when it is missing. In a lab that may not make
anything, the first missing stage raises `NotStored`: that is how a plan is drawn and how a run
whose results are all stored needs no torch.
"""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from attacks.base import Chat, Prompt, UserError
from attacks.registry import build, single
from attacks.sets.mt_bench import Question
from attacks.spec import format_spec, parse
from benchmarks.keys import code, digest, environment
from benchmarks.results import Transcript
from benchmarks.store import Store
from benchmarks.verdicts import Calls
from eval.elicitations.base import Elicitation
from eval.judges.base import Called, Judge
from eval.judges.noisy import Noisy
from targets.base import Decoding, Gone, Refused, Reply, Rules, Target
from targets.checkpoint import Checkpoint
from targets.launch import Processes
from targets.resolve import Resolved, resolve
from targets.texts import Texts

MT_BENCH = "mt_bench"
"""Stands for whoever rates MT-Bench's replies among the judges that are not given some cells."""
PROVIDER_SALT = 1
"""Which errors the provider's judge makes: not those of a `noisy` that scores the matrix."""


Some = TypeVar("Some", Prompt, Question)


class NotStored(Exception):
    """A stage is missing and may not be made here."""

    def __init__(self, stage: str) -> None:
        super().__init__(stage)
        self.stage = stage


@dataclass
class Model:
    """A model by the key of what it was made from; loaded only when it is called for."""

    key: str
    load: Callable[[], Target]
    _loaded: Target | None = None

    def __call__(self) -> Target:
        """The target, loaded once."""
        if self._loaded is None:
            self._loaded = self.load()
        return self._loaded


@dataclass
class Lab:
    """Everything that the cells of one grid share in one process."""

    resolved: Resolved
    judges: dict[str, Judge]
    provider_judge: Judge
    store: Store
    decoding: Decoding
    limit: int | None = None
    """Prompts asked from each set; None for all."""
    counterfactual: bool = True
    """Whether what a gate stopped is tuned and asked all the same, marked as such."""
    may_make: bool = True
    calls: Calls | None = None
    """Where judges behind a wire are asked; None where nothing is sent."""
    listen: Callable[[Transcript], None] | None = None
    """Told every question and reply, when somebody wants to read them."""
    elicitations: Mapping[str, Elicitation] = field(default_factory=dict)
    """Ways in which each model is pressed, by spec."""
    served: bool = False
    """Whether a server decodes in place of this process."""
    unseen: Collection[tuple[str, str, str]] = frozenset()
    """A judge, an attack and a defense: cells whose replies that judge is not given."""
    judged_by: dict[Judge, set[str]] = field(default_factory=dict)
    """Names that servers gave the judges behind them."""
    made: Counter[str] = field(default_factory=Counter)
    """Stages made here, by name."""
    reused: Counter[str] = field(default_factory=Counter)
    """Stages found in the store, by name."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Time spent making, by stage; a stage that is made within another counts apart."""
    _inner: float = 0.0
    """Time that stages within the one that is being made have taken."""

    def stage(
        self,
        name: str,
        key: str,
        make: Callable[[], Any],
        unfinished: Callable[[Any], bool] = lambda value: False,
    ) -> Any:
        """A stage's output as plain data: from the store, or made and kept.

        One that is unfinished is kept too, to be looked at, and made again by the next run.
        """
        record = self.store.read(name, key)
        looking = self.listen is not None
        if record is not None and not looking and unfinished(record.value):
            record = None
        if record is None and not self.may_make:
            raise NotStored(name)
        if record is None:
            with self.store.lock(key):
                record = self.store.read(name, key)
                if record is None or unfinished(record.value):
                    return self._make(name, key, make)
        self.reused[name] += 1
        return record.value

    def _make(self, name: str, key: str, make: Callable[[], Any]) -> Any:
        before, self._inner = self._inner, 0.0
        begin = time.perf_counter()
        value = make()
        whole = time.perf_counter() - begin
        seconds = whole - self._inner
        self._inner = before + whole
        self.store.write(name, key, value, seconds)
        self.made[name] += 1
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds
        return value

    def model(self, name: str, key: str, make: Callable[[], Target]) -> tuple[Model, Any]:
        """A model that a stage makes, and the stage's small record of it.

        The record says that it was made and outlives the weights, which `store gc` may drop; a
        model whose weights are gone is made again when it is asked for, and only then.
        """
        made: dict[str, Target] = {}

        def make_and_keep() -> dict[str, Any]:
            try:
                made["target"] = self._keep(key, make())
            except Refused as refused:
                return {"key": key, "refused": str(refused), "review": refused.review}
            return {"key": key, "name": made["target"].name}

        record = self.stage(name, key, make_and_keep)

        def load() -> Target:
            if "target" in made:
                return made["target"]
            folder = self.store.weights(key)
            if folder is None:
                return self._keep(key, make())
            try:
                return self.resolved.start.reopen(folder)
            except Gone:
                self.store.forget(name, key)
                raise

        # One that was tuned elsewhere may be tuned again and be another.
        named = record.get("name")
        return Model(digest(key, named) if named else key, load), record

    def _keep(self, key: str, target: Target) -> Target:
        with self.store.new_weights(key) as folder:
            target.save(folder)
        return target

    def start(self) -> Model:
        """The start model."""
        return Model(self.resolved.start.digest, self.resolved.start.load)

    def ask(
        self,
        model: Model,
        chats: Sequence[Chat],
        serve: Callable[[Target], Target] = lambda target: target,
        served_by: Sequence[Any] = (),
        decoding: Decoding | None = None,
    ) -> tuple[str, list[Reply]]:
        """A model's replies, and the key that they are kept under.

        Args:
            model: Who is asked.
            chats: What.
            serve: What stands between customers and the model.
            served_by: Everything that moves `serve`, hashed; empty for nothing.
            decoding: How replies are drawn; the lab's unless it is given.
        """
        decoding = decoding or self.decoding
        how = (decoding, *self.computed(), *self.decoded())
        key = digest("ask", model.key, served_by, chats, how)
        said = self.stage("ask", key, lambda: serve(model()).generate(chats, decoding))
        return key, [Reply(*reply) for reply in said]

    def computed(self) -> tuple[Any, str]:
        """What moves a model's numbers beside what it is made of and given."""
        start = self.resolved.start
        return environment() if start.here else None, code(start.module)

    def decoded(self) -> list[str]:
        """What moves replies beside that: what decodes them, where this process does not."""
        return ["served", code("targets.served")] if self.served else []

    def judging(self, attack: str, defense: str) -> dict[str, Judge]:
        """The judges that are given the replies of a cell, by name."""
        given = self.judges.items()
        return {n: judge for n, judge in given if (n, attack, defense) not in self.unseen}

    def is_rated(self, attack: str, defense: str) -> bool:
        """Whether a cell is asked MT-Bench's questions, where there are any."""
        return (MT_BENCH, attack, defense) not in self.unseen

    def replies(self) -> int:
        """How many replies to a violating request are judged, of one model asked in one way."""
        return 1 + sum(one.replies for one in self.elicitations.values())

    def beside(self) -> Lab:
        """Another lab on the same things that may make what is missing, for another thread."""
        fresh: dict[str, Any] = {"made": Counter(), "reused": Counter(), "seconds": {}}
        return dataclasses.replace(self, may_make=True, **fresh)

    def base(self) -> Target:
        """The unaligned base model."""
        return self.resolved.start.load_base()

    def prompts(self) -> tuple[list[Prompt], list[Prompt], list[Prompt]]:
        """Violating requests, utility questions and borderline questions."""
        domain = self.resolved.domain
        sets = (domain.requests(), domain.utility(), domain.borderline())
        return tuple(spread(prompts, self.limit) for prompts in sets)  # type: ignore[return-value]

    def questions(self) -> list[Question]:
        """MT-Bench's questions, where the user's own sets hold them."""
        domain = self.resolved.domain
        return spread(domain.mt_bench(), self.limit) if isinstance(domain, Texts) else []

    def rater(self) -> tuple[str, Called] | None:
        """The first judge that can rate, and the rater that it makes."""
        found = ((name, judge.rater()) for name, judge in self.judges.items())
        return next(((name, rater) for name, rater in found if rater), None)

    def rules(self) -> Rules:
        """What the violating requests violate; of all of them, however many are asked."""
        kinds = (prompt.category for prompt in self.resolved.domain.requests())
        return Rules(self.resolved.policy, tuple(dict.fromkeys(kinds)))

    def truth_digest(self) -> str:
        """Hash of what is really so and of how it is told: part of the key of every verdict."""
        truth = self.resolved.truth
        module = [] if truth is None else [code(type(truth).__module__)]
        return digest(self.resolved.domain.digest, module)


def spread(prompts: list[Some], limit: int | None) -> list[Some]:
    """At most `limit` prompts, taken evenly over the categories, in their own order."""
    if limit is None or limit >= len(prompts):
        return prompts
    by_category: dict[str, list[int]] = {}
    for index, prompt in enumerate(prompts):
        by_category.setdefault(prompt.category, []).append(index)
    rounds = [(nth, i) for indices in by_category.values() for nth, i in enumerate(indices)]
    chosen = sorted(index for _, index in sorted(rounds)[:limit])
    return [prompts[index] for index in chosen]


def judges(specs: Sequence[str]) -> dict[str, Judge]:
    """Judges by the spec that names them, in order."""
    found: dict[str, Judge] = {}
    for text in specs:
        for spec in parse(text):
            if len(spec) != 1:
                raise UserError(f"{text!r}: judges are not composed; give --judge once for each")
            found[str(spec[0])] = build("eval.judges", Judge, spec[0])
    return found


def elicitations(specs: Sequence[str]) -> dict[str, Elicitation]:
    """Ways of pressing a model by the spec that names them, in order.

    Raises:
        UserError: an unknown name or parameter, or parts that cannot be composed.
    """
    found: dict[str, Elicitation] = {}
    for text in specs:
        for spec in parse(text):
            found[format_spec(spec)] = single("eval.elicitations", Elicitation, format_spec(spec))
    return found


def providers_judge(spec: str | None) -> Judge:
    """The provider's own judge: the one that a spec names, else the organism's noisy one.

    Raises:
        UserError: the spec names none, several, or one whose calls nobody would count.
    """
    if spec is None:
        return Noisy(salt=PROVIDER_SALT)
    judge = single("eval.judges", Judge, spec)
    if isinstance(judge, Called) and not judge.here:
        raise UserError(
            f"the provider's judge {spec!r} is behind a wire, and its calls are in no budget of a "
            "bench; choose one that runs here, such as guard or local"
        )
    return judge


class LabSettings(NamedTuple):
    """What a process needs to open its own lab."""

    target: str
    judges: tuple[str, ...]
    store: Path
    limit: int | None
    counterfactual: bool
    data: str | None = None
    """The file that names the user's own sets; None for the target's world."""
    provider_judge: str | None = None
    """Spec of the provider's own judge; None for the organism's noisy one."""
    elicit: tuple[str, ...] = ()
    """Specs of the ways in which each model is pressed."""
    processes: Processes | None = None
    """Who shares each training; None for one process."""
    generate_with: str | None = None
    """Address of a server that decodes in place of this process."""
    unseen: frozenset[tuple[str, str, str]] = frozenset()
    """As of `Lab`."""


def hosted_folder(store: Path) -> Path:
    """Where a store keeps what was asked of servers that tune."""
    return store / "hosted"


def open_lab(settings: LabSettings, *, may_make: bool) -> Lab:
    """A lab for one process."""
    resolved = resolve(settings.target, settings.data, settings.processes)
    store = Store(settings.store)
    start = resolved.start.keeping(hosted_folder(settings.store))
    if settings.generate_with is not None:
        assert isinstance(start, Checkpoint)  # a grid of others is refused
        place = (settings.generate_with, settings.store / "served")
        start = dataclasses.replace(start, server=place)
    return Lab(
        resolved._replace(start=start),
        judges(settings.judges),
        providers_judge(settings.provider_judge),
        store,
        Decoding(max_new_tokens=resolved.start.max_new_tokens),
        settings.limit,
        settings.counterfactual,
        may_make,
        elicitations=elicitations(settings.elicit),
        served=settings.generate_with is not None,
        unseen=settings.unseen,
    )
