"""Tables from where users keep them: parquet files and folders, CSV and TSV (also .gz), frames, Arrow tables.

May import errors and its own room. No pickle, no pandas metadata trusted for anything but column kinds.
"""

from __future__ import annotations

import datetime
import json
import numbers
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from synthgen.data.dataset import TabularDataset, from_table
from synthgen.data.delimited import SUFFIXES, read_delimited
from synthgen.data.parquet import read_folder, read_parquet
from synthgen.data.schema import check_names, find_label
from synthgen.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    Source: TypeAlias = str | Path | pd.DataFrame | pa.Table | TabularDataset

Inf: TypeAlias = Literal["error", "nan"]

_UNREADABLE = (pa.ArrowException, TypeError, ValueError, OverflowError)


def load(
    source: Source,
    *,
    label: str | None = None,
    drop: Iterable[str] = (),
    categorical: Iterable[str] = (),
    drop_unlabelled: bool = False,
    inf: Inf = "error",
) -> TabularDataset:
    """Read a table and return it as a dataset.

    ``source`` is a parquet file, a folder of parquet files (also hive-partitioned), a CSV or TSV file (also .gz), a
    DataFrame or an Arrow table. ``label`` defaults to the only column named label, target, class or y.
    ``drop_unlabelled`` leaves rows without a label out; ``inf="nan"`` reads infinite numbers as missing. Raises
    DataError for what cannot be read or balanced, ConfigError for options that do not fit the table.
    """
    drop, categorical = tuple(drop), tuple(categorical)
    if isinstance(source, TabularDataset):
        if label in (None, source.label) and not drop and not categorical:
            return source
        source, label = source.table, label or source.label
    notes: tuple[str, ...] = ()
    if isinstance(source, str | Path):
        path = Path(source)
        (table, notes), where = _read(path, label), path.name
    else:
        table, where = (source if isinstance(source, pa.Table) else from_frame(source)), "the table"
    check_names(table.schema.names)
    label = find_label(table.schema.names, label, source=where)
    table, said = cleaned(table, label=label, drop_unlabelled=drop_unlabelled, inf=inf)
    return replace(from_table(table, label=label, drop=drop, categorical=categorical), notes=(*notes, *said))


def cleaned(table: pa.Table, *, label: str, drop_unlabelled: bool, inf: Inf) -> tuple[pa.Table, tuple[str, ...]]:
    """Return the table, as asked, without rows that lack a label and with NaN for infinities; and what was done."""
    notes: tuple[str, ...] = ()
    if drop_unlabelled:
        table, notes = _labelled(table, label)
    if inf == "nan":
        table, said = _without_infinities(table)
        notes += said
    return table, notes


def _labelled(table: pa.Table, label: str) -> tuple[pa.Table, tuple[str, ...]]:
    """The rows that have a label, and how many were left out."""
    column = table.column(label)
    there = pc.is_valid(column)
    if pa.types.is_floating(column.type):
        there = pc.and_(there, pc.invert(pc.fill_null(pc.is_nan(column.cast(pa.float64())), True)))
    missing = len(table) - (pc.sum(there).as_py() or 0)
    if not missing:
        return table, ()
    return table.filter(there), (f"{missing} rows without a label were left out (--drop-unlabelled)",)


def _without_infinities(table: pa.Table) -> tuple[pa.Table, tuple[str, ...]]:
    """The table with NaN where a number was infinite, and how many of which column were."""
    notes: list[str] = []
    for k, field in enumerate(table.schema):
        if not pa.types.is_floating(field.type):
            continue
        wide = table.column(k).cast(pa.float64())
        endless = pc.is_inf(wide)
        if n := pc.sum(endless).as_py():
            table = table.set_column(k, field, pc.if_else(endless, float("nan"), wide).cast(field.type))
            notes.append(f"column {field.name!r}: {n} infinite values were read as missing (--inf nan)")
    return table, tuple(notes)


def read_table(path: Path, *, label: str | None = None) -> pa.Table:
    """Return the table at ``path``; of a CSV file the ``label`` column as it is written. Raises DataError that names
    the file."""
    return _read(path, label)[0]


def _read(path: Path, label: str | None) -> tuple[pa.Table, tuple[str, ...]]:
    try:
        there = path.exists()
    except OSError as error:  # a folder on the way that may not be entered, a name that is too long
        raise DataError(f"{str(path)[:200]} cannot be read ({error.strerror}); name a file or folder of rows") from None
    if not there:
        raise DataError(f"{path} does not exist; name a file or folder of rows")
    if path.is_dir():
        return read_folder(path), ()
    name = path.name.lower()
    if name.endswith((".parquet", ".pq")):
        return read_parquet(path), ()
    if name.endswith(SUFFIXES):
        return read_delimited(path, label=label)
    raise DataError(
        f"{path.name} is none of what can be read: .parquet, .csv, .tsv (also .gz), or a folder of .parquet"
    )


def from_frame(frame: pd.DataFrame) -> pa.Table:
    """Return a DataFrame as an Arrow table, its index left out; pandas' dtypes travel in the metadata."""
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        raise DataError(f"expected a path, a DataFrame or an Arrow table, got {type(frame).__name__}")
    if isinstance(frame.columns, pd.MultiIndex):
        raise DataError("the frame's columns are a MultiIndex; flatten them to plain names first")
    check_names([str(name) for name in frame.columns])
    for name in frame.columns:
        _check_objects(str(name), frame[name])
    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
        if frame.columns.inferred_type == "integer":  # the names are text in Arrow; say what they were
            described = json.loads(table.schema.metadata[b"pandas"])
            described["column_indexes"] = pa.Schema.from_pandas(frame.head(0)).pandas_metadata["column_indexes"]
            table = table.replace_schema_metadata({**table.schema.metadata, b"pandas": json.dumps(described)})
        return table
    except _UNREADABLE as error:
        raise _frame_error(frame) from error


def _check_objects(name: str, column: pd.Series) -> None:
    """Refuse what Arrow would read as one type at a loss: bytes beside text, times beside dates."""
    if column.dtype != object:
        return
    kinds = {type(value) for value in column.dropna()}
    if len({_family(kind) for kind in kinds}) > 1:
        raise DataError(f"column {name!r} mixes values of types {_names(kinds)}; convert it to one type")


def _family(kind: type) -> type:
    """Kinds of one family can stand in one column: whole and other numbers, a type and its own subclasses."""
    import numpy as np

    if issubclass(kind, bool | np.bool_):
        return bool
    families = (numbers.Number, str, bytes, datetime.datetime, datetime.date, datetime.timedelta)
    return next((family for family in families if issubclass(kind, family)), kind)


def _names(kinds: Iterable[type]) -> str:
    return ", ".join(sorted(kind.__name__ for kind in kinds))


def _frame_error(frame: pd.DataFrame) -> DataError:
    for name in frame.columns:
        column = frame[name]
        try:
            pa.Table.from_pandas(column.to_frame(), preserve_index=False)
        except _UNREADABLE as error:
            if isinstance(error, UnicodeError):
                return DataError(f"column {str(name)!r} has text that is not valid Unicode; clean it first")
            kinds = {type(value) for value in column.dropna().head(10_000)}
            holds = f"holds {_names(kinds)}, which" if column.dtype == object else "is of a kind that"
            return DataError(
                f"column {str(name)!r} of dtype {column.dtype} {holds} cannot be balanced; convert or drop it"
            )
    return DataError("the frame cannot be read as a table of plain columns; convert its columns to plain types")
