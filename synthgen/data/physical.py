"""Arrow columns as numpy numbers and back, to the exact Arrow type. The one place that knows how a type is stored.

May import errors, numpy and pyarrow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from synthgen.errors import DataError


@dataclass(frozen=True)
class Physical:
    """A column's numbers: ``values`` (N,) float64, int64 or uint64, 0 where missing; ``valid`` (N,) bool."""

    values: np.ndarray
    valid: np.ndarray

    def distinct(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the sorted distinct values (D,) that are not missing, and how many rows (D,) int64 have each.

        As numpy's ``unique``, in half the memory where most values differ.
        """
        ordered = self.values[self.valid]
        ordered.sort()
        new = np.ones(len(ordered), dtype=bool)
        np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
        first = np.flatnonzero(new)
        counts = np.full(len(first), len(ordered))
        counts[:-1] = first[1:]
        counts -= first
        return ordered if new.all() else ordered[first], counts


def sorted_unique(values: np.ndarray) -> np.ndarray:
    """Return the sorted distinct values of ``values`` (N,), which holds no NaN.

    As numpy's ``unique``, whose hash table takes a hundred times as long and six times the memory for millions that
    differ.
    """
    ordered = np.sort(values)
    new = np.ones(len(ordered), dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    return ordered if new.all() else ordered[new]


def is_number(kind: pa.DataType) -> bool:
    """Return whether ``to_physical`` knows the type."""
    return bool(
        types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_boolean(kind)
        or (types.is_temporal(kind) and not types.is_interval(kind))
        or types.is_decimal(kind)
    )


def flat(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Return the column as one array."""
    if isinstance(column, pa.ChunkedArray):
        return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    return column


def widened(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return decimals of 32 and 64 bits as decimal128, which more of Arrow's functions know; else the column."""
    return column.cast(pa.decimal128(38, column.type.scale)) if is_narrow(column.type) else column


def is_narrow(kind: pa.DataType) -> bool:
    """Return whether a type is a decimal of 32 or 64 bits."""
    return bool(types.is_decimal(kind) and kind.bit_width < 128)


def plain_levels(table: pa.Table) -> pa.Table:
    """Return the table with dictionaries that hold each entry once and no null, which parquet and pandas ask for."""
    for k, field in enumerate(table.schema):
        if types.is_dictionary(field.type):
            chunks = [_plain_levels(chunk) for chunk in table.column(k).chunks]
            table = table.set_column(k, field, pa.chunked_array(chunks, field.type))
    return table


def _plain_levels(chunk: pa.DictionaryArray) -> pa.DictionaryArray:
    entries = chunk.dictionary
    try:
        coded = flat(widened(pa.chunked_array([entries])).dictionary_encode())
    except pa.ArrowNotImplementedError:  # nested values and the like, which are refused by name
        return chunk
    there = np.flatnonzero(coded.is_valid())
    known = coded.indices.take(pa.array(there)).to_numpy()
    first = there[np.unique(known, return_index=True)[1]]
    if len(first) == len(entries):
        return chunk
    indices = coded.indices.take(chunk.indices).cast(chunk.type.index_type)
    return pa.DictionaryArray.from_arrays(indices, entries.take(pa.array(first)), ordered=chunk.type.ordered)


def to_physical(column: pa.ChunkedArray | pa.Array) -> Physical:
    """Return the numbers that a column stores; NaN counts as missing. Dates and times are in their own unit.

    Raises DataError for a type that is not a number, or a decimal of more than 18 digits' worth of value.
    """
    array = flat(column)
    kind = array.type
    valid = np.asarray(array.is_valid())
    if types.is_floating(kind):
        values = array.cast(pa.float64()).to_numpy(zero_copy_only=False)
        missing = np.isnan(values)
        return Physical(np.where(missing, 0.0, values), valid & ~missing)
    if types.is_unsigned_integer(kind):
        storage = pa.uint64()
    elif types.is_decimal(kind):
        array, storage = _unscaled(array), pa.int64()
    elif is_number(kind):
        storage = pa.int64()
        if types.is_temporal(kind):
            array = array.view(pa.int32() if kind.bit_width == 32 else pa.int64())
    else:
        raise DataError(f"a column of type {kind} holds no numbers")
    values = array.cast(storage).fill_null(0).to_numpy(zero_copy_only=False)
    return Physical(values, valid)


def from_physical(values: np.ndarray, valid: np.ndarray, kind: pa.DataType) -> pa.Array:
    """Return an array of exactly the type ``kind`` from what ``to_physical`` gave."""
    mask = ~np.asarray(valid, dtype=bool)
    if types.is_floating(kind):
        dtype = kind.to_pandas_dtype()
        return pa.array(np.asarray(values, dtype=dtype), type=kind, mask=mask)
    if types.is_boolean(kind):
        return pa.array(np.asarray(values) != 0, type=kind, mask=mask)
    if types.is_unsigned_integer(kind):
        return pa.array(np.asarray(values, dtype=np.uint64), type=pa.uint64(), mask=mask).cast(kind)
    whole = pa.array(np.asarray(values, dtype=np.int64), type=pa.int64(), mask=mask)
    if types.is_decimal(kind):
        return _rescaled(whole, kind)
    if types.is_temporal(kind):
        return whole.cast(pa.int32()).view(kind) if kind.bit_width == 32 else whole.view(kind)
    return whole.cast(kind)


def limits(kind: pa.DataType) -> tuple[int, int] | None:
    """Return the least and the largest value that an integer type can store, or None."""
    if not types.is_integer(kind):
        return None
    info = np.iinfo(kind.to_pandas_dtype())
    return int(info.min), int(info.max)


def _unscaled(array: pa.Array) -> pa.Array:
    """A decimal as the integer that it stores: 12.30 with scale 2 is 1230."""
    try:
        wide = array.cast(pa.decimal128(38, array.type.scale))
    except pa.ArrowInvalid:  # decimal256 reaches further than that
        raise _too_wide(array.type) from None
    _, data = wide.buffers()
    words = np.frombuffer(data, dtype=np.int64).reshape(-1, 2)[wide.offset : wide.offset + len(wide)]
    low, high = np.where(np.asarray(wide.is_valid())[:, None], words, 0).T  # two's complement, low word first
    if not np.array_equal(high, low >> 63):
        raise _too_wide(array.type)
    return pa.array(low, mask=~np.asarray(wide.is_valid()))


def _too_wide(kind: pa.DataType) -> DataError:
    return DataError(f"a column of type {kind} holds values of more than 18 digits; cast it to double")


def _rescaled(whole: pa.Array, kind: pa.DataType) -> pa.Array:
    low = whole.fill_null(0).to_numpy(zero_copy_only=False)
    words = np.ascontiguousarray(np.stack([low, low >> 63], axis=1))
    wide = pa.Array.from_buffers(pa.decimal128(38, kind.scale), len(low), [None, pa.py_buffer(words)])
    return pc.if_else(whole.is_valid(), wide, None).cast(kind)
