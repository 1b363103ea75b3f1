"""Rows that the real rows cannot rule out: any real row that a panel of learners believes in, moved a little.

May import data, encode and its own room.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np

from synthgen.data.dataset import TabularDataset
from synthgen.encode.base import EncodedTable
from synthgen.engines.base import FitContext, fitted, reading
from synthgen.engines.neighbours import NEAR, jittered, nearest
from synthgen.engines.pool import MAX_REST, Pool
from synthgen.engines.quantile import ABSENT, Draw, PoolEngine
from synthgen.engines.teacher import beliefs
from synthgen.seeding import derive

POWER = 3.0
AROUND = 10
MAX_SEEDS = 2_000


class Taught(PoolEngine):
    """A real row of any class, drawn by how far a panel believes it is of the wanted one, moved as delta moves.

    A row's chance is its belief t to the third power (``teacher.beliefs``), held to that of n rows which share evenly,
    n being the class's size. With rows drawn as t^3 the odds of the class still rise with t, so that a learner is
    taught the panel's ranking, and few rows are left near chance. Many of the seed rows are of other classes: those
    that could as well have been of this one. The move is
    z_seed + z_b - z_a, with a among the 10 rows nearest to the seed and b among the 5 nearest to a, of any class.
    Model compression by labelled artificial rows: Bucilua, Caruana and Niculescu-Mizil 2006.
    """

    name = "taught"

    def __init__(self) -> None:
        super().__init__()
        self._beliefs: np.ndarray | None = None

    def fit(self, train: TabularDataset, *, seed: int, context: FitContext = FitContext()) -> Self:  # noqa: B008
        """Encode the rows that drawing needs and have them judged; see ``PoolEngine.fit``."""

        def encoding(share: float, message: str) -> None:
            context.report(0.1 * share, message)

        super().fit(train, seed=seed, context=replace(context, report=encoding))
        pool = fitted(self._pool, self)
        self._beliefs = beliefs(
            pool.encoded, pool.labels, pool.codec.layout, len(pool.classes), seed=derive(seed, "beliefs")
        )
        context.report(1.0, "ready")
        return self

    def _make_pool(self, train: TabularDataset, context: FitContext, seed: int) -> Pool:
        """Level, so that two neighbours with the same number move a seed nowhere, off a spike at zero least of all."""
        return Pool.of(train, context.wanted(train.counts()), seed=seed, rest=2 * MAX_REST, level=True)

    def _prepare(self, pool: Pool, own: np.ndarray) -> Draw:
        weights = fitted(self._beliefs, self)[:, pool.labels[own[0]]] ** POWER
        seeds = np.argsort(-weights, kind="stable")[: max(MAX_SEEDS, len(own))]
        chance = _held(weights[seeds], 1 / len(own))
        around, near = _moves(pool, seeds)
        z, codes = pool.encoded.numeric, pool.encoded.codes
        absent = z == ABSENT

        def draw(n: int, rng: np.random.Generator) -> EncodedTable:
            i = rng.choice(len(seeds), n, p=chance)
            a = around[i, rng.integers(0, around.shape[1], n)]
            b = near[a, rng.integers(0, near.shape[1], n)]
            at = seeds[i]
            moved = np.where(absent[a] | absent[b], z[at], z[at] + z[b] - z[a])
            return EncodedTable(
                numeric=np.where(absent[at], z[b], moved),
                codes=np.where(codes[a] == codes[b], codes[at], codes[b]),
            )

        return draw

    def save(self, folder: Path) -> None:
        """Write engine.json, the codec, the kept rows and what is believed of them."""
        super().save(folder)
        np.savez_compressed(folder / "beliefs.npz", beliefs=fitted(self._beliefs, self))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the engine that ``save`` wrote."""
        engine = super().load(folder)
        with reading(folder), np.load(folder / "beliefs.npz", allow_pickle=False) as arrays:
            engine._beliefs = arrays["beliefs"]
        return engine


def _held(weights: np.ndarray, most: float) -> np.ndarray:
    """Return chances in proportion to descending ``weights`` (N,), those above ``most`` cut to it, N >= 1 / most."""
    chance = np.full(len(weights), most)
    for n_cut in range(len(weights)):
        rest, left = weights[n_cut:].sum(), 1.0 - n_cut * most
        if left <= 0 or not rest > 0:
            break
        if weights[n_cut] * left <= most * rest:
            chance[n_cut:] = weights[n_cut:] * left / rest
            return chance
    chance[n_cut:] = max(0.0, 1.0 - n_cut * most) / (len(weights) - n_cut)
    return chance


def _moves(pool: Pool, seeds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ``around`` (n_seeds, <= 10) and ``near`` (N, <= 5), positions in the pool; no row is its own neighbour.

    ``near`` is filled only for rows that occur in ``around``.
    """
    points = jittered(pool.dense(np.arange(len(pool.labels))))
    around = _others(nearest(points, points[seeds], min(AROUND + 1, len(points))), seeds)
    used = np.unique(around)
    near = np.zeros((len(points), max(1, min(NEAR, len(points) - 1))), dtype=np.int64)
    near[used] = _others(nearest(points, points[used], min(NEAR + 1, len(points))), used)
    return around, near


def _others(found: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Return ``found`` without each row's own position in ``asked``, one column narrower; alone, a row has itself."""
    if found.shape[1] == 1:
        return found
    own = found == asked[:, None]
    own[~own.any(axis=1), -1] = True
    return np.asarray(found[~own].reshape(len(found), -1))
