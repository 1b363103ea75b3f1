"""Images in parquet files: which tables are such, and their images and labels, batch by batch.

May import errors and its own room.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import types

from synthgen.data.delimited import first_line
from synthgen.data.pictures import FILE_LIMIT_BYTES, MAX_IMAGES, Content, Pictures
from synthgen.data.schema import difference, find_label
from synthgen.errors import DataError

_NAMES = ("image", "img", "png", "jpg", "jpeg", "webp")
_THRIFT_LIMIT = 100_000_000
_BATCH = 16  # a few kB can claim 64 MiB an image


def image_columns(schema: pa.Schema) -> list[str]:
    """Return the columns of images: structs with a binary field ``bytes``, and binary columns named image, img, png,
    jpg, jpeg or webp in any case. A table with such a column is one of images; every other table is rows."""
    return [field.name for field in schema if _is_struct(field.type) or _is_named(field)]


def _is_struct(kind: pa.DataType) -> bool:
    if not types.is_struct(kind) or kind.get_field_index("bytes") < 0:
        return False
    return _is_binary(kind.field("bytes").type)


def _is_named(field: pa.Field) -> bool:
    return _is_binary(field.type) and field.name.lower() in _NAMES


def _is_binary(kind: pa.DataType) -> bool:
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def holds_image_column(path: Path) -> bool:
    """Return whether a parquet file has a column of images; False for one that cannot be read."""
    with contextlib.suppress(DataError), _opened(path) as file:
        return bool(image_columns(file.schema_arrow))
    return False


def parquet_pictures(paths: list[Path], *, label: str | None, where: str) -> Pictures:
    """Return the images of parquet files of one schema. Columns beside image and label are left out with a note.

    A label whose ``huggingface`` metadata names its classes gets those names. Raises DataError for several image
    columns, files that differ, and what cannot be read as parquet; ConfigError where no column is the label.
    """
    schemas, names, labels, origins = [], list[str](), [], list[object]()
    for path in paths:
        with _opened(path) as file:
            schemas.append(file.schema_arrow)
            found = image_columns(schemas[0])
            if len(found) > 1:
                raise DataError(f"{path.name} has several image columns, {', '.join(found)}; keep one")
            if not schemas[-1].equals(schemas[0]):
                what = difference(schemas[0], schemas[-1])
                raise DataError(f"{path.name} and {paths[0].name} differ in {what}; make them alike")
            image = found[0]
            column = find_label([name for name in schemas[0].names if name != image], label, source=path.name)
            table = file.read([column, *_origin(schemas[0], column)])
            origins += [value for name in _origin(schemas[0], column) for value in table.column(name).to_pylist()]
            labels += table.column(column).chunks
            names += [f"{path.name} row {row}" for row in range(table.num_rows)]
    ignored = [name for name in schemas[0].names if name not in (image, column)]
    notes = (f"columns that are neither image nor label were left out: {', '.join(ignored[:10])}",) if ignored else ()
    named = _named(pa.chunked_array(labels, schemas[0].field(column).type), schemas[0], column, where)

    def contents() -> Iterator[Content]:
        for path in paths:
            with _opened(path) as file:
                for batch in file.iter_batches(_BATCH, columns=[image]):
                    yield from (partial(_bytes_of, cell) for cell in batch.column(0))

    return Pictures(where, names, named, contents, column, notes, origins)


def _origin(schema: pa.Schema, label: str) -> list[str]:
    """The column that says whether an image is real, synthetic or repeated, where there is one beside the label."""
    return [field.name for field in schema if field.name == "origin" != label and types.is_string(field.type)]


def _bytes_of(cell: pa.Scalar) -> bytes:
    value = cell if _is_binary(cell.type) else cell["bytes"] if cell.is_valid else cell
    if not value.is_valid:
        raise ValueError("holds no bytes; a path alone is not followed")
    buffer = value.as_buffer()
    if buffer.size > FILE_LIMIT_BYTES:
        raise ValueError(f"has more than {FILE_LIMIT_BYTES >> 20} MiB")
    return bytes(buffer.to_pybytes())


def _named(column: pa.ChunkedArray, schema: pa.Schema, name: str, where: str) -> pa.ChunkedArray:
    """The labels by the names that ``huggingface`` metadata gives their codes; as they are where it gives none."""
    try:
        feature = json.loads(schema.metadata[b"huggingface"])["info"]["features"][name]
        names = feature["names"] if feature["_type"] == "ClassLabel" else None
    except (ValueError, KeyError, TypeError):
        return column
    if not names or not types.is_integer(column.type):
        return column
    if not isinstance(names, list) or len({*map(str, names)}) < len(names) or any(isinstance(n, list) for n in names):
        raise DataError(
            f"{where}: the huggingface metadata of {name!r} names its classes {str(names)[:60]}; list different texts"
        )
    names, codes = [*map(str, names)], column.to_pylist()
    if any(code is not None and not 0 <= code < len(names) for code in codes):
        raise DataError(f"{where}: label column {name!r} has codes beyond the {len(names)} classes that it names")
    return pa.chunked_array([pa.array([None if code is None else names[code] for code in codes], pa.string())])


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    """The file; what Arrow says of a damaged one becomes a DataError that names it."""
    try:
        with pq.ParquetFile(
            path, thrift_string_size_limit=_THRIFT_LIMIT, thrift_container_size_limit=_THRIFT_LIMIT, pre_buffer=False
        ) as file:
            if file.metadata.num_rows > MAX_IMAGES:
                raise DataError(f"{path.name} holds {file.metadata.num_rows} images, more than {MAX_IMAGES} are read")
            yield file
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(
            f"{path.name} cannot be read as parquet ({first_line(error)}); write or copy it again"
        ) from error
