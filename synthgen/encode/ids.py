"""Fresh ids: new values of the form that an id column has, none of them in the fitted rows, no two alike.

May import data.physical, numpy, pyarrow and its own room.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from synthgen.data.physical import flat, from_physical, is_number, limits, sorted_unique, to_physical
from synthgen.encode.grid import Arrays, Grid, find_grid, mantissa, physical_dtype
from synthgen.encode.levels import Levels, plain
from synthgen.encode.patterns import PRIVATE_BYTE, Form, FreeForm, NumberedForm, RankedForm
from synthgen.encode.unseen import Unseen
from synthgen.seeding import numpy_rng

MAX_LENGTH = 256  # characters of an id that are looked at
_CHUNK = 65_536
_NEAR = 2**32  # how many steps above the highest integer new ones may lie
_DAYS = (-719_162, 2_932_896)  # the years 1 to 9999
_PER_DAY = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}


class IdColumn(Protocol):
    """A source of fresh values."""

    def fill(self, n: int, *, name: str, seed: int, part: tuple[int, int]) -> pa.Array:
        """Return ``n`` new values; ``part`` (i, of) names this label's share, which no other label draws from."""
        ...

    def arrays(self) -> Arrays:
        """Return the state as arrays; ``from_arrays`` reads them back."""
        ...

    @classmethod
    def from_arrays(cls, arrays: Arrays, *, type: pa.DataType) -> Self:
        """Return the column that ``arrays`` describes."""
        ...


