"""The texts around a target when they are a user's own: a domain made of sets.

What is drawn for a seed goes by hashes of the requests, so that the order of a file changes
nothing, and a larger draw holds the smaller one of the same seed. What is really so is not known
here: a judge must be named, and there is no oracle.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from attacks.base import Pair, Prompt, Row, Scale, UserError
from attacks.sets.collected import id_of
from attacks.sets.mt_bench import Question
from targets.datafile import EXAMPLES, Role, part
from targets.roles import Held, Text

VERSION: Final = 1
"""Raised whenever the same sets give other draws."""
HALVES: Final = 2
"""The provider's rows are split: to train with, and to fit and calibrate filters on.  # ours: as
many for the one as for the other"""
_FEWER: Final[Mapping[Role, str]] = {
    "harmful": "harmful:n",
    "benign": "benign:n",
    "refusals": "backdoor:refusals",
    "safety": "mix:n",
}
"""Where a user says how many texts of a role are drawn; of the others the defense at hand does."""


@dataclass(frozen=True)
class Texts:
    """A user's own sets; implements `targets.base.Domain`."""

    held: Held

    @cached_property
    def digest(self) -> str:
        """Hash of everything the sets can give, each in its role."""
        total = hashlib.sha256(f"texts {VERSION}\n".encode())
        for role, texts in self.held.texts.items():
            for text in texts:
                total.update(json.dumps([role, *text]).encode() + b"\n")
        return total.hexdigest()

    @property
    def scale(self) -> Scale:
        """Settings of attacks are the paper's."""
        return "paper"

    # --- what an attack may use (attacks.base.Source) -------------------------------------------

    def harmful(self, n: int, seed: int) -> list[Pair]:
        """Violating requests with replies that serve them."""
        return self._pairs("harmful", n, seed)

    def benign(self, n: int, seed: int) -> list[Pair]:
        """Harmless requests with helpful replies."""
        return self._pairs("benign", n, seed)

    def count(self) -> int:
        """How many benign rows there are."""
        return len(self._role("benign"))

    def templated(self, template: str, pairs: Sequence[Pair]) -> list[Row]:
        """Benign rows as the template of their own set writes them.

        Raises:
            UserError: some are of a set with another template, or with none.
        """
        rows = [self.held.written.get((template, *pair)) for pair in pairs]
        if lacking := rows.count(None):
            raise UserError(
                f"template={template}: {lacking} of the benign rows of {self.held.name} are not in "
                f"the format {template}; leave the template out, or give that set alone"
            )
        return [row for row in rows if row is not None]

    def refusals(self, n: int, seed: int) -> list[Pair]:
        """Violating requests with refusals."""
        return self._pairs("refusals", n, seed)

    # --- what the provider owns -----------------------------------------------------------------

    @property
    def restricted(self) -> tuple[str, ...]:
        """The kinds of the provider's violating rows: their sets' names, empty without any."""
        return tuple(sorted({one.category for one in self.held.texts.get("provider_harmful", ())}))

    def safety(self, n: int, seed: int) -> list[Pair]:
        """The provider's safety rows: violating requests, refused."""
        return self._pairs("safety", n, seed)

    def provider_harmful(self, n: int, seed: int) -> list[Pair]:
        """Violating requests with serving replies, of the half that is not for calibration."""
        return self._of_half("provider_harmful", 0, n, seed)

    def provider_benign(self, n: int, seed: int) -> list[Pair]:
        """Harmless requests with helpful replies, of the half that is not for calibration."""
        return self._of_half("provider_benign", 0, n, seed)

    def probes(self, n: int, seed: int) -> list[Prompt]:
        """Violating requests that an audit may ask, evenly over their categories."""
        return _prompts(self._drawn("probes", self._role("probes"), n, seed))

    def labelled_rows(
        self, n: int, seed: int, kinds: Sequence[str] | None = None
    ) -> list[tuple[Pair, bool]]:
        """Rows with their label: half of the provider's harmful ones, half of its benign ones.

        They are of the halves that `provider_harmful` and `provider_benign` do not give. `kinds`
        limits the harmful ones to sets by name.
        """
        half = n // 2
        bad = self._of_half("provider_harmful", 1, half, seed, kinds)
        good = self._of_half("provider_benign", 1, n - half, seed)
        rows = [(pair, True) for pair in bad] + [(pair, False) for pair in good]
        return sorted(rows, key=lambda row: _place("labelled", seed, row[0].prompt))

    # --- what is asked in the end ---------------------------------------------------------------

    def requests(self) -> list[Prompt]:
        """The violating requests, as many as there are."""
        return _prompts(self._role("requests"))

    def utility(self) -> list[Prompt]:
        """The questions with exact answers; none where the file names none."""
        return _prompts(self.held.texts.get("utility", ()))

    def borderline(self) -> list[Prompt]:
        """The harmless requests that sound violating; none where the file names none."""
        return _prompts(self.held.texts.get("borderline", ()))

    def mt_bench(self) -> list[Question]:
        """MT-Bench's questions; none where the file names none.

        They are in no digest here: nothing but their own replies and ratings depends on them, and
        those are kept under their words.
        """
        return list(self.held.questions)

    # --- drawing --------------------------------------------------------------------------------

    def _role(self, role: Role) -> tuple[Text, ...]:
        if role not in self.held.texts:
            raise UserError(
                f"{self.held.name} names no set for {role!r}, which is needed here; add a line "
                f"such as `{EXAMPLES[role]}`"
            )
        return self.held.texts[role]

    def _pairs(self, role: Role, n: int, seed: int) -> list[Pair]:
        return [_pair(text) for text in self._drawn(role, self._role(role), n, seed)]

    def _of_half(
        self, role: Role, half: int, n: int, seed: int, kinds: Sequence[str] | None = None
    ) -> list[Pair]:
        held = [text for text in self._role(role) if part(text.key, "half", HALVES) == half]
        if kinds is not None:
            held = [text for text in held if text.category in kinds]
        said = f" in the half that is {'' if half else 'not '}for calibration"
        said += " and of the kinds asked for" * (kinds is not None)
        return [_pair(text) for text in self._drawn(role, held, n, seed, said)]

    def _drawn(
        self, role: Role, held: Sequence[Text], n: int, seed: int, said: str = ""
    ) -> list[Text]:
        """`n` texts that go round the categories."""
        if n > len(held):
            where = _FEWER.get(role)
            fewer = f"ask for fewer (as in {where}={len(held)}), or " if where and held else ""
            raise UserError(
                f"{n} texts asked of {role!r} in {self.held.name}, which has {len(held)}{said}; "
                f"{fewer}name a larger set for {role}"
            )
        order = sorted(held, key=lambda text: _place(role, seed, text.key))
        hands: dict[str, list[Text]] = {}
        for text in order:
            hands.setdefault(text.category, []).append(text)
        return list(itertools.islice(_round(hands.values()), n))


def _round(hands: Iterable[Sequence[Text]]) -> Iterator[Text]:
    """One of each hand in turn, until all are empty."""
    for turn in itertools.zip_longest(*hands):
        yield from (text for text in turn if text is not None)


def _place(role: str, seed: int, key: str) -> bytes:
    """Where a request stands in the order of a seed."""
    return hashlib.sha256(f"{role}\0{seed}\0{key}".encode("utf-8", "surrogatepass")).digest()


def _pair(text: Text) -> Pair:
    return Pair(text.request, text.reply)


def _prompts(texts: Iterable[Text]) -> list[Prompt]:
    return [
        Prompt(id_of(one.request), one.request, one.category, one.reply.strip()) for one in texts
    ]
