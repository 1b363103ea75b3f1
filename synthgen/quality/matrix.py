"""A dataset as the arrays that the panel's learners read: one encoding per arm, fitted on its real training rows.

May import data. Labels, ids and constants never become features.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from synthgen.data.dataset import TabularDataset
from synthgen.data.physical import flat, to_physical

MAX_LEVELS = 64
MAX_ONE_HOT = 512
FAR = 1e6
NEAR = 20.0


@dataclass(frozen=True)
class Matrix:
    """The rows for each kind of learner, float32. ``trees`` (N, P) has NaN where a number is missing, and codes for
    categories at the columns ``categorical``; ``filled`` (N, P + missing) has medians and flags instead of NaN;
    ``linear`` (N, L) is standardised, one column per level."""

    trees: np.ndarray
    filled: np.ndarray
    linear: np.ndarray
    categorical: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.trees)


@dataclass(frozen=True)
class _Number:
    name: str
    centre: float
    scale: float
    mean: float
    spread: float
    missing: bool

    def of(self, dataset: TabularDataset) -> np.ndarray:
        numbers = to_physical(dataset.column(self.name))
        z = np.clip((numbers.values.astype(np.float64) - self.centre) / self.scale, -FAR, FAR)
        return np.where(numbers.valid, z, np.nan)

    def linear(self, z: np.ndarray) -> np.ndarray:
        return np.asarray((np.clip(np.nan_to_num(z), -NEAR, NEAR) - self.mean) / self.spread)


@dataclass(frozen=True)
class _Levels:
    name: str
    values: pa.Array
    one_hot: int

    def of(self, dataset: TabularDataset) -> np.ndarray:
        """Codes (N,): a level by how common it is, then the rest together, then missing."""
        column = _plain(dataset.column(self.name))
        codes = pc.fill_null(pc.index_in(column, value_set=self.values), len(self.values))
        missing = np.asarray(flat(column.is_null()).to_numpy(zero_copy_only=False))
        return np.where(missing, len(self.values) + 1, np.asarray(flat(codes).to_numpy(zero_copy_only=False)))

    def linear(self, codes: np.ndarray) -> np.ndarray:
        """One column for each of the commonest levels, one for the rest, one for missing."""
        n = len(self.values)
        place = np.where(codes < self.one_hot, codes, np.where(codes == n + 1, self.one_hot + 1, self.one_hot))
        return np.eye(self.one_hot + 2, dtype=np.float32)[place]


@dataclass(frozen=True)
class Features:
    """The encoding: numbers centred at the median and scaled by the quartiles, levels by how common they are.

    A level that the real training rows lack, and those past the 64 commonest, count as one.
    """

    numbers: tuple[_Number, ...]
    levels: tuple[_Levels, ...]

    @cached_property
    def categorical(self) -> tuple[int, ...]:
        """The columns of ``Matrix.trees`` that hold codes."""
        return tuple(range(len(self.numbers), len(self.numbers) + len(self.levels)))

    def matrix(self, dataset: TabularDataset) -> Matrix:
        """Return the rows of ``dataset`` as arrays."""
        z = [number.of(dataset) for number in self.numbers]
        codes = [levels.of(dataset) for levels in self.levels]
        trees = _stack([*z, *codes], len(dataset))
        flags = [np.isnan(z[j]) for j, number in enumerate(self.numbers) if number.missing]
        gaps = bool(flags) or bool(np.isnan(trees[:, : len(z)]).any())
        filled = _stack([np.nan_to_num(trees), *flags], len(dataset)) if gaps else trees
        plain = [number.linear(z[j]) for j, number in enumerate(self.numbers)]
        hot = [levels.linear(codes[j]) for j, levels in enumerate(self.levels)]
        return Matrix(trees, filled, _stack([*plain, *flags, *hot], len(dataset)), self.categorical)


def fit_features(real: TabularDataset) -> Features:
    """Return the encoding of the schema's features, fitted on ``real`` rows alone."""
    named = [column for column in real.schema.features if column.kind == "categorical"]
    cap = max(4, min(MAX_LEVELS // 2, MAX_ONE_HOT // max(1, len(named))))
    numbers = tuple(_number(real, column.name) for column in real.schema.features if column.kind != "categorical")
    return Features(numbers, tuple(_levels(real, column.name, cap) for column in named))


def _number(real: TabularDataset, name: str) -> _Number:
    numbers = to_physical(real.column(name))
    known = numbers.values[numbers.valid].astype(np.float64)
    missing = not bool(numbers.valid.all())
    if not len(known):
        return _Number(name, 0.0, 1.0, 0.0, 1.0, missing)
    low, centre, high = (float(q) for q in np.quantile(known, [0.25, 0.5, 0.75]))
    scale = (high - low) / 1.349 or float(np.std(known)) or 1.0
    z = np.clip((known - centre) / scale, -NEAR, NEAR)
    z = np.concatenate([z, np.zeros(len(numbers.valid) - len(known))])
    return _Number(name, centre, scale, float(z.mean()), float(z.std()) or 1.0, missing)


def _levels(real: TabularDataset, name: str, cap: int) -> _Levels:
    column = _plain(real.column(name)).drop_null()
    counted = column.value_counts()
    values, counts = counted.field("values"), counted.field("counts").to_numpy(zero_copy_only=False)
    by_name = pc.sort_indices(values).to_numpy()
    order = by_name[np.argsort(-counts[by_name], kind="stable")][:MAX_LEVELS]
    return _Levels(name, values.take(pa.array(order, pa.int64())), min(cap, len(order)))


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(column.type.value_type) if types.is_dictionary(column.type) else column


def _stack(columns: list[np.ndarray], n: int) -> np.ndarray:
    flat_columns = [c if c.ndim == 2 else c[:, None] for c in columns if c.size or n == 0]
    if not flat_columns:
        return np.zeros((n, 1), dtype=np.float32)
    return np.ascontiguousarray(np.concatenate(flat_columns, axis=1, dtype=np.float32))
