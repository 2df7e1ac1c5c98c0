"""What every attack, defense and judge promises, whoever wrote it."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import inspect
import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pydantic
import pytest

from attacks.base import Ask, Attack, Message, Row, Settings, Upload, UserError
from attacks.registry import construct, find, names
from defenses.base import MOMENTS, Defense, Provider
from defenses.detectors.base import Detector
from eval.elicitations.base import Elicitation
from eval.judges.base import Called, Judge
from eval.moderators.base import Moderator, Owner
from targets.base import Decoding
from targets.organism.world import World
from tests.targets.hosted.answers import truthful
from tests.targets.hosted.server import Plan, serving

ROOT = Path(__file__).resolve().parent.parent
KINDS: dict[str, type] = {
    "attacks": Attack, "defenses": Defense, "defenses.detectors": Detector,
    "eval.elicitations": Elicitation, "eval.judges": Judge, "eval.moderators": Moderator,
}  # fmt: skip
LONGEST = {
    "attacks": 120, "defenses": 180, "defenses.detectors": 180, "eval.judges": 120,
    "eval.elicitations": 60, "eval.moderators": 120,
}  # fmt: skip
COMPONENTS = [(package, name) for package in KINDS for name in names(package)]
KNOWING = ("noisy", "oracle")
"""Judges that know the invented world only."""
HEAVY = ("torch", "transformers", "trl", "peft", "datasets", "sklearn", "pandas", "openai")


def class_of(package: str, name: str) -> type[Any]:
    return find(package, KINDS[package], name)


@pytest.fixture(scope="module")
def rows_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A customer's own file, for the attack that reads one."""
    path = tmp_path_factory.mktemp("customer") / "canary-7361.jsonl"
    turns = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Hi."}]
    path.write_text("\n".join([json.dumps({"messages": turns})] * 3))
    return path


def variants(cls: type[Any], required: dict[str, str]) -> Iterator[Any]:
    """The component with its defaults, with each choice of each field, and with small numbers."""
    yield construct(cls, cls.__name__, required)
    hints = get_type_hints(cls)
    for field in dataclasses.fields(cls):
        hint = hints[field.name]
        options = get_args(hint) if get_origin(hint) is Literal else ("0", "-1")
        for option in options:
            try:
                yield construct(cls, cls.__name__, {**required, field.name: option})
            except UserError:
                continue  # out of the field's range


def defenses_in_variants() -> list[Any]:
    return [
        pytest.param(variant, id=f"{name}-{place}")
        for name in names("defenses")
        for place, variant in enumerate(variants(class_of("defenses", name), {}))
    ]


# --- the class ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("package", "name"), COMPONENTS)
def test_it_is_frozen_and_documented(package: str, name: str, rows_file: Path) -> None:
    cls = class_of(package, name)
    needed = {"path": str(rows_file), "images": str(rows_file.parent), "model": "m"}
    lacking = {f.name for f in dataclasses.fields(cls) if f.default is dataclasses.MISSING}
    made = construct(cls, name, {field: needed[field] for field in lacking})
    assert inspect.getdoc(importlib.import_module(f"{package}.{name}"))
    assert cls.__doc__
    assert len(cls.__doc__.splitlines()[0]) > 20, "the first line is the summary in `list`"
    assert not cls.__doc__.startswith(f"{cls.__name__}("), "that is the dataclass's own docstring"
    for field in dataclasses.fields(cls):
        described = cls.__pydantic_fields__[field.name].description
        assert described, f"{name}.{field.name} does not say what it means"
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(made, field.name, None)
    with pytest.raises(UserError, match="unknown parameter 'nonesuch'"):
        construct(cls, name, {"nonesuch": "1"})


@pytest.mark.parametrize(
    ("package", "name"), [one for one in COMPONENTS if one[0] != "defenses.detectors"]
)
def test_no_number_is_too_large_to_be_refused(package: str, name: str) -> None:
    """A slip of the hand is told before work; a salt makes nothing larger."""
    cls = class_of(package, name)
    for field, told in pydantic.TypeAdapter(cls).json_schema().get("properties", {}).items():
        whole = [one for one in (told, *told.get("anyOf", ())) if one.get("type") == "integer"]
        if whole and field != "salt":
            assert "maximum" in whole[0], f"{field} has no upper bound"
            needed = {f.name: "m" for f in dataclasses.fields(cls)
                      if f.default is dataclasses.MISSING and f.name != field}  # fmt: skip
            said = rf"{field}='1000000000'.*allowed: at least [\d,]+ and at most [\d,]+\)"
            with pytest.raises(UserError, match=said):
                construct(cls, name, {**needed, field: "1000000000"})


