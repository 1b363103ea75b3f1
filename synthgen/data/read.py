"""Tables and images from where users keep them, through one ``load``; which of the two it is, is decided here.

May import errors and its own room. No pickle, no pandas metadata trusted for anything but column kinds.
"""

from __future__ import annotations

import datetime
import json
import numbers
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

import pyarrow as pa
import pyarrow.compute as pc

from synthgen.data.dataset import TabularDataset, from_table
from synthgen.data.delimited import SUFFIXES, read_delimited
from synthgen.data.folders import TABLES, TARS, files_of
from synthgen.data.image_arrays import fitted, read_npz
from synthgen.data.image_folder import folder_pictures, holds_pictures
from synthgen.data.image_parquet import holds_image_column, parquet_pictures
from synthgen.data.image_tar import tar_pictures
from synthgen.data.images import ImageDataset, from_images
from synthgen.data.parquet import read_folder, read_parquet
from synthgen.data.physical import plain_levels
from synthgen.data.pictures import ImagePolicy, read_pictures
from synthgen.data.pixels import Fit
from synthgen.data.schema import check_names, find_label
from synthgen.errors import ConfigError, DataError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    Source: TypeAlias = (
        str | Path | pd.DataFrame | pa.Table | TabularDataset | ImageDataset | tuple[np.ndarray, np.ndarray]
    )

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
    size: int | None = None,
    max_size: int = 32,
    fit: Fit = "pad",
    bad_images: Literal["error", "skip"] = "error",
) -> TabularDataset | ImageDataset:
    """Read a table or a set of labelled images and return it as a dataset.

    A table is a parquet file, a folder of parquet files (also hive-partitioned), a CSV or TSV file (also .gz), a
    DataFrame or an Arrow table; ``label`` defaults to its only column named label, target, class or y.
    ``drop_unlabelled`` leaves rows without a label out; ``inf="nan"`` reads infinite numbers as missing.

    Images are a folder of class folders, or one with metadata.csv or metadata.jsonl (``file_name`` and label); a
    WebDataset .tar or a folder of them; an .npz of ``images`` (or x) and ``labels`` (or y); a pair of arrays (N, H, W)
    or (N, H, W, C) uint8 and (N,); and parquet with a struct column that has binary ``bytes``, or a binary column named
    image, img, png, jpg, jpeg or webp.

    Every image becomes ``size`` x ``size`` pixels (default: the smallest side of all, at least 8, at most
    ``max_size``), aspect kept: ``fit`` "pad" adds black, "crop" keeps the middle. All gray stays gray, else all are
    RGB; transparency is laid on white, EXIF orientation applied, 16 bits scaled to 8, of animations the first frame
    taken; ``notes`` of the dataset says how often. Read are PNG, JPEG, WEBP and BMP up to 16 megapixels; what else is
    found is an error, or left out with a note under ``bad_images="skip"``, at most 1 % of the images (or one).

    Raises DataError for what cannot be read or balanced, ConfigError for options that do not fit the source.
    """
    if not is_images(source):
        return load_table(
            source, label=label, drop=drop, categorical=categorical, drop_unlabelled=drop_unlabelled, inf=inf
        )
    if tuple(drop) or tuple(categorical) or drop_unlabelled or inf != "error":
        raise ConfigError("--drop, --categorical, --drop-unlabelled and --inf are for tables, and these are images")
    return read_images(source, ImagePolicy(size, max_size, fit, bad_images), label=label)


def read_images(source: Source, policy: ImagePolicy, *, label: str | None = None) -> ImageDataset:
    """Return the images of a source that ``is_images`` takes for such. Raises DataError as ``load`` does."""
    if isinstance(source, ImageDataset):
        return fitted(source, policy)
    if isinstance(source, tuple):
        if len(source) != 2:
            raise DataError(f"expected two arrays, images and labels, got a tuple of {len(source)}")
        return fitted(from_images(*source, label=label or "label", least=policy.least), policy)
    path = Path(str(source))
    if path.suffix.lower() == ".npz":
        return fitted(read_npz(path, label=label, least=policy.least), policy)
    if path.is_file():
        read = tar_pictures if path.suffix.lower() in TARS else parquet_pictures
        return read_pictures(read([path], label=label, where=path.name), policy)
    if tables := files_of(path, TABLES):
        return read_pictures(parquet_pictures(tables, label=label, where=path.name), policy)
    if tars := files_of(path, TARS):
        return read_pictures(tar_pictures(tars, label=label, where=path.name), policy)
    return read_pictures(folder_pictures(path, label=label, least=policy.least), policy)