@dataclass(frozen=True, eq=False)
class CountedIds:
    """Integers, moments, decimals and short decimal floats: free points of their grid, exact to the bit."""

    type: pa.DataType
    grid: Grid
    unseen: Unseen

    @classmethod
    def fit(cls, type: pa.DataType, distinct: np.ndarray, grid: Grid) -> Self:
        """Return the ids' grid, stretched to what the type can store."""
        bottom, top = _bounds(type)
        if grid.low >= 0:
            bottom = max(bottom, 0)
        base = grid.low - (grid.low - bottom) // grid.step * grid.step
        size = min((top - base) // grid.step + 1, 2**64 - 1)
        wide = Grid(grid.dtype, base, base + (size - 1) * grid.step, grid.step, grid.decimals)
        near = _NEAR if types.is_integer(type) else max(4 * grid.top, 1024 * len(distinct))
        edge = (grid.high - base) // grid.step + near
        points = grid.index(distinct) + np.uint64((grid.low - base) // grid.step)
        return cls(type, wide, Unseen.fit(points, size=size, edges=[edge]))

    def fill(self, n: int, *, name: str, seed: int, part: tuple[int, int]) -> pa.Array:
        """Return ``n`` values that were not seen."""
        values = self.grid.values(self.unseen.draw(n, name=name, seed=seed, part=part))
        return from_physical(values, np.ones(n, dtype=bool), self.type)

    def arrays(self) -> Arrays:
        """Return the state as arrays; ``from_arrays`` reads them back."""
        return {**self.grid.arrays(), **self.unseen.arrays()}

    @classmethod
    def from_arrays(cls, arrays: Arrays, *, type: pa.DataType) -> Self:
        """Return the column that ``arrays`` describes."""
        return cls(type, Grid.from_arrays(arrays, dtype=physical_dtype(type)), Unseen.from_arrays(arrays))


@dataclass(frozen=True, eq=False)
class TextIds:
    """Strings and bytes of one ``form``."""

    type: pa.DataType
    form: Form

    @classmethod
    def fit(cls, column: pa.Array) -> Self:
        """Return the narrowest form that all strings have."""
        characters, lengths = _characters(column)
        longer = not types.is_fixed_size_binary(column.type)
        forms: tuple[type[Form], ...] = (NumberedForm, RankedForm, FreeForm)
        fitted = (form.fit(characters, lengths, longer=longer) for form in forms)
        return cls(column.type, next(form for form in fitted if form is not None))

    def fill(self, n: int, *, name: str, seed: int, part: tuple[int, int]) -> pa.Array:
        """Return ``n`` new strings."""
        return _values(self.form.draw(n, name=name, seed=seed, part=part), self.type)

    def arrays(self) -> Arrays:
        """Return the state as arrays; ``from_arrays`` reads them back."""
        return {**self.form.arrays(), "form": np.array([type(self.form).__name__])}

    @classmethod
    def from_arrays(cls, arrays: Arrays, *, type: pa.DataType) -> Self:
        """Return the column that ``arrays`` describes."""
        forms: dict[str, type[Form]] = {form.__name__: form for form in (NumberedForm, RankedForm, FreeForm)}
        return cls(type, forms[str(arrays["form"][0])].from_arrays(arrays))


@dataclass(frozen=True, eq=False)
class BetweenIds:
    """Arbitrary floats (a pandas index may hold them): new ones between the lowest and the highest."""

    type: pa.DataType
    ends: np.ndarray

    def fill(self, n: int, *, name: str, seed: int, part: tuple[int, int]) -> pa.Array:
        """Return ``n`` new floats."""
        share = numpy_rng(seed, "between", name, *part).random(n)
        return from_physical(self.ends[0] * (1 - share) + self.ends[1] * share, np.ones(n, dtype=bool), self.type)

    def arrays(self) -> Arrays:
        """Return the state as arrays; ``from_arrays`` reads them back."""
        return {"ends": self.ends}

    @classmethod
    def from_arrays(cls, arrays: Arrays, *, type: pa.DataType) -> Self:
        """Return the column that ``arrays`` describes."""
        return cls(type, arrays["ends"])


@dataclass(frozen=True, eq=False)
class DrawnIds:
    """Row names of a closed set (a boolean or categorical pandas index): nothing new exists, so seen ones are drawn."""

    known: Levels

    def fill(self, n: int, *, name: str, seed: int, part: tuple[int, int]) -> pa.Array:
        """Return ``n`` of the known values."""
        codes = numpy_rng(seed, "drawn", name, *part).integers(0, len(self.known), size=n)
        return self.known.emit(codes, np.zeros(n, dtype=bool))

    def arrays(self) -> Arrays:
        """Return the state as arrays; ``from_arrays`` reads them back."""
        return self.known.arrays()

    @classmethod
    def from_arrays(cls, arrays: Arrays, *, type: pa.DataType) -> Self:
        """Return the column that ``arrays`` describes."""
        return cls(Levels.from_arrays(arrays, type=type))


def fit_ids(column: pa.ChunkedArray) -> IdColumn:
    """Return the source of fresh ids for a column with at least one value."""
    array = flat(column)
    kind = array.type
    if types.is_dictionary(kind) or types.is_boolean(kind):
        return DrawnIds(Levels.of(array)[0])
    if not is_number(kind):
        return TextIds.fit(array.drop_null() if array.null_count else array)
    numbers = to_physical(array)
    distinct = sorted_unique(numbers.values[numbers.valid])
    grid = find_grid(distinct, bits=mantissa(kind))
    return CountedIds.fit(kind, distinct, grid) if grid else BetweenIds(kind, distinct[[0, -1]])


def _bounds(kind: pa.DataType) -> tuple[int, int]:
    """The lowest and highest physical value of a type, dates within the years 1 to 9999."""
    whole_type = limits(kind)
    if whole_type:
        return whole_type
    if types.is_floating(kind):
        return -(2 ** mantissa(kind)), 2 ** mantissa(kind)
    if types.is_decimal(kind):
        return -(10 ** min(kind.precision, 18)) + 1, 10 ** min(kind.precision, 18) - 1
    if types.is_date32(kind):
        return _DAYS
    per_day = _PER_DAY["ms" if types.is_date64(kind) else kind.unit]
    if types.is_time(kind):
        return 0, per_day - 1
    if types.is_duration(kind):
        return -(2**62), 2**62
    return max(_DAYS[0] * per_day, -(2**63) + 1), min((_DAYS[1] + 1) * per_day - 1, 2**63 - 1)


def _characters(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Values without nulls as code points (N, L), 0 after the end, and their lengths (N,).

    ASCII stays uint8, for a table may have millions of ids. Bytes that are no text become code points of a private
    plane, so that a zero byte is not an end.
    """
    array = plain(column)
    raw = array.cast(pa.large_binary())
    offsets, data = raw.buffers()[1:]
    starts = np.frombuffer(offsets, dtype=np.int64)[raw.offset : raw.offset + len(raw) + 1]
    content = np.frombuffer(data or b"", dtype=np.uint8)[starts[0] : starts[-1]]
    ascii_only = not len(content) or (content.min() > 0 and content.max() < 128)
    if not ascii_only and (types.is_string(array.type) or types.is_large_string(array.type)):
        return _wide(array)
    lengths = np.minimum(np.diff(starts), MAX_LENGTH)
    characters = np.zeros((len(raw), max(int(lengths.max()), 1)), dtype=np.uint8)
    at = np.arange(characters.shape[1])
    for begin in range(0, len(raw), _CHUNK):  # chunks of rows: the places take eight times the room of the bytes
        rows = slice(begin, begin + _CHUNK)
        inside = at < lengths[rows, None]
        characters[rows][inside] = content[(starts[:-1][rows, None] - starts[0] + at)[inside]]
    if ascii_only:
        return characters, lengths
    return np.where(at < lengths[:, None], characters.astype(np.uint32) + PRIVATE_BYTE, np.uint32(0)), lengths


def _wide(array: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    lengths = np.minimum(pc.utf8_length(array).to_numpy(zero_copy_only=False), MAX_LENGTH).astype(np.int64)
    texts = pc.utf8_slice_codeunits(array, 0, MAX_LENGTH).to_numpy(zero_copy_only=False)
    width = int(lengths.max())
    return np.ascontiguousarray(texts.astype(f"U{width}")).view(np.uint32).reshape(len(texts), width), lengths


def _values(characters: np.ndarray, kind: pa.DataType) -> pa.Array:
    """Code points (N, L) as an array of exactly the type; of a byte only the low eight bits count."""
    characters = np.ascontiguousarray(characters, dtype=np.uint32)
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return pa.array(characters.view(f"U{characters.shape[1]}").ravel(), type=pa.string()).cast(kind)
    lengths = np.count_nonzero(characters, axis=1)
    offsets = np.append(0, np.cumsum(lengths)).astype(np.int64)
    data = (characters[characters != 0] & 0xFF).astype(np.uint8)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    binary = pa.Array.from_buffers(pa.large_binary(), len(characters), buffers)
    return binary.cast(pa.binary()).cast(kind) if types.is_fixed_size_binary(kind) else binary.cast(kind)
