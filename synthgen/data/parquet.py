"""Parquet files and folders, hive-partitioned ones too, read under caps: what a file may unfold to is bounded.

May import errors, data.folders and data.schema. No pickle; extension types and a stranger's pandas metadata run
nothing.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import types

from synthgen.data.folders import TABLES, files_of
from synthgen.data.schema import ADDED, check_names, difference
from synthgen.errors import DataError
from synthgen.memory import attainable_bytes

FOOTER_KEY = "synthgen"  # of what a shard says of itself
MIN_CAP_BYTES = 256_000_000
MAX_UNFOLD = 1_000  # decoded bytes per byte of a file; dummies of one bit, compressed, come to some hundreds
_THRIFT_LIMIT = 100_000_000
_BATCH_ROWS = 131_072
_BATCH_BYTES = 64_000_000
_MISSING = "__HIVE_DEFAULT_PARTITION__"
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,17})")


def read_parquet(path: Path, *, name: str | None = None, real: bool = True) -> pa.Table:
    """Return the table of one file, called ``name`` in messages. Raises DataError that names it.

    Where ``real``, a file of rows that a run added is refused. Page checksums are verified where the file has any. A
    file that unfolds to more than 1,000 times its size (and 256 MB) is refused: a few hundred kB can claim gigabytes.
    """
    name = name or path.name
    if real:
        _real([path], name)
    try:
        cap = max(MIN_CAP_BYTES, MAX_UNFOLD * path.stat().st_size)
        with _opened(path) as file:
            _check_claims(file, name, cap)
            table = pa.Table.from_batches(_batches(file, path, name, cap), schema=file.schema_arrow)
        table.validate(full=True)  # text that is no UTF-8, levels that do not exist: not all is checked on reading
        check_names(table.schema.names)
        return _without_broken_metadata(table)
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise DataError(f"{name} cannot be read as parquet ({said}); write or copy it again") from error


def read_folder(path: Path, *, real: bool = True) -> tuple[pa.Table, tuple[str, ...]]:
    """Return the rows of a folder's files in the order of their names, and what was left out.

    Beside real rows of a run's shards, the files of rows that the run added are left out where ``real``; without such
    they are refused.
    In a hive-partitioned folder (key=value/part.parquet) the keys become columns after the files' own: whole numbers
    where all values are, else text. Raises DataError where files differ, showing file, column and both types.
    """
    files = files_of(path, TABLES, partitions=True)
    if not files:
        raise DataError(f"{path} holds no .parquet file; name the folder that does, or a file")
    files, notes = _real(files, str(path)) if real else (files, ())
    names = [str(file.relative_to(path)) for file in files]
    keys = [_keys(name) for name in names]
    for name, found in zip(names, keys, strict=True):
        if [*found] != [*keys[0]]:
            raise DataError(
                f"{name} lies under {_listed(found)} and {names[0]} under {_listed(keys[0])}; "
                "partition all files by the same keys, or move them into one folder"
            )
    tables = [read_parquet(file, name=name, real=False) for file, name in zip(files, names, strict=True)]
    first = tables[0].schema
    for name, table in zip(names[1:], tables[1:], strict=True):
        if not table.schema.equals(first):
            raise DataError(f"{name} and {names[0]} differ in {difference(first, table.schema)}; make them alike")
    whole = pa.concat_tables([table.replace_schema_metadata(first.metadata) for table in tables])
    return _with_keys(whole, keys, [len(table) for table in tables], names[0]), notes


def _real(files: list[Path], name: str) -> tuple[list[Path], tuple[str, ...]]:
    """The files without those that a run added, and a note of them; an error where there are no others."""
    added = [file for file in files if _origin(file) in ADDED]
    if not added:
        return files, ()
    if len(added) == len(files):
        raise DataError(
            f"{name} holds no real row: all are synthetic or repeated, as a run of synthgen says in the footer; name "
            "the real rows, and give added ones as SYNTHETIC to 'synthgen check'"
        )
    more = f" and {len(added) - 1} more files" if len(added) > 1 else ""
    note = f"{added[0].name}{more} left out: rows that a run of synthgen added to the real ones"
    return [file for file in files if file not in added], (note,)


def _origin(path: Path) -> object:
    """What a shard's footer says its rows are; None for any other file."""
    broken = (pa.ArrowException, OSError, ValueError, KeyError, TypeError, RecursionError)
    with contextlib.suppress(*broken), _opened(path) as file:
        return json.loads(file.metadata.metadata[FOOTER_KEY.encode()])["origin"]
    return None


def _opened(source: Path, *, dictionaries: list[str] | None = None) -> pq.ParquetFile:
    return pq.ParquetFile(
        source,
        thrift_string_size_limit=_THRIFT_LIMIT,
        thrift_container_size_limit=_THRIFT_LIMIT,
        pre_buffer=False,
        page_checksum_verification=True,
        read_dictionary=dictionaries,
    )