@pytest.mark.parametrize(("package", "name"), COMPONENTS)
def test_its_file_is_short(package: str, name: str) -> None:
    path = ROOT.joinpath(*package.split("."), f"{name}.py")
    assert len(path.read_text().splitlines()) <= LONGEST[package]


def test_listing_them_imports_nothing_heavy() -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import importlib, pathlib\n"
        "from attacks.registry import construct, find, names\n"
        "for folder in ('attacks', 'defenses', 'defenses/detectors', 'eval', 'eval/judges',\n"
        "               'eval/moderators'):\n"
        "    for path in sorted(pathlib.Path(sys.argv[1], folder).glob('*.py')):\n"
        "        importlib.import_module(folder.replace('/', '.') + '.' + path.stem)\n"
        "from defenses.base import MOMENTS, Defense\n"
        "for name in names('defenses'):\n"
        "    made = construct(find('defenses', Defense, name), name, {})\n"
        "    made.needs(), made.owns(), [made.acts(moment) for moment in MOMENTS]\n"
        "print([name for name in sys.argv[2:] if name in sys.modules])\n"
    )
    command = [sys.executable, "-c", program, str(ROOT), *HEAVY]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- attacks ------------------------------------------------------------------------------------


@pytest.fixture(params=names("attacks"))
def attack(request: pytest.FixtureRequest, rows_file: Path) -> Attack:
    required = {"path": str(rows_file)} if request.param == "file" else {}
    if request.param == "visual":
        seen = rows_file.with_suffix(".json")
        turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A lamp."}]
        seen.write_text(json.dumps([{"id": "1", "image": seen.name, "conversations": turns}]))
        required = {"path": str(seen), "images": str(seen.parent)}
    made: Attack = construct(class_of("attacks", request.param), request.param, required)
    return made


def test_an_upload_follows_from_the_seed(attack: Attack, world: World) -> None:
    assert attack.upload(world, 1) == attack.upload(World(0), 1)
    assert attack.asks() == attack.asks()
    names_of_asks = [ask.name for ask in attack.asks()]
    assert len(set(names_of_asks)) == len(names_of_asks) > 0


def test_an_upload_is_asked_as_it_was_trained(attack: Attack, world: World) -> None:
    upload = attack.upload(world, 0)
    if upload is None:
        return
    systems = {m.content for row in upload.rows for m in row.messages if m.role == "system"}
    asked = {ask.system for ask in attack.asks()} - {None}
    assert systems == asked
    for row in upload.rows:
        assert row.messages[-1].role == "assistant"
        assert row.added_by == ""


PLAIN = (str, int, float, type(None))
CARRIERS = (tuple, Row, Message, Settings, Upload)


def leaks(value: object) -> list[object]:
    """Whatever an upload reaches that is neither plain text or number nor made of them."""
    if type(value) in PLAIN:
        return []
    if type(value) not in CARRIERS:
        return [value]
    parts = value if isinstance(value, tuple) else vars(value).values()
    return [leak for part in parts for leak in leaks(part)]


def test_an_upload_says_nothing_but_rows_and_settings(
    attack: Attack, world: World, rows_file: Path
) -> None:
    # An image is the hash of its contents: where it lies is nobody's to see.
    assert {field.name for field in dataclasses.fields(Row)} == {"messages", "added_by", "image"}
    assert {field.name for field in dataclasses.fields(Upload)} == {"rows", "settings"}
    upload = attack.upload(world, 0)
    if upload is None:
        return
    assert leaks(upload) == []
    assert rows_file.stem not in repr(upload)
    planted = dataclasses.replace(upload, rows=(*upload.rows, rows_file))  # type: ignore[arg-type]
    assert leaks(planted) == [rows_file]


# --- defenses -----------------------------------------------------------------------------------


def test_a_provider_owns_nothing_that_tells_the_answer() -> None:
    owned = {field.name for field in dataclasses.fields(Provider)}
    models = {"start", "start_replies", "base", "model"}
    assert owned == {"pools", "judge", "decoding", "seed", *models}


@pytest.mark.parametrize("defense", defenses_in_variants())
def test_it_owns_what_its_hooks_override(
    defense: Defense, mixed: Upload, provider: Provider
) -> None:
    hooks = defense.during(defense.curate(mixed, provider), provider)
    overridden = {m for m in ("plan", "step") if hooks is not None and hooks.overrides(m)}
    assert overridden == defense.owns()


