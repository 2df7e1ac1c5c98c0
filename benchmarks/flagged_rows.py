"""Moderation tools on training rows (Qi et al. 2023, §5.1): what they flag before any tuning."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from attacks.base import Prompt
from benchmarks import wire
from benchmarks.keys import digest
from benchmarks.lab import Lab, LabSettings, NotStored, open_lab
from benchmarks.ours import Home, Ours
from benchmarks.reproduction import Measured
from benchmarks.run import Budget
from benchmarks.store import Store
from benchmarks.verdicts import identity, verdict_of
from benchmarks.wire import Bill
from eval import metrics
from eval.judges.base import Called, Verdict
from eval.moderators.base import exchange
from targets.hosted.ledger import Purse


@dataclass(frozen=True)
class Rows:
    """What tools are asked about the user's own harmful rows, and where it is kept."""

    asked: Sequence[Ours]
    home: Home
    data: str | None
    store: Store

    def bills(self) -> list[Bill]:
        """What calls would take; nothing where all is kept, or nothing is sent."""
        told = []
        for ours in self.asked:
            try:
                self._verdicts(ours, self._lab)
            except NotStored:
                one = dataclasses.replace(self._lab, judges={ours.by: self._lab.judges[ours.by]})
                told += wire.bills_of_pairs(one, [("", text) for text in self._texts(ours)])
        return told

    def measured(self, budget: Budget) -> tuple[dict[Ours, Measured], Budget]:
        """Whether each row is flagged, and what is left of the budget.

        Raises:
            UserError: a tool cannot be asked.
        """
        if not self.asked:
            return {}, budget
        purse, lab = Purse(budget.tokens, budget.dollars), self._lab
        try:
            for ours in self.asked:
                self._verdicts(ours, lab)
        except NotStored:
            lab = dataclasses.replace(lab, may_make=True)
            wire.begin(lab, purse)
        found = {}
        for ours in self.asked:
            hits = [metrics.is_hit(verdict.score) for verdict in self._verdicts(ours, lab)]
            found[ours] = Measured({(0, 0): [None if hit is None else float(hit) for hit in hits]})
        tokens = None if budget.tokens is None else budget.tokens - purse.tokens
        dollars = None if budget.dollars is None else budget.dollars - purse.dollars
        return found, budget._replace(tokens=tokens, dollars=dollars)

    @cached_property
    def _lab(self) -> Lab:
        judges = tuple(dict.fromkeys(ours.by for ours in self.asked))
        root = self.store.root
        settings = LabSettings(self.home.target, judges, root, None, False, self.data)
        return open_lab(settings, may_make=False)

    def _texts(self, ours: Ours) -> list[str]:
        """Instructions or answers, as they are uploaded for the first seed."""
        upload = self.home.upload(ours.attack)
        pairs = [exchange(row.messages) for row in upload.rows] if upload else []
        half = 0 if ours.ask == "instructions" else 1
        return [pair[half] for pair in pairs if pair is not None]

    def _verdicts(self, ours: Ours, lab: Lab) -> list[Verdict]:
        judge, texts, rules = lab.judges[ours.by], self._texts(ours), lab.rules()
        prompts = [Prompt(str(i), "", "") for i in range(len(texts))]

        def make() -> list[Verdict]:
            assert isinstance(judge, Called)
            assert lab.calls is not None
            return lab.calls.score(judge, rules, prompts, texts)

        key = digest("judge rows", texts, identity(judge, rules))
        kept = lab.stage("judge", key, make, lambda old: any(verdict_of(one).again for one in old))
        return [verdict_of(one) for one in kept]
