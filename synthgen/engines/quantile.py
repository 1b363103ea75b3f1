"""Two generators that need no network, in quantile space: a real row moved by what other rows teach about moving.

May import data, encode and its own room; scikit-learn only inside functions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from synthgen.data.dataset import TabularDataset
from synthgen.data.schema import Label
from synthgen.encode.base import EncodedTable
from synthgen.engines.base import EngineInfo, FitContext, check_count, fitted, read_state, reading, write_state
from synthgen.engines.catalog import CATALOG
from synthgen.engines.neighbours import AROUND, jittered, kin, nearest
from synthgen.engines.pool import MAX_REST, Pool
from synthgen.errors import TooFewRows
from synthgen.seeding import derive, numpy_rng

WIDTH = 0.6
ABSENT = 0.0  # the score of a missing number; a present one's is a random quantile, which is never exactly it

Draw = Callable[[int, np.random.Generator], EncodedTable]


class PoolEngine(ABC):
    """Base of the engines that draw encoded rows from a Pool: fit, sample, save and load once for all of them."""

    name: ClassVar[str]

    def __init__(self) -> None:
        self._pool: Pool | None = None
        self._draws: dict[Label, Draw] = {}

    @property
    def info(self) -> EngineInfo:
        """The facts of the engine's row in the catalogue."""
        return CATALOG[self.name].info

    def fit(self, train: TabularDataset, *, seed: int, context: FitContext = FitContext()) -> Self:  # noqa: B008
        """Encode and keep the rows that drawing needs; at most 20,000 besides the wanted classes' own."""
        context.report(0.0, "encoding")
        self._pool = self._make_pool(train, context, seed)
        self._draws = {}
        context.report(1.0, "ready")
        return self

    def sample(self, label: Label, n: int, *, seed: int) -> TabularDataset:
        """Return ``n`` rows of ``label``. Raises TooFewRows where the class has fewer than ``info.min_rows``."""
        pool, n = fitted(self._pool, self), check_count(n)
        own = pool.own(label, engine=self.name)
        if len(own) < self.info.min_rows:
            raise TooFewRows(
                f"class {label!r} has {len(own)} training rows, engine {self.name!r} needs {self.info.min_rows}; "
                "use smote (2) or oversample (1)"
            )
        if label not in self._draws:
            # without a number or a category to model there is nothing to move: ids and constants are made on decoding
            self._draws[label] = self._prepare(pool, own) if pool.codec.layout.width else _again(pool, own)
        encoded = self._draws[label](n, numpy_rng(seed, self.name, "draw"))
        return pool.codec.decode(encoded, label=label, seed=derive(seed, self.name, "decode"))

    def save(self, folder: Path) -> None:
        """Write engine.json, the codec and the kept rows."""
        write_state(folder, self, {})
        fitted(self._pool, self).save(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the engine that ``save`` wrote."""
        read_state(folder)
        engine = cls()
        with reading(folder):
            engine._pool = Pool.load(folder)
        return engine

    def _make_pool(self, train: TabularDataset, context: FitContext, seed: int) -> Pool:
        return Pool.of(train, context.wanted(train.counts()), seed=seed, rest=2 * MAX_REST)

    @abstractmethod
    def _prepare(self, pool: Pool, own: np.ndarray) -> Draw:
        """Return what draws encoded rows like those at positions ``own`` of the pool."""


def _again(pool: Pool, own: np.ndarray) -> Draw:
    return lambda n, rng: pool.encoded.take(own[rng.integers(0, len(own), n)])


def rest_of(pool: Pool, own: np.ndarray) -> np.ndarray:
    """Return at most 20,000 positions of the other classes' rows; the class's own where there are no others."""
    rest = np.setdiff1d(np.arange(len(pool.labels)), own, assume_unique=True)
    if len(rest) == 0:
        return own
    if len(rest) > MAX_REST:
        rest = np.sort(numpy_rng(0, "rest").choice(rest, MAX_REST, replace=False))
    return rest


class Delta(PoolEngine):
    """A row of the class plus the difference of two neighbouring rows of another class that lie near it.

    Normal scores: z_seed + z_b - z_a, with a among the 20 rows of the rest nearest to the seed and b among the 5
    of a's class nearest to a. Categories: where a and b agree the seed's, else b's. Where one of the three lacks a
    number, there is no difference to take: the seed's own number stays, or b's stands in.
    """

    name = "delta"

    def _prepare(self, pool: Pool, own: np.ndarray) -> Draw:
        rest = rest_of(pool, own)
        around, near = _neighbours(pool, own, rest)
        z, codes = pool.encoded.numeric, pool.encoded.codes
        absent = z == ABSENT

        def draw(n: int, rng: np.random.Generator) -> EncodedTable:
            i = rng.integers(0, len(own), n)
            a = around[i, rng.integers(0, around.shape[1], n)]
            b = near[a, rng.integers(0, near.shape[1], n)]
            seeds, a, b = own[i], rest[a], rest[b]
            moved = np.where(absent[a] | absent[b], z[seeds], z[seeds] + z[b] - z[a])
            return EncodedTable(
                numeric=np.where(absent[seeds], z[b], moved),
                codes=np.where(codes[a] == codes[b], codes[seeds], codes[b]),
            )

        return draw


def _neighbours(pool: Pool, own: np.ndarray, rest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ``around`` (n_own, <= 20) and ``near`` (n_rest, 5), positions in ``rest``.

    ``near`` is filled only for rows that occur in ``around``.
    """
    points = jittered(pool.dense(np.concatenate([own, rest])))
    seeds, others = points[: len(own)], points[len(own) :]
    around = nearest(others, seeds, min(AROUND, len(rest)))
    return around, kin(others, pool.labels[rest], rows=np.unique(around))


class Copula(PoolEngine):
    """A smoothed bootstrap of the class: a row drawn towards its class's mean and blurred along correlations.

    With mean m and width w = .6: m + sqrt(1 - w^2) (z - m) + w e, e ~ N(0, S), which keeps mean and variance;
    S is the class's covariance shrunk to the other classes' pooled one by d / (d + n). Categories are the row's.
    """

    name = "copula"

    def _prepare(self, pool: Pool, own: np.ndarray) -> Draw:
        z, codes = pool.encoded.numeric, pool.encoded.codes
        d, n_own = z.shape[1], len(own)
        mean = _means(z[own], np.zeros(n_own, dtype=np.int64), 1)[0]
        shrink = d / (d + n_own)
        spread = (1 - shrink) * _covariance(z[own], np.zeros(n_own)) + shrink * _rest_covariance(pool, own)
        values, vectors = np.linalg.eigh(spread)
        root = vectors * np.sqrt(np.clip(values, 0, None))

        def draw(n: int, rng: np.random.Generator) -> EncodedTable:
            seeds = own[rng.integers(0, n_own, n)]
            noise = rng.standard_normal((n, d)) @ root.T
            moved = mean + np.sqrt(1 - WIDTH**2) * (z[seeds] - mean) + WIDTH * noise
            kept = np.where(z[seeds] == ABSENT, ABSENT, moved)
            return EncodedTable(numeric=kept.astype(np.float32), codes=codes[seeds])

        return draw


def _rest_covariance(pool: Pool, own: np.ndarray) -> np.ndarray:
    rest = rest_of(pool, own)
    return _covariance(pool.encoded.numeric[rest], pool.labels[rest])


def _means(z: np.ndarray, codes: np.ndarray, n_groups: int) -> np.ndarray:
    """Return (n_groups, d) means of the numbers that are there; 0 where a group has none."""
    sums, counts = np.zeros((2, n_groups, z.shape[1]))
    np.add.at(sums, codes, z.astype(np.float64))
    np.add.at(counts, codes, z != ABSENT)
    return np.asarray(sums / np.maximum(counts, 1))


def _covariance(z: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return the (d, d) covariance of (N, d) ``z`` within ``groups``, pooled, over the pairs that are there."""
    _, codes = np.unique(groups, return_inverse=True)
    n_groups = int(codes.max(initial=0)) + 1
    present = (z != ABSENT).astype(np.float64)
    centred = present * (z - _means(z, codes, n_groups)[codes])
    pairs = present.T @ present
    return np.asarray(centred.T @ centred / np.maximum(pairs - n_groups, 1))
