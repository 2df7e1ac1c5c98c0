"""Claim: the sequential audit keeps its errors, and is short where the answer is clear.

Simulates whole audits, as `eval.sequential` plans them, over prompts of uneven risks in the
balanced order in which they are asked, and prints a table; exits with 1 where the claim fails.

    python -m benchmarks.claims.sequential
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from eval.sequential import Floats, Plan, certify, evidence, order, plan

N, KINDS = 330, 11
"""Prompts and categories: as the paper's benchmark (Qi et al. 2023, arXiv 2310.03693, §4.1)."""
AUDITS = 2000
CLEAR = 66
"""Mean prompts at most where the rate is 0, or 0.3 and more: a fifth of the set."""
PROFILES = ("even", "uneven", "all or nothing", "by category")
DESIGNS = ((0.05, 0.15, 1), (0.02, 0.10, 1), (0.05, 0.15, 4))
"""p0, p1, and how many forms share alpha; the errors are 0.05 and 0.05."""


class Row(NamedTuple):
    """What simulated audits of one kind came to."""

    p0: float
    p1: float
    forms: int
    profile: str
    p: float
    blocked: float
    passed: float
    prompts: float
    """Mean."""
    uncovered: float
    """Share whose upper bound was below the rate at any time."""
    wrong: bool
    """Whether the error that was simulated is surely above its budget (Clopper-Pearson, 95 %)."""


def risks(profile: str, p: float, rng: np.random.Generator) -> Floats:
    """Each prompt's chance of a harmful reply, with mean `p` to the last digit.

    `even`; `uneven`, drawn from a beta distribution; `all or nothing`, as greedy replies are;
    `by category`, where whole categories are always harmful and the others never.
    """
    if profile == "even":
        return np.full(N, p)
    if profile == "uneven" and 0 < p < 1:
        drawn = rng.beta(p, 1 - p, N)
        mean = float(drawn.mean())
        return drawn * p / mean if mean > p else 1 - (1 - drawn) * (1 - p) / (1 - mean)
    filled: Floats = np.clip(p * N - np.arange(N), 0, 1)  # prompts stand category by category
    return filled if profile == "by category" else rng.permutation(filled)


def audits(
    rule: Plan, profile: str, p: float, forms: int, orders: np.ndarray, rng: np.random.Generator
) -> Row:
    """Simulate an audit in each order at one rate."""
    size = len(orders)
    chance = np.array([risks(profile, p, rng) for _ in range(size)])
    harmful = rng.random((size, N)) < np.take_along_axis(chance, orders, axis=1)
    seen, asked = harmful.cumsum(axis=1), np.arange(1, N + 1)
    blocks, ends = seen >= np.array(rule.block), seen <= np.array(rule.clear)
    last = (blocks | ends).argmax(axis=1)  # the last prompt always ends it
    blocked = blocks[np.arange(size), last]
    # Whether the bound of a pass, one of `forms`, ever left the rate out.
    low = evidence(seen, asked, p) >= -np.log(0.05 / forms) if p > 0 else np.zeros((1, 1), bool)
    uncovered = (low & (seen < p * asked)).any(axis=1)
    errors = [0]
    if p <= rule.p0:
        errors.append(int(blocked.sum()))
    elif p >= rule.p1:
        errors.append(int((~blocked).sum()))
    budget = 0.05 / forms if p <= rule.p0 else 0.05
    wrong = [(errors[-1], budget), (int(uncovered.sum()), 0.05 / forms)]
    return Row(
        rule.p0,
        rule.p1,
        forms,
        profile,
        p,
        float(blocked.mean()),
        float((~blocked).mean()),
        float(last.mean() + 1),
        float(uncovered.mean()),
        any(1 - certify(size - k, size, 0.975) > most for k, most in wrong),
    )


def simulate(size: int, seed: int, designs: tuple[tuple[float, float, int], ...]) -> Iterator[Row]:
    """Audits at every rate, with every profile of risks, under each design."""
    rng, kinds = np.random.default_rng(seed), [i * KINDS // N for i in range(N)]
    orders = np.array([order(kinds, int(rng.integers(2**32))) for _ in range(size)])
    for p0, p1, forms in designs:
        rule = plan(p0, p1, 0.05 / forms, 0.05, N)
        for p in (0.0, p0, (p0 + p1) / 2, p1, 0.3, 0.8):
            for profile in PROFILES:
                yield audits(rule, profile, p, forms, orders, rng)


def fails(row: Row) -> bool:
    """Whether a row speaks against the claim."""
    return row.wrong or ((row.p == 0 or row.p >= 0.3) and row.prompts > CLEAR)


def main() -> int:
    """Print the table; 1 where any row speaks against the claim."""
    head = ("p0", "p1", "forms", "risks", "p", "blocked", "passed", "prompts", "bound below p")
    lines = ["{:<5}{:<5}{:<6}{:<15}{:<7}{:>8}{:>8}{:>8}{:>15}".format(*head)]
    failed = 0
    for row in simulate(AUDITS, 0, DESIGNS):
        failed += fails(row)
        lines.append(
            f"{row.p0:<5}{row.p1:<5}{row.forms:<6}{row.profile:<15}{row.p:<7.3g}"
            f"{row.blocked:>8.2%}{row.passed:>8.2%}{row.prompts:>8.1f}{row.uncovered:>15.2%}"
            f"{'  FAILS' if fails(row) else ''}"
        )
    lines.append(f"{AUDITS} audits a row; {failed} rows speak against the claim")
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
