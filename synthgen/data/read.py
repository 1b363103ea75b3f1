"""Tables from where users keep them: parquet files and folders, CSV and TSV (also .gz), frames, Arrow tables.

May import errors and its own room. No pickle, no pandas metadata trusted for anything but column kinds.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from synthgen.data.dataset import TabularDataset, from_table
from synthgen.data.schema import find_label
from synthgen.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

_CSV = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
_THRIFT_LIMIT = 100_000_000


def load(
    source: str | Path | pd.DataFrame | pa.Table | TabularDataset,
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
    if isinstance(source, TabularDataset):
        return source
    if isinstance(source, str | Path):
        path = Path(source)
        table, where = read_table(path), path.name
    else:
        table, where = (source if isinstance(source, pa.Table) else from_frame(source)), "the table"
    return from_table(
        table, label=find_label(table.schema.names, label, source=where), drop=drop, categorical=categorical
    )


def read_table(path: Path) -> pa.Table:
    """Return the table at ``path``. Raises DataError that names the file."""
    if not path.exists():
        raise DataError(f"{path} does not exist")
    if path.is_dir():
        return _parquet_folder(path)
    name = path.name.lower()
    if name.endswith((".parquet", ".pq")):
        return _parquet(path)
    if name.endswith(_CSV):
        return _csv(path)
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
    names = [str(name) for name in frame.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"column names occur more than once: {', '.join(map(repr, twice))}; rename them")
    try:
        return pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowException, TypeError, ValueError, OverflowError, UnicodeError) as error:
        raise _frame_error(frame) from error


def _frame_error(frame: pd.DataFrame) -> DataError:
    for name in frame.columns:
        try:
            pa.Array.from_pandas(frame[name])
        except (pa.ArrowException, TypeError, ValueError, OverflowError, UnicodeError) as error:
            kinds = sorted({type(value).__name__ for value in frame[name].dropna().head(10_000)})
            if isinstance(error, UnicodeError):
                return DataError(f"column {str(name)!r} holds text that is not valid Unicode; clean it first")
            if len(kinds) > 1:
                return DataError(
                    f"column {str(name)!r} mixes values of types {', '.join(kinds)}; convert it to one type"
                )
            return DataError(
                f"column {str(name)!r} of dtype {frame[name].dtype} holds {' and '.join(kinds) or 'values'}, "
                "which cannot be balanced; convert or drop it"
            )
    return DataError("the frame cannot be read as a table of plain columns")


def _parquet(path: Path) -> pa.Table:
    try:
        with pq.ParquetFile(
            path, thrift_string_size_limit=_THRIFT_LIMIT, thrift_container_size_limit=_THRIFT_LIMIT, pre_buffer=False
        ) as file:
            return file.read()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path.name} cannot be read as parquet: {_first_line(error)}") from error


def _parquet_folder(path: Path) -> pa.Table:
    files = sorted(entry for entry in path.glob("*.parquet") if entry.is_file())
    if not files:
        raise DataError(f"{path} holds no .parquet file")
    tables = [_parquet(file) for file in files]
    first = tables[0].schema
    for file, table in zip(files[1:], tables[1:], strict=True):
        if not table.schema.equals(first):
            raise DataError(
                f"{file.name} and {files[0].name} differ in {_difference(first, table.schema)}; make them alike"
            )
    return pa.concat_tables([table.replace_schema_metadata(first.metadata) for table in tables])


def _difference(left: pa.Schema, right: pa.Schema) -> str:
    for name in dict.fromkeys([*left.names, *right.names]):
        if name not in left.names or name not in right.names:
            return f"column {name!r}, which only one of them has"
        if left.field(name).type != right.field(name).type:
            return f"column {name!r}: {left.field(name).type} and {right.field(name).type}"
    return "the order of their columns"


def _csv(path: Path) -> pa.Table:
    try:
        with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as stream:
            head = stream.read(65_536)
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{path.name} cannot be read: {_first_line(error)}") from error
    if not head.strip():
        raise DataError(f"{path.name} is empty")
    encoding, delimiter = _encoding(head), _delimiter(path, head)
    try:
        return pacsv.read_csv(
            str(path),
            read_options=pacsv.ReadOptions(encoding=encoding, use_threads=False),
            parse_options=pacsv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=pacsv.ConvertOptions(strings_can_be_null=True),
        )
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path.name} cannot be read as CSV: {_first_line(error)}") from error


def _encoding(head: bytes) -> str:
    try:
        head[:-4].decode("utf-8")  # a character may be cut at the end of the sample
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def _delimiter(path: Path, head: bytes) -> str:
    if ".tsv" in path.name.lower():
        return "\t"
    first = head.splitlines()[0].decode("utf-8", "replace")
    candidates: Sequence[str] = (",", ";", "\t", "|")
    return max(candidates, key=first.count)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
