"""The datasets that everything passes around: frozen, with their labels, schema and exact Arrow types.

May import errors, seeding and its own room; torch only inside ``to_torch``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from synthgen.data.hashing import row_hashes
from synthgen.data.physical import flat, is_number, to_physical
from synthgen.data.schema import MAX_CLASSES, Label, TableSchema, infer_schema
from synthgen.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    import torch


@dataclass(frozen=True, eq=False)
class TabularDataset:
    """A table with a label column. ``classes`` are its label values, sorted; they stay fixed under ``take``."""

    table: pa.Table
    schema: TableSchema
    classes: tuple[Label, ...]

    @property
    def label(self) -> str:
        """The name of the label column."""
        return self.schema.label

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @cached_property
    def label_codes(self) -> np.ndarray:
        """(N,) int32: each row's index into ``classes``."""
        values = _plain(self.table.column(self.label))
        codes = pc.index_in(values, value_set=pa.array(list(self.classes), type=values.type))
        return np.asarray(flat(codes).to_numpy(zero_copy_only=False), dtype=np.int32)

    def counts(self) -> dict[Label, int]:
        """Return rows per class; every class is there, 0 included."""
        return dict(zip(self.classes, np.bincount(self.label_codes, minlength=len(self.classes)).tolist(), strict=True))

    def take(self, rows: np.ndarray) -> TabularDataset:
        """Return the rows at the integer positions (or where the bool mask is true), in that order."""
        rows = np.asarray(rows)
        picked = (
            self.table.filter(pa.array(rows)) if rows.dtype == bool else self.table.take(pa.array(rows, pa.int64()))
        )
        return TabularDataset(picked, self.schema, self.classes)

    def of_class(self, label: Label) -> TabularDataset:
        """Return the rows of one class."""
        return self.take(self.label_codes == self.classes.index(label))

    def concat(self, *others: TabularDataset) -> TabularDataset:
        """Return these rows followed by the others', all of one schema."""
        tables = [self.table, *(other.table for other in others if len(other))]
        return TabularDataset(pa.concat_tables(tables), self.schema, self.classes)

    def fingerprint(self) -> str:
        """Return the sha256 (hex) of schema and content; the same in whatever files and chunks the rows came."""
        digest = hashlib.sha256(json.dumps(self.schema.to_json(), sort_keys=True).encode())
        digest.update(row_hashes(self.table).tobytes())
        return digest.hexdigest()

    def feature_hashes(self) -> np.ndarray:
        """Return (N,) uint64 content hashes of the rows' features: ids and the label left out."""
        names = [column.name for column in self.schema.features]
        return row_hashes(self.table.select(names))

    def to_arrow(self) -> pa.Table:
        """Return the rows as an Arrow table of the input's schema."""
        return self.table

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows as a frame, with the dtypes that the input's own pandas metadata names."""
        frame: pd.DataFrame = self.table.to_pandas()
        return frame

    def to_torch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return features (N, F) float32, missing as NaN and categories as codes, and label codes (N,) int64."""
        import torch

        columns = [self._numbers(column.name) for column in self.schema.features]
        stacked = np.stack(columns, axis=1) if columns else np.empty((len(self), 0), dtype=np.float32)
        return torch.from_numpy(stacked), torch.from_numpy(self.label_codes.astype(np.int64))

    def _numbers(self, name: str) -> np.ndarray:
        column = self.table.column(name)
        if types.is_dictionary(column.type) or not is_number(column.type):
            encoded = column if types.is_dictionary(column.type) else column.dictionary_encode()
            column = pa.chunked_array(
                [chunk.indices.cast(pa.int32()) for chunk in encoded.unify_dictionaries().chunks], pa.int32()
            )
        numbers = to_physical(column)
        return np.where(numbers.valid, numbers.values.astype(np.float64), np.nan).astype(np.float32)


def from_table(
    table: pa.Table, *, label: str, drop: Iterable[str] = (), categorical: Iterable[str] = ()
) -> TabularDataset:
    """Return the dataset of an Arrow table: schema inferred, label checked.

    Raises DataError where the table is empty, a column cannot be balanced, or the label is missing in some row,
    continuous, of one class only or of more than 1,000.
    """
    if table.num_rows == 0:
        raise DataError("the dataset is empty: 0 rows")
    schema = infer_schema(table, label=label, drop=drop, categorical=categorical)
    table = table.select(schema.arrow.names).replace_schema_metadata(schema.arrow.metadata)
    return TabularDataset(table, schema, _classes(table.column(label), label))


def text_of(label: Label) -> str:
    """Return a label value as users write it: True is 'true', 1.0 is '1'."""
    if isinstance(label, bool):
        return str(label).lower()
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    return str(label)


def _classes(column: pa.ChunkedArray, name: str) -> tuple[Label, ...]:
    values = _plain(column)
    if types.is_nested(values.type) or types.is_temporal(values.type) or types.is_binary(values.type):
        raise DataError(f"label column {name!r} is of type {values.type}; a label is text, a whole number or a boolean")
    missing = values.null_count
    if types.is_floating(values.type):
        missing += pc.sum(pc.is_nan(values)).as_py() or 0
    if missing:
        raise DataError(f"label column {name!r} is missing in {missing} of {len(values)} rows; remove those rows first")
    distinct = pc.unique(values)
    if types.is_floating(values.type) and any(not value.is_integer() for value in distinct[:5000].to_pylist()):
        raise DataError(
            f"label column {name!r} is continuous ({len(distinct)} different values); bin it, or choose another --label"
        )
    if len(distinct) > MAX_CLASSES:
        raise DataError(
            f"label column {name!r} has {len(distinct)} classes, more than the {MAX_CLASSES} that can be balanced; "
            "choose another --label"
        )
    if len(distinct) < 2:
        raise DataError(f"label column {name!r} has one class only, {distinct[0].as_py()!r}; nothing to balance")
    return tuple(sorted(distinct.to_pylist()))


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(column.type.value_type) if types.is_dictionary(column.type) else column
