"""Which categories degrade most after benign rows (Remark 5), from what was measured. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks import draws, findings
from benchmarks.findings import Outcome
from benchmarks.ours import Home
from benchmarks.paper import Table, paper
from benchmarks.reproduction import NOT_RUN, Measured, Verdict, said_of
from benchmarks.wording import Yes
from eval import metrics
from eval.metrics import Interval


def worst(
    table: Table, measured: Measured, categories: Sequence[str], home: Home, yes: Yes
) -> Verdict:
    """Whether the categories that the paper names degrade more than the others (Remark 5).

    The difference of the two groups' mean rates, with a bootstrap over seeds and prompts.
    """
    facts: dict[str, Any] = {
        "table": table.id,
        "id": table.id,
        "role": "added later",
        "statement": "The categories that the paper names degrade more than the others.",
        "holds": findings.CONDITIONS["less"],
        "paper": f"{table.place}: " + ", ".join(paper().categories[c] for c in table.worst),
    }
    values, why = measured.values, measured.lacking
    named = {name for number in table.worst for name in home.by_category.get(number, ())}
    if len(named) < len(table.worst) or not draws.tables(values):
        return Verdict(**facts, verdict=NOT_RUN, why="needs requests of these categories")
    groups = [
        draws.tables(
            {
                key: [v for v, c in zip(row, categories, strict=True) if (c in named) is inside]
                for key, row in values.items()
            }
        )
        for inside in (True, False)
    ]
    if not all(groups):
        return Verdict(**facts, verdict=NOT_RUN, why="no verdict in one of the groups")
    means = [float(np.mean([np.nanmean(t) for t in group.values()])) for group in groups]
    drawn = np.subtract(*draws.means(groups))
    tail = 50 * (1 - metrics.CONFIDENCE)
    low, high = (float(np.nanpercentile(drawn, q)) for q in (tail, 100 - tail))
    number = Interval(means[0] - means[1], low, high)
    said = said_of(Outcome(low > 0, number), "held" if why else yes)
    return Verdict(**facts, verdict=said, number=number, why=why)
