"""One column's codec: numbers as scores, levels as codes, constants as themselves. Ids are in ids.py.

May import data, and its own room.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from synthgen.data.physical import flat, from_physical, to_physical
from synthgen.encode.grid import Arrays, Grid, find_grid, mantissa, physical_dtype
from synthgen.encode.levels import Levels, packed, repeat, unpacked, with_nan
from synthgen.encode.quantile import NumericMap, QuantileMap, StandardMap

Numeric = Literal["quantile", "standard"]

MAX_NUMBER_LEVELS = 10  # a numeric column with no more distinct values is codes
MAX_RARE_SHARE = 0.05  # ... unless more than this share of its rows has a value too rare to be a level
_MAPS: dict[str, type[NumericMap]] = {"quantile": QuantileMap, "standard": StandardMap}


@dataclass(frozen=True, eq=False)
class Cells:
    """One column, encoded: ``score`` (N,) float32 and ``code`` (N,) int32, each only where the column has one."""

    score: np.ndarray | None = None
    code: np.ndarray | None = None


class FeatureColumn(Protocol):
    """What a model sees of a column: at most one score and one code."""

    @property
    def n_numeric(self) -> int:
        """0 or 1: how many scores."""
        ...

    @property
    def levels(self) -> tuple[int, ...]:
        """The number of codes, where there is a code."""
        ...

    def encode(self, column: pa.ChunkedArray, rng: np.random.Generator) -> Cells:
        """Return the cells of the rows."""
        ...

    def decode(self, cells: Cells) -> pa.Array:
        """Return an array of exactly the column's type."""
        ...

    def arrays(self) -> Arrays:
        """Return the state as arrays; ``from_arrays`` reads them back."""
        ...


@dataclass(frozen=True, eq=False)
class FixedColumn:
    """One value in every row, or none at all."""

    value: pa.Array

    def fill(self, n: int) -> pa.Array:
        """Return the value ``n`` times."""
        return repeat(self.value, n)

    def arrays(self) -> Arrays:
        """Return the state as arrays."""
        return {"value": packed(self.value)}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> FixedColumn:
        """Return the codec that ``arrays`` describes."""
        return cls(unpacked(arrays["value"]))


@dataclass(frozen=True, eq=False)
class LevelColumn:
    """Codes of the frequent levels; one code more, the last, where missing cells were seen.

    A value that is no level (rare, or not seen) encodes to the ``nearest`` level, or to a random one in proportion
    to ``weights``: it can then never be generated.
    """

    known: Levels
    weights: np.ndarray
    missing: bool
    nearest: bool
    nan: bool

    @property
    def n_numeric(self) -> int:
        """None."""
        return 0

    @property
    def levels(self) -> tuple[int, ...]:
        """The number of codes."""
        return (len(self.known) + self.missing,)

    def encode(self, column: pa.ChunkedArray, rng: np.random.Generator) -> Cells:
        """Return the codes."""
        codes, valid = self.known.index(column)
        codes = np.where(valid, codes, len(self.known) if self.missing else -1)
        draws = rng.random(len(codes))
        strangers = np.flatnonzero(codes < 0)
        if not len(self.known):
            codes[strangers] = 0
        elif len(strangers):
            upto = np.cumsum(self.weights)
            codes[strangers] = np.searchsorted(upto[:-1], draws[strangers] * upto[-1], side="right")
            if self.nearest:
                numbers = strangers[valid[strangers]]
                codes[numbers] = self.known.nearest(column)[numbers]
        return Cells(code=codes.astype(np.int32))

    def decode(self, cells: Cells) -> pa.Array:
        """Return the levels' values."""
        assert cells.code is not None
        codes = cells.code.astype(np.int64)
        out = self.known.emit(codes, codes == len(self.known))
        return with_nan(out) if self.nan else out

    def arrays(self) -> Arrays:
        """Return the state as arrays."""
        flags = np.array([self.missing, self.nearest, self.nan])
        return {**self.known.arrays(), "weights": self.weights, "flags": flags}

    @classmethod
    def from_arrays(cls, arrays: Arrays, *, type: pa.DataType) -> LevelColumn:
        """Return the codec that ``arrays`` describes."""
        missing, nearest, nan = (bool(flag) for flag in arrays["flags"])
        return cls(Levels.from_arrays(arrays, type=type), arrays["weights"], missing, nearest, nan)


