"""The values that a column or a label may take, as codes and back to the exact Arrow type, dictionaries included.

May import data.physical, numpy and pyarrow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from synthgen.data.physical import flat, from_physical, is_number, to_physical
from synthgen.encode.grid import Arrays


def plain(array: pa.Array) -> pa.Array:
    """Return the array in a type of the same values that Arrow's kernels know: they have gaps for views and halves."""
    if types.is_string_view(array.type):
        return array.cast(pa.large_string())
    if types.is_binary_view(array.type):
        return array.cast(pa.large_binary())
    return array.cast(pa.float32()) if types.is_float16(array.type) else array


def repeat(array: pa.Array, n: int) -> pa.Array:
    """Return ``n`` copies of the one value of ``array``."""
    if types.is_null(array.type):
        return pa.nulls(n)
    if types.is_dictionary(array.type):
        return array.take(pa.array(np.zeros(n, dtype=np.int64)))
    return plain(array).take(pa.array(np.zeros(n, dtype=np.int64))).cast(array.type)


def with_nan(array: pa.Array) -> pa.Array:
    """Return a float array with NaN in place of its nulls."""
    values = array.cast(pa.float64()).to_numpy(zero_copy_only=False)  # a null becomes NaN here
    return pa.array(values.astype(array.type.to_pandas_dtype()), type=array.type)


def packed(array: pa.Array) -> np.ndarray:
    """Return an Arrow array of any type as bytes (Arrow IPC); ``unpacked`` reads them back."""
    sink = pa.BufferOutputStream()
    table = pa.table({"value": array})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return np.frombuffer(sink.getvalue(), dtype=np.uint8)


def unpacked(data: np.ndarray) -> pa.Array:
    """Return the array that ``packed`` wrote; raises pyarrow.ArrowInvalid where it is damaged."""
    table = pa.ipc.open_stream(pa.py_buffer(data.tobytes())).read_all()
    table.validate(full=True)
    return flat(table.column("value"))


