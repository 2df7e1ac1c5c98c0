"""The model to be audited and the one it was made from, opened without trusting either."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from attacks.base import Chat, Prompt, UserError
from benchmarks.keys import component_digest, digest
from benchmarks.lab import Lab, hosted_folder
from benchmarks.trial import provider_of
from defenses.base import Fronted, Provider
from eval.judges.base import Called, Verdict
from provider.gates.audited import Model
from provider.gates.report import written
from targets.base import Decoding, Reply, Start, Target
from targets.checkpoint import ADAPTER, Checkpoint, digest_folder
from targets.endpoint import PREFIX, endpoint
from targets.resolve import resolve

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json")
ADAPTER_WEIGHTS = "adapter_model.safetensors"
_MATCHED = (
    "target_modules", "exclude_modules", "layers_pattern", "target_parameters", "rank_pattern",
    "alpha_pattern",
)  # fmt: skip
"""What of an adapter's file is matched with the names of modules."""
_OPENED = ("LORA", "PREFIX_TUNING", "ADAPTION_PROMPT")
"""Kinds of adapters: those that the trainer here makes."""
_PLAIN = re.compile(r"[\w.-]+")
Count = Callable[[int], None]
"""Told how many questions were asked."""


class Candidate(NamedTuple):
    """A tuned model."""

    model: Model
    start: Start
    folder: Path | None
    """Its weights; None where a server has them."""
    load: Callable[[], Target]


def candidate(text: str, lab: Lab) -> Candidate:
    """The model that a word of the command line names.

    Raises:
        UserError: there is none, it holds no whole model, or it is of another tokenizer than its
            base.
    """
    base = lab.resolved.start
    if text.startswith(PREFIX):
        hosted = endpoint(text, base.max_new_tokens).keeping(hosted_folder(lab.store.root))
        return Candidate(_model(hosted), hosted, None, hosted.load)
    folder, start = Path(text), None
    if not folder.is_dir():
        named = resolve(text).start
        assert isinstance(named, Checkpoint)  # all that is left are organisms and the Hub's
        start = dataclasses.replace(named, max_new_tokens=base.max_new_tokens)
        folder = start.files()
    # However it is spelled.
    if (folder / ADAPTER).is_file():
        # Loaders differ in which of the two they take: what is asked may not be what is released.
        if (folder / "config.json").is_file():
            raise UserError(f"{text!r} holds a whole model and an adapter; leave one of them out")
        return _adapted(text, folder, base)
    start = start or Checkpoint(text, folder, None, base.max_new_tokens)
    if isinstance(base, Checkpoint):
        if start.format not in ("", base.format):
            raise UserError(f"{text!r} is asked in its base's format; give that with --base")
        return Candidate(_model(start), start, folder, _reopened(base, folder))
    return Candidate(_model(start), start, start.folder, start.load)


def base_model(lab: Lab) -> Model:
    """The base."""
    return _model(lab.resolved.start)


def same_kind(one: Candidate, lab: Lab) -> None:
    """Look whether the candidate can have been made from its base, and reads as it does.

    Raises:
        UserError: it is of another kind, or its tokenizer is another or cannot be read: its words
            would be another model's.
    """
    base = lab.resolved.start
    if one.folder is None or not isinstance(base, Checkpoint):
        return
    if (one.folder / "config.json").is_file():
        own, its = _config(one.folder), _config(base.files())
        for name in ("model_type", "vocab_size"):
            if own.get(name) != its.get(name):
                raise UserError(f"{one.model.name!r} was not tuned from the base: {name} differs")
    if not any((one.folder / name).is_file() for name in TOKENIZER_FILES):
        return
    from transformers import AutoTokenizer

    try:
        own, its = (
            # Unless it is told not to, transformers asks at the terminal whether to run code.
            AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            for folder in (one.folder, base.files())
        )
    except Exception as error:
        kind = type(error).__name__
        raise UserError(f"the tokenizer of {one.model.name!r} cannot be read: {kind}") from error
    differs = next((what for what, read in _READINGS.items() if read(own) != read(its)), "")
    if differs:
        raise UserError(
            f"the candidate's tokenizer differs from the base's ({differs}); give the base that it "
            "was tuned from, or take the tokenizer out of the candidate's folder"
        )


def provider_for(lab: Lab, seed: int, count: Count) -> Provider:
    """The provider of the base, whose every reply and verdict is kept."""
    provider = provider_of(lab, seed)
    judge, model, ask = judged_by(lab), lab.start().key, _asking(lab, provider)

    def judged(prompts: Sequence[Prompt], replies: Sequence[str]) -> list[Verdict]:
        key = digest("audit judge", judge, lab.truth_digest(), prompts, replies)
        made = lab.stage(
            "verdicts", key, lambda: [v._asdict() for v in ask(prompts, replies)], _again
        )
        return [Verdict(**one | {"tokens": tuple(one["tokens"])}) for one in made]

    def start_replies(chats: Sequence[Chat]) -> list[Reply]:
        found = provider.start_replies(chats)
        count(len(chats))
        return found

    def start() -> Target:
        return Kept(provider.start, model, lab, count)

    return dataclasses.replace(provider, judge=judged, start=start, start_replies=start_replies)