def _check_claims(file: pq.ParquetFile, name: str, cap: int) -> None:
    """Refuse by what the footer claims, before anything is decoded."""
    described, schema = file.metadata, file.schema_arrow
    widths = [_width(kind) for kind in schema.types]
    unpacked = sum(described.row_group(k).total_byte_size for k in range(described.num_row_groups))
    claimed = max(int(described.num_rows * sum(widths)), unpacked)
    if claimed > cap:
        raise _bomb(name, described.num_rows, claimed, cap)
    room = attainable_bytes()
    if room is not None and claimed > room:
        raise DataError(
            f"{name} unfolds to {claimed / 1e6:,.0f} MB and {room / 1e6:,.0f} MB of memory are to be had; "
            "give fewer rows or columns, or more memory"
        )


def _width(kind: pa.DataType) -> float:
    try:
        return float(kind.bit_width) / 8
    except ValueError:  # text and nested values: at least their offsets
        return 4.0


def _bomb(name: str, n_rows: int, size_bytes: int, cap: int) -> DataError:
    return DataError(
        f"{name} claims {n_rows:,} rows that unfold to {size_bytes / 1e6:,.0f} MB, more than the {cap / 1e6:,.0f} MB "
        "that a file of its size may; if the rows are meant, write them again uncompressed and without dictionaries"
    )


def _batches(file: pq.ParquetFile, path: Path, name: str, cap: int) -> Iterator[pa.RecordBatch]:
    size_bytes = 0
    for group in range(file.num_row_groups):
        rows = _batch_rows(file, path, group)
        for batch in file.iter_batches(batch_size=rows, row_groups=[group]):
            size_bytes += batch.nbytes
            if size_bytes > cap:
                raise _bomb(name, file.metadata.num_rows, size_bytes, cap)
            yield batch


def _batch_rows(file: pq.ParquetFile, path: Path, group: int) -> int:
    """How many rows to decode at once: a dictionary's longest text could stand in every one of them."""
    schema = file.schema_arrow
    if any(types.is_nested(kind) for kind in schema.types):
        return 1_024
    texts = [name for name, kind in zip(schema.names, schema.types, strict=True) if _is_text(kind)]
    longest = 1
    if texts:  # which columns have dictionaries is not asked for: a damaged footer aborts the process there
        with _opened(path, dictionaries=texts) as again:
            head = next(again.iter_batches(batch_size=1, row_groups=[group], columns=texts), None)
        for column in head.columns if head is not None else ():
            entries = column.dictionary if types.is_dictionary(column.type) else column
            longest = max(longest, pc.max(pc.binary_length(entries)).as_py() or 1)
    return max(1, min(_BATCH_ROWS, _BATCH_BYTES // longest))


def _is_text(kind: pa.DataType) -> bool:
    plain = (types.is_string, types.is_large_string, types.is_binary, types.is_large_binary)
    return any(fits(kind) for fits in plain)


def _without_broken_metadata(table: pa.Table) -> pa.Table:
    """The table without pandas metadata that pandas itself could not follow: a hint, never needed."""
    if b"pandas" not in (table.schema.metadata or {}):
        return table
    try:
        table.slice(0, 0).to_pandas()
    except Exception:  # whatever pandas says to a stranger's text
        kept = {key: value for key, value in table.schema.metadata.items() if key != b"pandas"}
        return table.replace_schema_metadata(kept or None)
    return table


def _keys(name: str) -> dict[str, str]:
    """What the folders above a file say, key by key."""
    found: dict[str, str] = {}
    for part in Path(name).parts[:-1]:
        key, _, value = part.partition("=")
        key, value = unquote(key), unquote(value)
        if not key or key in found or not (key + value).isprintable() or len(key + value) > 200:
            raise DataError(f"the folder {part!r} is no key=value that could be a column; rename it")
        found[key] = value
    return found


def _listed(keys: dict[str, str]) -> str:
    return "/".join(f"{key}=" for key in keys) or "no key"


def _with_keys(table: pa.Table, keys: list[dict[str, str]], rows: list[int], name: str) -> pa.Table:
    for key in keys[0]:
        if key in table.schema.names:
            raise DataError(f"column {key!r} is in {name} and in the names of the folders; leave it in one of them")
        texts = [found[key] for found in keys]
        known = [text for text in texts if text != _MISSING]
        whole = bool(known) and all(_WHOLE.fullmatch(text) for text in known)
        values = [None if text == _MISSING else int(text) if whole else text for text in texts]
        kind = pa.int64() if whole else pa.string()
        repeated = pa.chunked_array(
            [pa.repeat(pa.scalar(value, kind), n) for value, n in zip(values, rows, strict=True)], kind
        )
        table = table.append_column(key, repeated)
    return table