@dataclass(frozen=True, eq=False)
class Levels:
    """Level i is ``values[i]``; in a dictionary column it is the entry ``positions[i]`` of the whole ``dictionary``."""

    type: pa.DataType
    values: pa.Array
    dictionary: pa.Array | None = None
    positions: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.values)

    @classmethod
    def of(cls, column: pa.ChunkedArray | pa.Array) -> tuple[Levels, np.ndarray]:
        """Return the column's distinct values (sorted, or in dictionary order) as levels, and the rows of each."""
        array = flat(column)
        if types.is_dictionary(array.type):
            codes, valid = _dictionary_codes(array, array.dictionary)
            counts = np.bincount(codes[valid], minlength=len(array.dictionary))
            seen = np.flatnonzero(counts)
            return cls.at(array.type, array.dictionary, seen), counts[seen]
        if is_number(array.type):
            distinct, counts = to_physical(array).distinct()
            return cls(array.type, from_physical(distinct, np.ones(len(distinct), dtype=bool), array.type)), counts
        counted = pc.value_counts(plain(array).drop_null())
        values = counted.field("values")
        order = pc.sort_indices(values)
        counts = counted.field("counts").take(order).to_numpy()
        return cls(array.type, values.take(order).cast(array.type)), counts

    @classmethod
    def at(cls, kind: pa.DataType, dictionary: pa.Array, positions: np.ndarray) -> Levels:
        """Return the levels that are these entries of a dictionary."""
        values = plain(dictionary).take(pa.array(positions, type=pa.int64())).cast(dictionary.type)
        return cls(kind, values, dictionary, positions)

    def keep(self, chosen: np.ndarray) -> Levels:
        """Return the levels at the integer positions ``chosen``."""
        if self.dictionary is not None and self.positions is not None:
            return Levels.at(self.type, self.dictionary, self.positions[chosen])
        values = plain(self.values).take(pa.array(chosen, type=pa.int64())).cast(self.type)
        return Levels(self.type, values)

    def index(self, column: pa.ChunkedArray | pa.Array) -> tuple[np.ndarray, np.ndarray]:
        """Return each row's level, (N,) int64 with -1 for a value that is none, and which rows have a value at all."""
        array = flat(column)
        if types.is_dictionary(array.type):
            return _dictionary_codes(array, self.values)
        if is_number(array.type):
            numbers, levels = to_physical(array), to_physical(self.values).values
            if not len(levels):
                return np.full(len(array), -1), numbers.valid
            at = np.minimum(np.searchsorted(levels, numbers.values), len(levels) - 1)
            return np.where(levels[at] == numbers.values, at, -1), numbers.valid
        codes = pc.index_in(plain(array), value_set=plain(self.values))
        return _filled(codes), np.asarray(array.is_valid())

    def nearest(self, column: pa.ChunkedArray | pa.Array) -> np.ndarray:
        """Return the level (N,) int64 closest in value; the lower of two equally close. For numbers only."""
        values, levels = to_physical(column).values, to_physical(self.values).values
        above = np.searchsorted(levels, values)
        left, right = np.maximum(above - 1, 0), np.minimum(above, len(levels) - 1)
        closer = np.abs(_distance(levels[right], values)) < np.abs(_distance(values, levels[left]))
        return np.where((above == 0) | closer, right, left)

    def emit(self, codes: np.ndarray, missing: np.ndarray) -> pa.Array:
        """Return an array of exactly the column's type: level ``codes`` (N,), null where ``missing``."""
        if not len(self.values):
            return _empty(self, len(codes))
        if self.dictionary is not None and self.positions is not None:
            indices = pa.array(self.positions[np.where(missing, 0, codes)], mask=missing).cast(self.type.index_type)
            return pa.DictionaryArray.from_arrays(indices, self.dictionary, ordered=self.type.ordered)
        return plain(self.values).take(pa.array(codes, type=pa.int64(), mask=missing)).cast(self.type)

    def arrays(self) -> Arrays:
        """Return the levels as arrays; ``from_arrays`` reads them back."""
        if self.dictionary is None or self.positions is None:
            return {"levels": packed(self.values)}
        return {"dictionary": packed(self.dictionary), "positions": self.positions}

    @classmethod
    def from_arrays(cls, arrays: Arrays, *, type: pa.DataType) -> Levels:
        """Return the levels that ``arrays`` describes."""
        if "dictionary" in arrays:
            return cls.at(type, unpacked(arrays["dictionary"]), arrays["positions"])
        return cls(type, unpacked(arrays["levels"]))


def _empty(levels: Levels, n: int) -> pa.Array:
    """All missing; a dictionary column keeps its dictionary."""
    if levels.dictionary is None:
        return pa.nulls(n, levels.type)
    nothing = pa.nulls(n, levels.type.index_type)
    return pa.DictionaryArray.from_arrays(nothing, levels.dictionary, ordered=levels.type.ordered)


def _dictionary_codes(array: pa.Array, levels: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Each row's place in ``levels``, found by value, for the array's dictionary may be another one."""
    entries = plain(array.dictionary)
    places = np.append(_filled(pc.index_in(entries, value_set=plain(levels))), -1)
    known = np.append(np.asarray(entries.is_valid()), False)  # the last entry stands for a null index
    indices = array.indices.cast(pa.int64()).fill_null(len(entries)).to_numpy(zero_copy_only=False)
    return places[indices], known[indices]


def _filled(codes: pa.Array) -> np.ndarray:
    return np.asarray(codes.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False))


def _distance(right: np.ndarray, left: np.ndarray) -> np.ndarray:
    """``right - left`` as float64: halved for doubles, modulo 2 ** 64 for integers, so that nothing overflows."""
    if right.dtype == np.float64:
        return right / 2 - left / 2
    return (right.astype(np.uint64) - left.astype(np.uint64)).astype(np.float64)