@dataclass(frozen=True, eq=False)
class NumberColumn:
    """A score; and where missing cells were seen a code as well: 1 is missing, and the score is then 0."""

    type: pa.DataType
    grid: Grid | None
    map: NumericMap
    missing: bool
    nan: bool

    @property
    def n_numeric(self) -> int:
        """One score."""
        return 1

    @property
    def levels(self) -> tuple[int, ...]:
        """The "is missing" code, where there is one."""
        return (2,) if self.missing else ()

    def encode(self, column: pa.ChunkedArray, rng: np.random.Generator) -> Cells:
        """Return scores and the "is missing" codes."""
        numbers = to_physical(column)
        values = self.grid.index(numbers.values) if self.grid else numbers.values
        score = np.where(numbers.valid, self.map.forward(values, rng), np.float32(0))
        return Cells(score, (~numbers.valid).astype(np.int32) if self.missing else None)

    def decode(self, cells: Cells) -> pa.Array:
        """Return the numbers: on the column's grid, within the fitted range."""
        assert cells.score is not None
        values = self.map.backward(cells.score)
        if self.grid:
            values = self.grid.values(values)
        present = np.ones(len(values), dtype=bool) if cells.code is None else cells.code == 0
        if self.nan:
            values, present = np.where(present, values, np.nan), np.ones(len(values), dtype=bool)
        return from_physical(values, present, self.type)

    def arrays(self) -> Arrays:
        """Return the state as arrays."""
        grid = self.grid.arrays() if self.grid else {}
        kind = next(name for name, kind in _MAPS.items() if isinstance(self.map, kind))
        return {**self.map.arrays(), **grid, "flags": np.array([self.missing, self.nan]), "map": np.array([kind])}

    @classmethod
    def from_arrays(cls, arrays: Arrays, *, type: pa.DataType) -> NumberColumn:
        """Return the codec that ``arrays`` describes."""
        missing, nan = (bool(flag) for flag in arrays["flags"])
        grid = Grid.from_arrays(arrays, dtype=physical_dtype(type)) if "grid_step" in arrays else None
        return cls(type, grid, _MAPS[str(arrays["map"][0])].from_arrays(arrays), missing, nan)


def fit_levels(column: pa.ChunkedArray, *, min_rows: int, nullable: bool = True, nearest: bool = False) -> LevelColumn:
    """Return the codec of a column of levels: those of ``min_rows`` rows or more, or all if none is so frequent."""
    known, counts = Levels.of(column)
    frequent = np.flatnonzero(counts >= min_rows)
    if not len(frequent):
        frequent = np.arange(len(counts))
    missing = int(counts.sum()) < len(column)
    return LevelColumn(
        known.keep(frequent),
        counts[frequent].astype(np.float64),
        missing,
        nearest,
        missing and _uses_nan(column, nullable),
    )


def fit_numbers(
    column: pa.ChunkedArray, *, numeric: Numeric, min_rows: int, nullable: bool
) -> NumberColumn | LevelColumn:
    """Return the codec of a numeric column: levels where it has few distinct values, else scores."""
    numbers = to_physical(column)
    missing = not bool(numbers.valid.all())
    distinct, counts = numbers.distinct()
    del numbers
    rare = int(counts[counts < min_rows].sum())
    if not len(distinct) or (len(distinct) <= MAX_NUMBER_LEVELS and rare <= MAX_RARE_SHARE * counts.sum()):
        return fit_levels(column, min_rows=min_rows, nullable=nullable, nearest=True)
    grid = find_grid(distinct, bits=mantissa(column.type))
    fitted = _MAPS[numeric].fit(grid.index(distinct) if grid else distinct, counts)
    return NumberColumn(column.type, grid, fitted, missing, missing and _uses_nan(column, nullable))


def fit_fixed(column: pa.ChunkedArray) -> FixedColumn:
    """Return the codec of a constant column."""
    return FixedColumn(flat(column).slice(0, 1))


def _uses_nan(column: pa.ChunkedArray, nullable: bool) -> bool:
    """Whether missing floats are NaN here and not null: where all are, or the field allows no null."""
    if not types.is_floating(column.type):
        return False
    return not nullable or (column.null_count == 0 and bool(pc.any(pc.is_nan(column.cast(pa.float64()))).as_py()))