def load_table(
    source: Source,
    *,
    label: str | None = None,
    drop: Iterable[str] = (),
    categorical: Iterable[str] = (),
    drop_unlabelled: bool = False,
    inf: Inf = "error",
) -> TabularDataset:
    """Read a table as ``load`` does. Raises ConfigError for images."""
    if is_images(source):
        where = Path(source).name if isinstance(source, str | Path) else "the source"
        raise ConfigError(f"{where} holds images; give a table: parquet, CSV or TSV")
    drop, categorical = tuple(drop), tuple(categorical)
    if isinstance(source, TabularDataset):
        if label in (None, source.label) and not drop and not categorical:
            return source
        source, label = source.table, label or source.label
    notes: tuple[str, ...] = ()
    if isinstance(source, str | Path):
        path = Path(source)
        (table, notes), where = _read(path, label), path.name
    elif isinstance(source, pa.Table):
        table, where = source, "the table"
    else:
        table, where = from_frame(cast("pd.DataFrame", source)), "the table"
    check_names(table.schema.names)
    label = find_label(table.schema.names, label, source=where)
    table, said = cleaned(plain_levels(table), label=label, drop_unlabelled=drop_unlabelled, inf=inf)
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


def is_images(source: Source) -> bool:
    """Return whether a source is one of images, not a table: by what it is in memory, its suffix, a parquet file's
    schema, or what a folder holds. Raises DataError for a folder that holds more than one set of rows, or only a part
    of which would be read."""
    if not isinstance(source, str | Path):
        return isinstance(source, ImageDataset | tuple)
    path = Path(source)
    if not os.path.exists(path):  # noqa: PTH110  unlike Path.exists, false for names that cannot be
        return False
    if path.is_dir():
        _check_published(path)
        tables = files_of(path, TABLES, partitions=True)
        if own := [file for file in tables if file.parent == path]:
            return holds_image_column(own[0])
        return bool(files_of(path, TARS)) or holds_pictures(path)
    name = path.name.lower()
    return name.endswith((".npz", *TARS)) or (name.endswith(TABLES) and holds_image_column(path))


def _check_published(path: Path) -> None:
    """Refuse what a run published as a whole."""
    for folder in (path, path / "current"):
        if os.path.isfile(folder / "manifest.json") and (folder / "train").is_dir():  # noqa: PTH113  no error to enter
            raise DataError(f"{path} is what a run published; name the folder of its rows, {folder / 'train'}")


def read_table(path: Path, *, label: str | None = None, real: bool = True) -> pa.Table:
    """Return the table at ``path``; of a CSV file the ``label`` column as it is written, of shards the real rows
    alone where ``real``, and an error where there are none. Raises DataError that names the file."""
    return _read(path, label, real=real)[0]


def _read(path: Path, label: str | None, *, real: bool = True) -> tuple[pa.Table, tuple[str, ...]]:
    try:
        there = path.exists()
    except OSError as error:  # a folder on the way that may not be entered, a name that is too long
        raise DataError(f"{str(path)[:200]} cannot be read ({error.strerror}); name a file or folder of rows") from None
    if not there:
        raise DataError(f"{path} does not exist; name a file or folder of rows")
    if path.is_dir():
        return read_folder(path, real=real)
    name = path.name.lower()
    if name.endswith(TABLES):
        return read_parquet(path, real=real), ()
    if name.endswith(SUFFIXES):
        return read_delimited(path, label=label)
    raise DataError(
        f"{path.name} is none of what can be read: .parquet, .csv, .tsv (also .gz), a folder of .parquet; "
        "or images: a folder of class folders, .tar, .npz, .parquet"
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
