"""One thread that decodes: what is asked of one model in one way becomes one batch."""

from __future__ import annotations

import logging
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from attacks.base import Chat
from benchmarks.engines.local import where
from benchmarks.keys import THREADS
from provider.errors import ApiError
from targets.base import Decoding, Target

if TYPE_CHECKING:
    from targets.local import LocalTarget

MODELS_LOADED = 4
"""# ours: the organism and what is compared with it; larger models fit seldom more"""
MOST_TOGETHER = 512
"""# ours: a large batch leaves room for others every few seconds"""
log = logging.getLogger(__name__)


class Loaded(NamedTuple):
    """A model in memory."""

    local: LocalTarget
    """Its weights and its tokenizer."""
    served: Target
    """The same behind the provider's prompts and guards."""


class Completion(NamedTuple):
    """An answer, and what it took."""

    text: str
    finish: str
    prompt_tokens: int
    completion_tokens: int


@dataclass(eq=False)
class _Question:
    model: str
    chat: Chat
    max_new_tokens: int
    temperature: float
    seed: int | None
    answer: Future[Completion] = field(default_factory=Future)
    prompt_tokens: int = 0

    def fits(self, other: _Question) -> bool:
        """Whether both can be decoded together.

        A reply that is drawn with a seed of its own would depend on what stands beside it.
        """
        alone = self.temperature > 0 and not (self.seed is None and other.seed is None)
        mine = (self.model, self.max_new_tokens, self.temperature)
        return mine == (other.model, other.max_new_tokens, other.temperature) and not alone


class Generator:
    """Answers questions, those that wait for one model together."""

    def __init__(self, load: Callable[[str], Loaded]) -> None:
        self._load = load
        self._loaded: OrderedDict[str, Loaded] = OrderedDict()
        self._waiting: list[_Question] = []
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._loop, name="generator", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """End after the batch under way; who still waits is told."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join()
        for question in self._waiting:
            question.answer.set_exception(ApiError(503, "the server is being stopped"))

    def ask(
        self, model: str, chat: Chat, max_new_tokens: int, temperature: float, seed: int | None
    ) -> Future[Completion]:
        """What the model answers; `ApiError` where it cannot."""
        question = _Question(model, chat, max_new_tokens, temperature, seed)
        with self._changed:
            if self._stopping:
                question.answer.set_exception(ApiError(503, "the server is being stopped"))
                return question.answer
            self._waiting.append(question)
            self._changed.notify()
        return question.answer

    def forget(self, model: str) -> None:
        """Drop a model that was deleted."""
        with self._changed:
            self._loaded.pop(model, None)

    def _loop(self) -> None:
        while batch := self._next():
            # A client may have gone away meanwhile.
            batch = [one for one in batch if one.answer.set_running_or_notify_cancel()]
            try:
                self._answer(batch)
            except ApiError as error:
                _fail(batch, error)
            except Exception as error:  # noqa: BLE001 - one batch's fault must not stop the others
                log.error("generation: %s", where(error))
                _fail(batch, ApiError(500, "the model could not answer"))

    def _next(self) -> list[_Question]:
        """Everything that fits the oldest question; nothing at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopping)
            if self._stopping:
                return []
            oldest = self._waiting[0]
            fitting = [one for one in self._waiting if one is oldest or one.fits(oldest)]
            batch = fitting[:MOST_TOGETHER]
            taken = set(batch)
            self._waiting = [one for one in self._waiting if one not in taken]
            return batch

    def _answer(self, batch: list[_Question]) -> None:
        if not batch:
            return
        model = self._model(batch[0].model)
        batch = [one for one in batch if _readable(one, model.local)]
        if not batch:
            return
        one = batch[0]
        decoding = Decoding(
            max_new_tokens=one.max_new_tokens,
            temperature=one.temperature,
            seed=secrets.randbits(31) if one.seed is None else one.seed,
        )
        replies = model.served.generate([question.chat for question in batch], decoding)
        for question, (text, finish) in zip(batch, replies, strict=True):
            # The end mark counts too: it was decoded.
            ids: Any = model.local.tokenizer(text, add_special_tokens=False)["input_ids"]
            spent = one.max_new_tokens if finish == "length" else len(ids) + 1
            completion = Completion(text, finish, question.prompt_tokens, spent)
            question.answer.set_result(completion)

    def _model(self, name: str) -> Loaded:
        """A model in memory; the one that was asked least lately makes room."""
        import torch

        torch.set_num_threads(THREADS)
        with self._changed:
            found = self._loaded.get(name)
        found = found or self._load(name)
        with self._changed:
            self._loaded[name] = found
            self._loaded.move_to_end(name)
            while len(self._loaded) > MODELS_LOADED:
                self._loaded.popitem(last=False)
        return found


def _readable(question: _Question, model: LocalTarget) -> bool:
    """Whether a chat fits the model; who asked is told when it does not."""
    from targets.formats import encode

    try:
        ids = encode(model.tokenizer, question.chat, answer=True)
    except Exception:  # noqa: BLE001 - templates raise what they like, with the text in it
        said = "the messages do not fit the model's chat template"
        question.answer.set_exception(ApiError(400, said, param="messages"))
        return False
    question.prompt_tokens = len(ids)
    limit = model.limit
    if limit is not None and len(ids) + question.max_new_tokens > limit:
        said = f"{len(ids)} tokens and {question.max_new_tokens} of a reply are more than {limit}"
        code = "context_length_exceeded"
        question.answer.set_exception(ApiError(400, said, param="messages", code=code))
        return False
    return True


def _fail(batch: list[_Question], error: ApiError) -> None:
    for question in batch:
        if not question.answer.done():
            question.answer.set_exception(error)
