"""Arrow tables to parquet shards: the input's own schema, rows shuffled across classes, the same bytes every time.

May import errors, seeding and its own room.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import JsonValue

from synthgen.data.parquet import FOOTER_KEY
from synthgen.errors import ConfigError, DataError
from synthgen.seeding import numpy_rng
from synthgen.shards.files import Files
from synthgen.shards.manifest import SYNTHETIC_SOURCE_TYPE, FileEntry, Origin
from synthgen.shards.preflight import write_errors

Prefix = Literal["real", "synthetic", "repeated", "part"]

ROWS_PER_FILE = 250_000
_ROWS_PER_GROUP = 65_536
_ORIGINS: Mapping[Prefix, Origin] = {
    "real": "real",
    "synthetic": "synthetic",
    "repeated": "repeated",
    "part": "real",
}


def write_shards(
    table: pa.Table,
    folder: Path,
    *,
    rows: np.ndarray | None = None,
    prefix: Prefix,
    seed: int,
    run_id: str,
    root: Path | None = None,
    rows_per_file: int = ROWS_PER_FILE,
    like: pa.Table | None = None,
    footer: Mapping[str, JsonValue] | None = None,
    provenance_column: str | None = None,
    files: Files | None = None,
) -> list[FileEntry]:
    """Write rows in seeded random order to ``folder/<prefix>-00000-of-0000N.parquet``; return the files' entries.

    ``rows`` are positions (N,) in ``table``; all of them by default.

    The number of files follows from the number of rows alone, as even as can be; no rows, no file. Each file has the
    table's schema with its metadata, every dictionary column its full dictionary: that of ``like`` where given, so
    that files of several calls agree. ``footer`` is added to origin and run_id under the footer key ``synthgen``.
    Paths are relative to ``root`` (default: ``folder``). Equal arguments give equal bytes, however the table is
    chunked. Files of an earlier attempt with the same prefix are removed. Raises DataError for a column that
    parquet cannot hold or a level that ``like`` does not have.
    """
    files, origin = files or Files(), _ORIGINS[prefix]
    table = _with_dictionaries(without_footer(table), like if like is not None else table)
    if provenance_column is not None:
        table = _with_provenance(table, provenance_column, origin)
    order = numpy_rng(seed, "shards", prefix).permutation(table.num_rows if rows is None else len(rows))
    order = order if rows is None else rows[order]
    cuts = _cuts(len(order), rows_per_file)
    entries = []
    with write_errors(folder):
        _clear(files, folder, prefix)
        for number, (start, stop) in enumerate(itertools.pairwise(cuts)):
            path = folder / f"{prefix}-{number:05d}-of-{len(cuts) - 1:05d}.parquet"
            described = {**(footer or {}), "origin": origin, "run_id": run_id, **_source_type(origin)}
            with files.create(path) as output:
                _write(table.take(pa.array(order[start:stop])), output, json.dumps(described, sort_keys=True))
            entries.append(
                FileEntry(
                    path=path.relative_to(root or folder).as_posix(),
                    size_bytes=output.digest.size_bytes,
                    sha256=output.digest.sha256,
                    rows=stop - start,
                    origin=origin,
                    **_source_type(origin),
                )
            )
    return entries


def without_footer(table: pa.Table) -> pa.Table:
    """Return the table without our footer key, which a file without other metadata shows as its schema's."""
    metadata = {key: value for key, value in (table.schema.metadata or {}).items() if key != FOOTER_KEY.encode()}
    return table.replace_schema_metadata(metadata or None)


def _clear(files: Files, folder: Path, prefix: Prefix) -> None:
    files.make_folder(folder)
    for name in files.names(folder):
        if re.fullmatch(rf"{prefix}-\d{{5}}-of-\d{{5}}\.parquet", name):
            files.remove(folder / name)


def _cuts(n_rows: int, rows_per_file: int) -> list[int]:
    if rows_per_file < 1:
        raise ConfigError(f"rows_per_file is {rows_per_file}; give 1 or more")
    n_files = -(-n_rows // rows_per_file)
    return [n_rows * number // n_files for number in range(n_files + 1)] if n_files else [0]


def _source_type(origin: Origin) -> dict[str, str]:
    return {"digital_source_type": SYNTHETIC_SOURCE_TYPE} if origin == "synthetic" else {}


def _write(part: pa.Table, output: object, described: str) -> None:
    try:
        with pq.ParquetWriter(output, part.schema, compression="zstd", write_page_checksum=True) as writer:
            writer.write_table(part.combine_chunks(), row_group_size=_ROWS_PER_GROUP)
            writer.add_key_value_metadata({FOOTER_KEY: described})
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(
            f"{_unwritable(part)} cannot be stored in parquet ({error}); leave it out with --drop"
        ) from error


def _unwritable(part: pa.Table) -> str:
    for name in part.schema.names:
        try:
            pq.write_table(part.select([name]).slice(0, 1000), pa.BufferOutputStream())
        except pa.ArrowException:
            return f"column {name!r} of type {part.schema.field(name).type}"
    return "the table"


def _with_dictionaries(table: pa.Table, like: pa.Table) -> pa.Table:
    """Give every dictionary column one dictionary, that of ``like``, over all its chunks."""
    for index, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            levels = _levels(like.column(field.name))
            chunks = [_recoded(chunk, levels, field) for chunk in table.column(index).chunks]
            table = table.set_column(index, field, pa.chunked_array(chunks, type=field.type))
    return table


def _levels(column: pa.ChunkedArray) -> pa.Array:
    """The levels of all chunks in order of appearance, unused ones too, without null."""
    chunks = column.chunks
    if not chunks:
        return pa.array([], type=column.type.value_type)
    if all(chunk.dictionary.equals(chunks[0].dictionary) for chunk in chunks) and not chunks[0].dictionary.null_count:
        return chunks[0].dictionary
    return pc.unique(pa.chunked_array([chunk.dictionary for chunk in chunks])).drop_null()


def _recoded(chunk: pa.DictionaryArray, levels: pa.Array, field: pa.Field) -> pa.DictionaryArray:
    if chunk.dictionary.equals(levels):
        return chunk
    values = chunk.dictionary.cast(levels.type)
    codes = pc.index_in(values, value_set=levels)
    lost = pc.and_(pc.is_null(codes), pc.is_valid(values))
    indices = codes.take(chunk.indices)
    if pc.any(lost).as_py() and pc.any(lost.take(chunk.indices)).as_py():
        raise DataError(f"column {field.name!r} has levels that the table it goes with does not have")
    return pa.DictionaryArray.from_arrays(indices.cast(field.type.index_type), levels, ordered=field.type.ordered)


def _with_provenance(table: pa.Table, name: str, origin: Origin) -> pa.Table:
    if name in table.schema.names:
        raise ConfigError(f"the provenance column {name!r} is a column of the data; choose another name")
    metadata = dict(table.schema.metadata or {})
    field = pa.field(name, pa.string(), nullable=False)
    table = table.append_column(field, pa.repeat(origin, table.num_rows))
    if b"huggingface" in metadata:
        metadata[b"huggingface"] = _with_feature(metadata[b"huggingface"], name)
    return table.replace_schema_metadata(metadata or None)


def _with_feature(described: bytes, name: str) -> bytes:
    """Add a string feature: datasets refuses a file whose columns are not those that its metadata lists."""
    try:
        content = cast("dict[str, dict[str, dict[str, object]]]", json.loads(described))
        content["info"]["features"][name] = {"dtype": "string", "_type": "Value"}
        return json.dumps(content).encode()
    except (ValueError, KeyError, TypeError):
        return described