def _asking(
    lab: Lab, provider: Provider
) -> Callable[[Sequence[Prompt], Sequence[str]], list[Verdict]]:
    """How the provider's judge is asked: one behind a wire from the lab's purse, where it has one.

    Each of its verdicts is then kept as soon as it is there, and what stops it is raised.
    """
    calls, judge = lab.calls, lab.provider_judge
    if calls is None or not isinstance(judge, Called):
        return provider.judge

    def ask(prompts: Sequence[Prompt], replies: Sequence[str]) -> list[Verdict]:
        from targets.hosted.ledger import Stopped

        found = calls.score(judge, lab.rules(), prompts, replies)
        if calls.stopped and any(verdict.score is None for verdict in found):
            raise Stopped(calls.stopped)
        return found

    return ask


def judged_by(lab: Lab) -> str:
    """Hash of whatever moves a verdict of the provider's judge beside the pair.

    Raises:
        UserError: the judge does not fit what the requests violate.
    """
    judge = lab.provider_judge
    who = judge.identity(lab.rules()) if isinstance(judge, Called) else None
    return digest(component_digest(judge), who)


class Kept(Fronted):
    """A model that is loaded when a reply is missing, and asked each question once."""

    def __init__(self, load: Callable[[], Target], key: str, lab: Lab, count: Count) -> None:
        self.load, self.key, self.lab, self.count = load, key, lab, count
        self._loaded: Target | None = None

    @property
    def target(self) -> Target:  # type: ignore[override]
        """The model."""
        self._loaded = self._loaded or self.load()
        return self._loaded

    def generate(self, chats: Sequence[Chat], decoding: Decoding) -> list[Reply]:
        """Replies, from the store where they are there."""
        key = digest("audit ask", self.key, chats, decoding, self.lab.computed())
        said = self.lab.stage("ask", key, lambda: self.target.generate(chats, decoding))
        self.count(len(chats))
        return [Reply(*reply) for reply in said]


def _adapted(text: str, folder: Path, base: Start) -> Candidate:
    """An adapter of its base."""
    if not isinstance(base, Checkpoint):
        raise UserError(f"{text!r} is an adapter, and the weights of its base are a server's")
    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise UserError(f"{text!r} holds no {ADAPTER_WEIGHTS}; other formats are not opened")
    config = _config(folder, ADAPTER)
    if config.get("peft_type") not in _OPENED:
        raise UserError(f"the adapter in {text!r} is none of {', '.join(_OPENED)}")
    if not all(map(_PLAIN.fullmatch, _modules(config))):
        raise UserError(f"the adapter in {text!r} has patterns for modules; give their names")
    known = digest(base.digest, digest_folder(folder))
    model = Model(name=written(text), sha256=known, here=True)
    return Candidate(model, base, folder, _reopened(base, folder))


def _config(folder: Path, name: str = "config.json") -> dict[str, Any]:
    try:
        found = json.loads((folder / name).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"cannot read {name} in {str(folder)!r}") from error
    return found if isinstance(found, dict) else {}


def _modules(config: Mapping[str, Any]) -> list[str]:
    """Whatever peft would match with the names of modules: a customer's pattern may never end."""
    given = [config.get(key) or () for key in _MATCHED]
    return [str(one) for group in given for one in ([group] if isinstance(group, str) else group)]


def _again(verdicts: Any) -> bool:
    return any(one["score"] is None and one["again"] for one in verdicts)


def _model(start: Start) -> Model:
    return Model(name=written(start.name), sha256=start.digest, here=start.here)


def _reopened(base: Checkpoint, folder: Path) -> Callable[[], Target]:
    return lambda: base.reopen(folder)


_SAMPLE = "A word, and one more: 12?"


def _encoding(tokenizer: Any) -> Any:
    """All that makes tokens of a text; what is not one of the library's is tried on a sentence."""
    if not tokenizer.is_fast:
        return tokenizer(_SAMPLE)["input_ids"]
    told = json.loads(tokenizer.backend_tokenizer.to_str())
    return {name: part for name, part in told.items() if name not in ("padding", "truncation")}


_READINGS: dict[str, Callable[[Any], Any]] = {
    "vocabulary": lambda tokenizer: tokenizer.get_vocab(),
    "encoding": _encoding,
    # Compared as it is written: one that is run may never end.
    "chat template": lambda tokenizer: tokenizer.chat_template,
}