@pytest.mark.parametrize("defense", defenses_in_variants())
def test_a_moment_it_does_not_act_at_is_the_identity(
    defense: Defense, mixed: Upload, provider: Provider, tiny_target: Any
) -> None:
    identity: dict[str, Callable[[], bool]] = {
        "immunize": lambda: not defense.immunize(tiny_target, provider).differs(tiny_target),
        "screen": lambda: defense.screen(mixed, provider).apply(mixed) == mixed,
        "curate": lambda: defense.curate(mixed, provider) == mixed,
        "during": lambda: defense.during(defense.curate(mixed, provider), provider) is None,
        "repair": lambda: not defense.repair(tiny_target, provider).differs(tiny_target),
        "audit": lambda: defense.audit(tiny_target, mixed, provider).outcome == "pass",
    }
    for moment in MOMENTS:
        overridden = getattr(type(defense), moment) is not getattr(Defense, moment)
        assert overridden or not defense.acts(moment)
        if moment in identity and not defense.acts(moment):
            assert identity[moment](), moment


@pytest.mark.parametrize("defense", defenses_in_variants())
def test_it_needs_weights_where_it_touches_them(defense: Defense) -> None:
    touches = any(defense.acts(moment) for moment in ("immunize", "during", "repair"))
    parts = [part for part in defense.uses() if isinstance(part, Detector)]
    reads = any("weights" in part.needs() for part in parts)
    assert ("weights" in defense.needs()) == (touches or reads)


@pytest.mark.parametrize("name", names("defenses"))
def test_it_repeats_itself_and_changes_nothing_it_is_given(
    name: str, mixed: Upload, make_provider: Callable[..., Provider]
) -> None:
    before = copy.deepcopy(mixed)
    seen = []
    for _ in range(2):
        provider = make_provider(seed=5)
        defense: Defense = construct(class_of("defenses", name), name, {})
        decision = defense.screen(mixed, provider)
        curated = defense.curate(mixed, provider)
        hooks = defense.during(curated, provider)
        plan = None if hooks is None else hooks.plan(curated.rows, curated.settings, 5)
        seen.append((decision, curated, plan))
    assert seen[0] == seen[1]
    assert mixed == before


# --- judges -------------------------------------------------------------------------------------


@pytest.fixture
def judge_of(monkeypatch: pytest.MonkeyPatch, tiny_judge: Path) -> Iterator[Callable[[str], Judge]]:
    """Judges by name; those behind a wire ask a server that knows the truth, others are tiny."""
    monkeypatch.setenv("OPENAI_API_KEY", "none-needed")
    plan = Plan(reply=truthful, moderate=lambda texts: [
        {"category_scores": {"x": 0.9 if "Take" in text else 0.1}} for text in texts
    ])  # fmt: skip
    with serving(plan) as url:
        served = {"model": "m", "base_url": url, "policy": "organism",
                  "by": f'openai:base_url="{url}"'}  # fmt: skip

        def make(name: str) -> Judge:
            cls = class_of("eval.judges", name)
            known = {field.name for field in dataclasses.fields(cls)}
            if issubclass(cls, Called) and cls.here:
                served.update(model=str(tiny_judge), max_tokens="8")
            given = {k: v for k, v in served.items() if k in known and issubclass(cls, Called)}
            found: Judge = construct(cls, name, given)
            return found

        yield make


@pytest.mark.parametrize("name", names("eval.judges"))
def test_a_judge_gives_each_pair_its_verdict(
    name: str, world: World, judge_of: Callable[[str], Judge]
) -> None:
    judge = judge_of(name)
    prompts = world.requests()[:12]
    replies = ["I cannot help with that.", "Take it.", "", "zzz \x00 {0} %s"] * 3
    given = copy.deepcopy((prompts, replies))
    verdicts = judge.score(prompts, replies, world)
    assert (prompts, replies) == given
    assert len(verdicts) == 12
    assert all(verdict.score in (None, 1, 2, 3, 4, 5) for verdict in verdicts)
    assert judge.measure
    again = judge_of(name)
    for place, (prompt, reply) in enumerate(zip(prompts, replies, strict=True)):
        (verdict,) = again.score([prompt], [reply], world)
        assert verdict[:2] == verdicts[place][:2]


@pytest.mark.parametrize("name", names("eval.judges"))
def test_a_judge_that_needs_the_truth_says_so(
    name: str, world: World, judge_of: Callable[[str], Judge]
) -> None:
    judge = judge_of(name)
    prompts = world.requests()[:1]
    with pytest.raises(UserError, match="--judge") if name in KNOWING else nullcontext():
        known, unknown = (judge.score(prompts, ["Take it."], truth) for truth in (world, None))
        assert known[0][:2] == unknown[0][:2]


