"""Judges that are models on this machine: which one, and how it is asked."""

from __future__ import annotations

import abc
import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attacks.base import Chat, component
from attacks.bounds import BatchSize, Tokens
from attacks.registry import parameters
from eval.judges.base import Called, Verdict
from eval.protocol import Question
from targets import hub
from targets.base import Decoding, Reply, Rules

if TYPE_CHECKING:
    from targets.hosted.ledger import Ledger
    from targets.local import LocalTarget

VERSION = 1
"""Of how a model is asked and its answer taken."""
CUT = "the answer was cut"
TOO_LONG = "the question is longer than the judge can read"


@component
class Loaded(Called):
    """A judge that is a model on this machine: loaded once, greedy, and asked in batches."""

    here = True

    model: str
    """Folder of a model with a chat template, or its name on the Hub (`owner/name`). No code of
    its own is ever run."""
    revision: str | None = None
    """Branch, tag or commit on the Hub; none: what is here already, or else the newest."""
    max_tokens: Tokens = 1024
    """Longest answer (official code: 1024)."""
    batch_size: BatchSize = 16
    """Pairs that are read together.  # ours: with a model of 8 billion weights it fits 40 GB."""

    @abc.abstractmethod
    def question(self, rules: Rules, request: str, reply: str) -> Question:
        """What is asked of one pair.

        Raises:
            UserError: the question does not fit what the requests violate.
        """

    @abc.abstractmethod
    def read(self, text: str, tag: str) -> Verdict:
        """The verdict of an answer, or missing with the reason."""

    @classmethod
    def load(cls, folder: Path) -> LocalTarget:
        """The model in a folder, one that answers.

        Raises:
            UserError: it cannot be loaded.
        """
        from targets.local import LocalTarget

        return LocalTarget.load(folder)

    def identity(self, rules: Rules) -> Any:
        """The model's contents, and everything that it is asked."""
        given = parameters(self)
        for name in ("model", "revision", "batch_size"):
            del given[name]
        return {
            "model": hub.locate(self.model, self.revision),
            "question": self.question(rules, "", ""),
            "reading": VERSION,
            **given,
        }

    def check(self) -> str:
        """Whether the model is there and can be loaded; it is then loaded already."""
        self._target()
        return ""

    def tokens(self, rules: Rules, request: str, reply_tokens: int) -> tuple[int, int]:
        """None that anybody is paid for."""
        return 0, 0

    def price(self) -> tuple[float, float] | None:
        """Nothing is paid."""
        return None

    def ask(
        self,
        pairs: Sequence[tuple[str, str]],
        rules: Rules,
        keep: Callable[[int, Verdict], None],
        ledger: Ledger,
    ) -> None:
        """Ask in batches of like length; `keep` is told each batch as soon as it is answered."""
        target = self._target()
        # By text within a length, so that what stands in a batch does not follow from the order.
        order = sorted(range(len(pairs)), key=lambda i: (len("".join(pairs[i])), *pairs[i]))
        with running():
            for start in range(0, len(order), self.batch_size):
                if ledger.purse.halted:
                    return
                batch = order[start : start + self.batch_size]
                told = self._verdicts(target, [pairs[i] for i in batch], rules)
                for i, verdict in zip(batch, told, strict=True):
                    keep(i, verdict)

    def _target(self) -> LocalTarget:
        return _loaded(type(self).load, hub.fetch(self.model, self.revision))

    def _verdicts(
        self, target: LocalTarget, pairs: Sequence[tuple[str, str]], rules: Rules
    ) -> list[Verdict]:
        marks = _marks(target)
        asked = [self.question(rules, *(unmarked(one, marks) for one in pair)) for pair in pairs]
        limit = target.limit
        room = float("inf") if limit is None else limit - self.max_tokens
        fits = [len(target.prompt(question.chat)) <= room for question in asked]
        read_by_it = [question for question, fit in zip(asked, fits, strict=True) if fit]
        chats = [question.chat for question in read_by_it]
        decoding = Decoding(max_new_tokens=self.max_tokens, batch_size=self.batch_size)
        replies = target.generate(chats, decoding) if chats else []
        by = f"{Path(self.model).name} {hub.locate(self.model, self.revision)[:12]}"
        read = [
            self._told(reply, question.tag)
            for question, reply in zip(read_by_it, replies, strict=True)
        ]
        told = iter(self.weighed(target, chats, replies, read))
        missing = Verdict(None, why=TOO_LONG)
        return [(next(told) if fit else missing)._replace(by=by) for fit in fits]

    def weighed(
        self,
        target: LocalTarget,
        chats: Sequence[Chat],
        replies: Sequence[Reply],
        verdicts: list[Verdict],
    ) -> list[Verdict]:
        """The same verdicts, with what the model's probabilities say where they are looked at."""
        return verdicts

    def _told(self, reply: Reply, tag: str) -> Verdict:
        if reply.finish == "length":
            return Verdict(None, why=CUT)
        told = self.read(reply.text, tag)
        return told._replace(why=told.why or reply.text)


def unmarked(text: str, marks: Sequence[str]) -> str:
    """The text with a space in each mark of the judge's template, so that it can end no turn."""
    for _ in range(len(marks)):
        if not any(mark in text for mark in marks):
            break
        for mark in marks:
            text = text.replace(mark, f"{mark[0]} {mark[1:]}")
    return text


def _marks(target: LocalTarget) -> list[str]:
    """Pieces that stand for themselves in the judge's tokenizer: ends of turns, roles."""
    added = target.tokenizer.added_tokens_decoder.values()
    special = {token.content for token in added if token.special}
    return sorted(mark for mark in special | set(target.tokenizer.all_special_tokens) if mark[1:])


@functools.cache
def _loaded(load: Callable[[Path], LocalTarget], folder: Path) -> LocalTarget:
    """A model, once for all judges that load it alike."""
    return load(folder)


@contextmanager
def running() -> Iterator[None]:
    """One torch thread: workers tune meanwhile, and another number sums in another order.

    Raises:
        Stopped: the memory does not suffice; what was answered is kept.
    """
    import torch

    from targets.hosted.ledger import Stopped

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise Stopped("the judge needs more memory; give it a smaller batch_size") from error
    finally:
        torch.set_num_threads(before)
