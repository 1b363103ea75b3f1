"""Tables from where users keep them: parquet files and folders, CSV and TSV (also .gz), frames, Arrow tables.

May import errors and its own room. No pickle, no pandas metadata trusted for anything but column kinds.
"""

from __future__ import annotations

import datetime
import json
import numbers
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from synthgen.data.dataset import TabularDataset, from_table
from synthgen.data.delimited import SUFFIXES, first_line, read_delimited
from synthgen.data.schema import check_names, difference, find_label
from synthgen.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    Source: TypeAlias = str | Path | pd.DataFrame | pa.Table | TabularDataset

_THRIFT_LIMIT = 100_000_000
_UNREADABLE = (pa.ArrowException, TypeError, ValueError, OverflowError)


def load(
    source: Source,
    *,
    label: str | None = None,
    drop: Iterable[str] = (),
    categorical: Iterable[str] = (),
) -> TabularDataset:
    """Read a table and return it as a dataset.

    ``source`` is a parquet file, a folder of parquet files, a CSV or TSV file (also .gz), a DataFrame or an Arrow
    table. ``label`` defaults to the only column named label, target, class or y. Raises DataError for what cannot
    be read or balanced, ConfigError for options that do not fit the table.
    """
    drop, categorical = tuple(drop), tuple(categorical)
    if isinstance(source, TabularDataset):
        if label in (None, source.label) and not drop and not categorical:
            return source
        source, label = source.table, label or source.label
    if isinstance(source, str | Path):
        path = Path(source)
        table, where = read_table(path, label=label), path.name
    else:
        table, where = (source if isinstance(source, pa.Table) else from_frame(source)), "the table"
    check_names(table.schema.names)
    return from_table(
        table, label=find_label(table.schema.names, label, source=where), drop=drop, categorical=categorical
    )


def read_table(path: Path, *, label: str | None = None) -> pa.Table:
    """Return the table at ``path``; of a CSV file the ``label`` column as it is written. Raises DataError that names
    the file."""
    if not path.exists():
        raise DataError(f"{path} does not exist; name a file or folder of rows")
    if path.is_dir():
        return _parquet_folder(path)
    name = path.name.lower()
    if name.endswith((".parquet", ".pq")):
        return _parquet(path)
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


def _parquet(path: Path) -> pa.Table:
    try:
        with pq.ParquetFile(
            path, thrift_string_size_limit=_THRIFT_LIMIT, thrift_container_size_limit=_THRIFT_LIMIT, pre_buffer=False
        ) as file:
            table: pa.Table = file.read()
        table.validate(full=True)  # text that is no UTF-8, levels that do not exist: not all is checked on reading
        check_names(table.schema.names)
        return table
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(
            f"{path.name} cannot be read as parquet ({first_line(error)}); write or copy it again"
        ) from error


def _parquet_folder(path: Path) -> pa.Table:
    files = sorted(entry for entry in path.glob("[!._]*.parquet") if entry.is_file())
    if not files:
        raise DataError(f"{path} holds no .parquet file; name the folder that does, or a file")
    tables = [_parquet(file) for file in files]
    first = tables[0].schema
    for file, table in zip(files[1:], tables[1:], strict=True):
        if not table.schema.equals(first):
            raise DataError(
                f"{file.name} and {files[0].name} differ in {difference(first, table.schema)}; make them alike"
            )
    return pa.concat_tables([table.replace_schema_metadata(first.metadata) for table in tables])