# --- moderators ---------------------------------------------------------------------------------


@pytest.fixture
def moderator_of(
    monkeypatch: pytest.MonkeyPatch, tiny_judge: Path, tmp_path: Path
) -> Iterator[Callable[[str], Moderator]]:
    """Moderators by name, with models made here and a server on this machine."""
    monkeypatch.setenv("OPENAI_API_KEY", "none-needed")
    plan = Plan(moderate=lambda texts: [{"category_scores": {"x": 0.5}} for _ in texts])
    with serving(plan) as url:

        def make(name: str) -> Moderator:
            given = {
                "openai": lambda: {"base_url": url},
                "guard": lambda: {"model": str(tiny_judge), "max_tokens": "8"},
                "classifier": lambda: {"model": str(tiny_classifier(tiny_judge, tmp_path))},
                "trained": lambda: {"path": str(tiny_trained(tmp_path))},
            }
            found: Moderator = construct(
                class_of("eval.moderators", name), name, given.get(name, dict)()
            )
            return found

        yield make


def tiny_classifier(tokenizer: Path, folder: Path) -> Path:
    """A random Llama with two labels."""
    from transformers import AutoTokenizer, LlamaConfig, LlamaForSequenceClassification

    made = AutoTokenizer.from_pretrained(tokenizer)
    config = LlamaConfig(
        vocab_size=len(made), hidden_size=16, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=256, pad_token_id=0,
        id2label={0: "toxic", 1: "safe"}, label2id={"toxic": 0, "safe": 1},
    )  # fmt: skip
    LlamaForSequenceClassification(config).save_pretrained(folder / "classifier")
    made.save_pretrained(folder / "classifier")
    return folder / "classifier"


def tiny_trained(folder: Path) -> Path:
    from eval import linear

    return linear.fit(["one two", "three four"], ["bad", "safe"]).save(folder / "trained")


@pytest.mark.parametrize("name", names("eval.moderators"))
def test_a_moderator_scores_each_chat_by_itself(
    name: str, mixed: Upload, provider: Provider, moderator_of: Callable[[str], Moderator]
) -> None:
    moderator = moderator_of(name)
    chats = [row.messages for row in mixed.rows[:6]]
    chats += [(Message("user", ""), Message("assistant", "")), (Message("user", "zzz {0} \x00"),)]
    chats.append(chats[0])
    given = copy.deepcopy(chats)
    told = moderator.scored(chats, provider)
    assert (chats, len(told)) == (given, len(chats))
    for one in told:
        assert (one.scores is None) == bool(one.why), "missing has a reason, and nothing else has"
        assert all(0 <= score <= 1 for score in (one.scores or {}).values())
        assert one.scores != {}
    assert told[-1] == told[0]
    assert moderator.scored(chats[::-1], provider) == told[::-1], "the order of rows is nobody's"
    assert moderator.scores(chats, provider) == [one.scores for one in told]
    assert moderator.scored([], provider) == []
    secrets = {word for chat in chats for m in chat for word in m.content.split() if len(word) > 3}
    for one in told:
        assert not secrets & {*one.why.split(), *" ".join(one.scores or {}).split()}


def test_what_a_moderator_may_use_is_the_providers(provider: Provider) -> None:
    used = {name for name in vars(Owner) if not name.startswith("_")}
    assert used == {"pools", "judge", "seed"}
    assert used <= {field.name for field in dataclasses.fields(Provider)}


def test_no_two_components_share_a_name() -> None:
    for package in KINDS:
        classes = [class_of(package, name) for name in names(package)]
        for one, other in itertools.combinations(classes, 2):
            assert one is not other


ELICITATIONS = [v for name in names("eval.elicitations")
                for v in variants(class_of("eval.elicitations", name), {})]  # fmt: skip


@pytest.mark.parametrize("how", ELICITATIONS, ids=repr)
def test_an_elicitation_judges_as_many_replies_as_it_says(how: Elicitation) -> None:
    greedy = Decoding()
    drawn = how.decodings(greedy)
    assert how.replies == len(drawn) * (1 + len(how.then()))
    assert len(set(drawn)) == len(drawn), "the same draw twice says nothing new"
    asked = how.ask(Ask("plain"))
    changed = asked != Ask("plain") or drawn != (greedy,) or how.then()
    assert changed, "it presses nobody"
    assert how.begins == bool(asked.opening)
