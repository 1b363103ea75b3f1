"""One column in another type, where no value changes by it; else the first reason why not.

May import data.physical, numpy and pyarrow.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types


def same_values(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Return ``column`` in the type ``kind``, every value and every missing one kept.

    Numbers go to numbers, text to text (categories or plain), dates to dates. Raises ValueError with the reason
    where the two kinds have different meanings, or where a value would not come back.
    """
    if column.type == kind:
        return column
    if types.is_null(column.type) or column.null_count == len(column):
        return pa.chunked_array([pa.nulls(len(column), kind)], kind)
    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    stored = kind.value_type if types.is_dictionary(kind) else kind
    if column.type != stored:
        column = _cast(column, stored)
    if not types.is_dictionary(kind):
        return column
    try:
        return column.dictionary_encode().cast(kind) if column.type == stored else column
    except pa.ArrowException:
        raise ValueError(f"its values are more than {kind} can count") from None


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    one, other = _meaning(column.type), _meaning(kind)
    if one != other or one is None:
        raise ValueError(f"{one or 'a value of that type'} cannot stand for {other or 'one of the other'}")
    try:
        there = column.cast(kind)
        back = there.cast(column.type)
    except pa.ArrowException:
        raise ValueError("some of its values do not fit") from None
    changed = _differ(column, back)
    if types.is_float32(kind) and changed.any():  # a text file holds the shortest digits of a float
        short = there.to_numpy()
        changed &= short.astype(str).astype(np.float64) != column.cast(pa.float64()).to_numpy()
    if changed.any():
        raise ValueError(f"{int(changed.sum())} of its {len(column)} values would change")
    return there


def _differ(one: pa.ChunkedArray, other: pa.ChunkedArray) -> np.ndarray:
    """(N,) bool: where two columns of one type differ; missing equals missing, NaN equals NaN."""
    unequal = pc.fill_null(pc.not_equal(one, other), False)
    found = np.asarray(unequal.to_numpy()) | (np.asarray(one.is_null()) != np.asarray(other.is_null()))
    if types.is_floating(one.type):
        both = pc.and_(pc.is_nan(one), pc.is_nan(other))
        found &= ~np.asarray(pc.fill_null(both, False).to_numpy())
    return np.asarray(found, dtype=bool)


def _meaning(kind: pa.DataType) -> str | None:
    if types.is_boolean(kind):
        return "a truth value"
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return "a number"
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return "text"
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return "bytes"
    if types.is_timestamp(kind):
        return "a moment in a time zone" if kind.tz else "a date"
    if types.is_date(kind):
        return "a date"
    if types.is_time(kind):
        return "a time of day"
    return "a span of time" if types.is_duration(kind) else None
