"""Content hashes of rows: equal rows hash alike wherever they stand, in whatever chunks, on every machine.

May import data.physical.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from synthgen.data.physical import is_number, to_physical
from synthgen.seeding import derive

_ROWS = 500_000  # at a time: what hashing needs beside the table stays small
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MISSING = np.uint64(0x5851F42D4C957F2D)


def mix(values: np.ndarray) -> np.ndarray:
    """Return SplitMix64's finalizer of uint64 ``values``: every input bit reaches every output bit."""
    x = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))


def row_hashes(table: pa.Table) -> np.ndarray:
    """Return (N,) uint64 hashes of the rows of ``table``, by column name and value."""
    total = np.zeros(len(table), dtype=np.uint64)
    for start in range(0, len(table), _ROWS):
        part = total[start : start + _ROWS]
        for name in table.schema.names:
            values = table.column(name).slice(start, _ROWS)
            part += mix(column_hashes(values) + np.uint64(derive(0, "column", name)))
    return mix(total)


def column_hashes(column: pa.ChunkedArray) -> np.ndarray:
    """Return (N,) uint64 hashes of a column's values; a missing value has a hash of its own."""
    kind = column.type
    if types.is_dictionary(kind) or not is_number(kind):
        return _text_hashes(column)
    if types.is_decimal(kind):
        column, kind = column.cast(pa.string()), pa.string()
        return _text_hashes(column)
    numbers = to_physical(column)
    bits = (numbers.values + 0).view(np.uint64)  # -0.0 + 0 is 0.0
    return np.where(numbers.valid, mix(bits + _GOLDEN), _MISSING)


def _text_hashes(column: pa.ChunkedArray) -> np.ndarray:
    import pandas as pd

    if types.is_null(column.type):
        return np.full(len(column), _MISSING)
    if not types.is_dictionary(column.type):
        column = column.dictionary_encode()
    column = column.unify_dictionaries()
    out = []
    for chunk in column.chunks:
        values = chunk.dictionary
        if is_number(values.type):
            hashed = column_hashes(pa.chunked_array([values]))
        else:
            # bytes, and text as its UTF-8 bytes, hash alike under every pandas version and string type
            raw = values.cast(pa.large_binary()) if not types.is_fixed_size_binary(values.type) else values
            hashed = pd.util.hash_array(np.array(raw.to_pylist(), dtype=object), categorize=False)
        codes = pc.fill_null(chunk.indices, 0).to_numpy(zero_copy_only=False).astype(np.int64)
        valid = np.asarray(chunk.is_valid())
        picked = hashed[codes] if len(hashed) else np.zeros(len(codes), dtype=np.uint64)
        out.append(np.where(valid, picked, _MISSING))
    return np.concatenate(out) if out else np.zeros(0, dtype=np.uint64)
