"""The datasets that everything passes around: frozen, with their labels, schema and exact Arrow types.

May import errors, seeding and its own room; torch only inside ``to_torch``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from synthgen.data.hashing import row_hashes
from synthgen.data.physical import flat, is_number, to_physical, widened
from synthgen.data.schema import MAX_CLASSES, Label, TableSchema, difference, infer_schema, listed
from synthgen.errors import ConfigError, DataError

if TYPE_CHECKING:
    import pandas as pd
    import torch


WHOLE = 200_000
_REMEDY = "remove those rows first, or leave them out with --drop-unlabelled"
_LABEL_TYPES = (
    types.is_string,
    types.is_large_string,
    types.is_integer,
    types.is_floating,
    types.is_boolean,
    types.is_null,
)


@dataclass(frozen=True, eq=False)
class TabularDataset:
    """A table with a label column. ``classes`` are its label values, sorted; they stay fixed under ``take``.

    ``take`` copies no rows: it notes which ``rows`` of ``base`` these are (all of them for None, in order), and the
    table is made when it is asked for. ``column`` makes a large one's column alone. ``notes`` say what reading it had
    to decide; parts of it carry none. ``repeated`` (N,) is true for added rows that are real ones again; None where
    none is.
    """

    base: pa.Table
    schema: TableSchema
    classes: tuple[Label, ...]
    rows: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    repeated: np.ndarray | None = None

    @cached_property
    def table(self) -> pa.Table:
        """The rows as an Arrow table of the input's schema."""
        return self.base if self.rows is None else self.base.take(pa.array(self.rows, pa.int64()))

    def column(self, name: str) -> pa.ChunkedArray:
        """Return one column."""
        if self.rows is None or len(self) <= WHOLE or "table" in self.__dict__:
            return self.table.column(name)
        return self.base.column(name).take(pa.array(self.rows, pa.int64()))

    def __reduce__(self) -> tuple[object, ...]:
        return TabularDataset, (self.table, self.schema, self.classes, None, (), self.repeated)

    @property
    def label(self) -> str:
        """The name of the label column."""
        return self.schema.label

    def __len__(self) -> int:
        return int(self.base.num_rows if self.rows is None else len(self.rows))

    @property
    def size_bytes(self) -> int:
        """The bytes that the table takes in memory."""
        return int((self.base if self.rows is None else self.table).nbytes)

    @cached_property
    def label_codes(self) -> np.ndarray:
        """(N,) int32: each row's index into ``classes``."""
        return codes_of(self.column(self.label), self.classes, name=self.label)

    def counts(self) -> dict[Label, int]:
        """Return rows per class; every class is there, 0 included."""
        return counts_of(self.label_codes, self.classes)

    def take(self, rows: np.ndarray) -> TabularDataset:
        """Return the rows at the integer positions from 0 on (or where the bool mask is true), in that order.

        Raises IndexError for a position that is none of theirs, or a mask of another length.
        """
        rows = np.asarray(rows)
        if rows.dtype == bool and len(rows) != len(self):
            raise IndexError(f"a mask of {len(rows)} for {len(self)} rows")
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64, copy=False)
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"row {rows.min() if rows.min() < 0 else rows.max()} of {len(self)}")
        repeated = None if self.repeated is None else self.repeated[rows]
        base, at = (self.table, rows) if "table" in self.__dict__ or self.rows is None else (self.base, self.rows[rows])
        taken = TabularDataset(base, self.schema, self.classes, at, repeated=repeated)
        taken.__dict__["label_codes"] = self.label_codes[rows]
        return taken

    def apart(self) -> TabularDataset:
        """Return these rows in memory of their own, so that the table that they were taken from can go."""
        if self.rows is None:
            return self
        table = self.table if len(self) else self.schema.arrow.empty_table()
        return TabularDataset(table, self.schema, self.classes, repeated=self.repeated)

    def of_class(self, label: Label) -> TabularDataset:
        """Return the rows of one class. Raises ConfigError for a label that is none."""
        if label not in self.classes:
            raise ConfigError(f"class {label!r} does not occur; classes are: {listed([*map(text_of, self.classes)])}")
        return self.take(self.label_codes == self.classes.index(label))

    def concat(self, *others: TabularDataset) -> TabularDataset:
        """Return these rows followed by the others'. Raises DataError where columns or classes are not the same."""
        for other in others:
            if not other.table.schema.equals(self.table.schema):
                raise DataError(f"the rows to add differ in {difference(self.table.schema, other.table.schema)}")
            unknown = [text_of(label) for label, n in other.counts().items() if n and label not in self.classes]
            if unknown:
                raise DataError(f"the rows to add are of a class that is not known here: {', '.join(unknown)}")
        parts = [self, *(other for other in others if len(other))]
        table = _one_dictionary(pa.concat_tables([part.table for part in parts]))
        again = [np.zeros(len(part), dtype=bool) if part.repeated is None else part.repeated for part in parts]
        repeated = np.concatenate(again) if any(part.repeated is not None for part in parts) else None
        return TabularDataset(table, self.schema, self.classes, repeated=repeated)

    def as_repeats(self) -> TabularDataset:
        """Return these rows, each said to be a real one again."""
        return replace(self, repeated=np.ones(len(self), dtype=bool))

    def fingerprint(self) -> str:
        """Return the sha256 (hex) of schema and content; the same in whatever files and chunks the rows came."""
        digest = hashlib.sha256(json.dumps(self.schema.to_json(), sort_keys=True).encode())
        digest.update(self._hashes(self.schema.arrow.names).tobytes())
        return digest.hexdigest()

    def feature_hashes(self) -> np.ndarray:
        """Return (N,) uint64 content hashes of the rows' features: ids and the label left out."""
        names = [column.name for column in self.schema.features]
        return self._hashes(names)

    def _hashes(self, names: Sequence[str]) -> np.ndarray:
        if self.rows is None or len(self) <= WHOLE:
            return row_hashes(self.table.select(names))
        return np.asarray(row_hashes(self.base.select(names))[self.rows])

    def to_arrow(self) -> pa.Table:
        """Return the rows as an Arrow table of the input's schema."""
        return self.table

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows as a frame, with the dtypes that the input's own pandas metadata names."""
        frame: pd.DataFrame = self.table.to_pandas()
        return frame

    def to_torch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return features (N, F) float32 and label codes (N,) int64.

        Missing is NaN; a categorical column gives its own codes, text its rank among the values of these rows.
        """
        import torch

        columns = [self._numbers(column.name) for column in self.schema.features]
        stacked = np.stack(columns, axis=1) if columns else np.empty((len(self), 0), dtype=np.float32)
        return torch.from_numpy(stacked), torch.from_numpy(self.label_codes.astype(np.int64))

    def _numbers(self, name: str) -> np.ndarray:
        column = self.table.column(name)
        scale = 1.0
        if types.is_dictionary(column.type):
            chunks = column.unify_dictionaries().chunks
            column = pa.chunked_array([chunk.indices.cast(pa.int32()) for chunk in chunks], pa.int32())
        elif types.is_decimal(column.type):
            scale = 10.0**-column.type.scale
        elif not is_number(column.type):
            column = _plain(column)
            column = pc.index_in(column, value_set=pc.drop_null(pc.unique(column)).sort())
        numbers = to_physical(column)
        return np.where(numbers.valid, scale * numbers.values.astype(np.float64), np.nan).astype(np.float32)


def from_table(
    table: pa.Table, *, label: str, drop: Iterable[str] = (), categorical: Iterable[str] = ()
) -> TabularDataset:
    """Return the dataset of an Arrow table: schema inferred, label checked.

    Raises DataError where the table is empty, a column cannot be balanced, or the label is missing in some row,
    continuous, of one class only or of more than 1,000.
    """
    if table.num_rows == 0:
        raise DataError("the dataset is empty: 0 rows; it needs rows of two classes or more")
    schema = infer_schema(table, label=label, drop=drop, categorical=categorical)
    kept = _one_dictionary(table.select(schema.arrow.names))
    return TabularDataset(kept, schema, classes_of(kept.column(label), name=label, remedy=_REMEDY))


def _one_dictionary(table: pa.Table) -> pa.Table:
    """The table with one dictionary per categorical column, where its chunks came with their own."""
    for name, column in zip(table.schema.names, table.columns, strict=True):
        try:
            column.unify_dictionaries()
        except pa.ArrowInvalid:
            raise DataError(
                f"column {name!r} has more different values than its type {column.type} can count; "
                "store it as plain text"
            ) from None
    return table.unify_dictionaries()


def text_of(label: Label) -> str:
    """Return a label value as users write it: True is 'true', 1.0 is '1'."""
    if isinstance(label, bool):
        return str(label).lower()
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    return str(label)


def codes_of(column: pa.ChunkedArray, classes: Sequence[Label], *, name: str) -> np.ndarray:
    """Return (N,) int32: each label's index into ``classes``. Raises DataError for a label that is none of them."""
    values = _plain(column)
    codes = flat(pc.index_in(values, value_set=pa.array(list(classes), type=values.type)))
    if codes.null_count:
        raise DataError(f"label column {name!r} has {codes.null_count} rows of none of the known classes")
    return np.asarray(codes.to_numpy(zero_copy_only=False), dtype=np.int32)


