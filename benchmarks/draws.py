"""Measurements drawn again with replacement: their worlds, seeds and prompts. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

Values = Mapping[tuple[int, int], Sequence[float | None]]
"""By (world, seed): one number for each prompt, None where it is missing."""
DRAWS = 1999
"""Permutations behind a p-value and draws behind a bootstrap.  # ours: with the observed one,
p-values in steps of 1/2000"""


def tables(values: Values) -> dict[int, np.ndarray]:
    """By world, (seeds, prompts) with nan where missing; seeds without any value are left out."""
    rows: dict[int, list[np.ndarray]] = {}
    for (world, _), row in sorted(values.items()):
        known = np.array([math.nan if value is None else value for value in row], dtype=float)
        if not np.isnan(known).all():
            rows.setdefault(world, []).append(known)
    return {world: np.array(found) for world, found in rows.items()}


def means(cells: Sequence[Mapping[int, np.ndarray]]) -> np.ndarray:
    """Each cell's mean over the worlds that all have, in each draw of worlds, seeds and prompts.

    Cells are drawn alike, so that they stay paired; nan where a draw holds no value.

    Returns:
        (cells, draws).
    """
    worlds = sorted(set.intersection(*map(set, cells)))
    drawn = [[_of_world(table[w], i) for i, w in enumerate(worlds)] for table in cells]
    # Of one world there is nothing to draw.
    often = counts(np.random.default_rng(0), len(worlds))
    found: np.ndarray = (np.array(drawn) * often.T).sum(axis=1) / len(worlds)
    return found


def counts(rng: np.random.Generator, n: int) -> np.ndarray:
    """For each draw with replacement of `n` out of `n`, how often each was drawn."""
    drawn = rng.integers(0, n, (DRAWS, n)) + n * np.arange(DRAWS)[:, None]
    return np.bincount(drawn.ravel(), minlength=DRAWS * n).reshape(DRAWS, n)


def _of_world(table: np.ndarray, stream: int) -> np.ndarray:
    """Mean of a world's table in each draw of its seeds and prompts.

    Tables of one shape and stream are drawn alike.
    """
    rng = np.random.default_rng([1, stream])
    by_seed, by_prompt = counts(rng, table.shape[0]), counts(rng, table.shape[1])
    known = ~np.isnan(table)
    total = ((by_seed @ np.where(known, table, 0.0)) * by_prompt).sum(axis=1)
    count = ((by_seed @ known.astype(float)) * by_prompt).sum(axis=1)
    drawn: np.ndarray = np.divide(total, count, out=np.full(DRAWS, np.nan), where=count > 0)
    return drawn