def counts_of(codes: np.ndarray, classes: Sequence[Label]) -> dict[Label, int]:
    """Return how often each of ``classes`` occurs in ``codes`` (N,), 0 included."""
    return dict(zip(classes, np.bincount(codes, minlength=len(classes)).tolist(), strict=True))


def classes_of(
    column: pa.ChunkedArray, *, name: str, least: int = 2, remedy: str = "remove those rows first"
) -> tuple[Label, ...]:
    """Return the sorted values of a label column; DataError where labels are missing (with the ``remedy``), continuous,
    fewer than ``least`` or too many."""
    values = _plain(column)
    if not any(fits(values.type) for fits in _LABEL_TYPES):
        raise DataError(
            f"label column {name!r} is of type {values.type} and a label is text, a whole number or a boolean; "
            f"{'several labels a row are not supported: ' if types.is_nested(values.type) else ''}"
            "convert it, or choose another --label"
        )
    missing = values.null_count
    if types.is_floating(values.type):
        missing += pc.sum(pc.is_nan(values)).as_py() or 0
    if missing:
        raise DataError(f"label column {name!r} is missing in {missing} of {len(values)} rows; {remedy}")
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
    if len(distinct) < least:
        raise DataError(f"label column {name!r} has one class only, {distinct[0].as_py()!r}; choose another --label")
    return tuple(sorted(distinct.to_pylist()))


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Values that Arrow can look up: dictionaries decoded, decimals as whole numbers or else as doubles."""
    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if types.is_decimal(column.type):
        try:
            return widened(column).cast(pa.int64())
        except pa.ArrowInvalid:
            return column.cast(pa.float64())
    return column.cast(pa.float64()) if types.is_float16(column.type) else column
