"""Images in folders: one folder per class, or any folders with a metadata.csv or metadata.jsonl that holds the labels.

May import errors and its own room.
"""

from __future__ import annotations

import json
import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath

import pyarrow as pa

from synthgen.data.delimited import read_delimited
from synthgen.data.folders import SPLITS
from synthgen.data.pictures import FILE_LIMIT_BYTES, Content, Pictures
from synthgen.data.schema import find_label
from synthgen.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
# images too, of formats that are not read: told, never left out in silence
_OTHERS = (".gif", ".tif", ".tiff", ".svg", ".eps", ".ico", ".jp2", ".heic", ".avif", ".ppm", ".pgm", ".psd", ".dcm")
METADATA = ("metadata.csv", "metadata.jsonl")
_FILE_NAME = "file_name"


def holds_pictures(folder: Path) -> bool:
    """Return whether a folder is one of images: it has a metadata file, or an image file somewhere below it."""
    if any((folder / name).is_file() for name in METADATA):
        return True
    tops = [folder, *(folder / name for name in _entries(folder) if (folder / name).is_symlink())]
    return any(_is_picture(name) for top in tops for _, _, names in os.walk(top) for name in names)


def folder_pictures(folder: Path, *, label: str | None, least: int = 2) -> Pictures:
    """Return the images of a folder. With a metadata file its ``label`` column; else the class folders' names.

    A class folder's images may lie in folders of their own below it. Files that are no images are left out with a
    note. Raises DataError for a class without images, images outside a class folder, a link that leads back up,
    split folders in place of classes, and metadata that names a file twice, outside the folder, or not there.
    """
    found = [name for name in METADATA if (folder / name).is_file()]
    if len(found) > 1:
        raise DataError(f"{folder} holds {' and '.join(found)}; keep one of them")
    return _by_metadata(folder, found[0], label) if found else _by_class(folder, label, least)


def _by_class(folder: Path, label: str | None, least: int) -> Pictures:
    names, classes = _entries(folder), _folders(folder)
    beside = [name for name in names if name not in classes and _is_picture(name)]
    if beside:
        raise DataError(
            f"{folder}: {beside[0]} lies in no class folder; move such images into one, or add a metadata.csv"
        )
    splits = [name for name in classes if name.lower() in SPLITS]
    to_train = any(SPLITS[name.lower()] == "train" for name in splits)
    inside = Counter(below for name in splits for below in _folders(folder / name))
    alike = any(times > 1 for times in inside.values())  # the classes of one split are those of another
    if splits and (len(splits) == len(classes) or (len(splits) > 1 and (to_train or alike))):
        raise DataError(
            f"{folder} holds the splits {', '.join(splits)}, not classes; name one of them, as {folder / splits[0]}"
        )
    if len(classes) == 1 < least:
        raise DataError(f"{folder} holds one class folder only, {classes[0]!r}; it needs two classes or more")
    paths, labels, strays = list[str](), list[str](), [name for name in names if name not in classes]
    for name in classes:
        files = list(_walk(folder, name, above=(os.path.realpath(folder),)))
        pictures = [path for path in files if _is_picture(path)]
        if not pictures:
            raise DataError(f"class folder {name!r} of {folder} holds no image; fill it or remove it")
        paths += pictures
        labels += [name] * len(pictures)
        strays += [path for path in files if not _is_picture(path)]
    notes = (_left_out(strays, "is no image"),) if strays else ()
    return _pictures(folder, paths, pa.chunked_array([pa.array(labels, pa.string())]), label or "label", notes)


def _by_metadata(folder: Path, name: str, label: str | None) -> Pictures:
    path = folder / name
    table, said = read_delimited(path, label=label) if path.suffix == ".csv" else (_json_lines(path), ())
    if _FILE_NAME not in table.schema.names:
        raise DataError(f"{path} has no column {_FILE_NAME!r}; it names the image of each row")
    names = list(map(str, table.column(_FILE_NAME).to_pylist()))
    for file in names:
        parts = PurePosixPath(file).parts
        if file.startswith(("/", "\\")) or not parts or ".." in parts or "\0" in file or ":" in parts[0]:
            raise DataError(f"{path} names {file!r}, which is not a path below its folder")
    names = [PurePosixPath(file).as_posix() for file in names]  # ./cat/1.png is cat/1.png
    twice = sorted(file for file, times in Counter(names).items() if times > 1)
    if twice:
        raise DataError(f"{path} names {twice[0]} more than once; keep one row per image")
    column = find_label([other for other in table.schema.names if other != _FILE_NAME], label, source=path.name)
    known = set(names)
    others = [file for file in _walk(folder, "", above=()) if _is_picture(file) and file not in known]
    notes = (*said, *([_left_out(others, f"is not named in {name}")] if others else []))
    found = _pictures(folder, names, table.column(column), column, notes)
    says = "origin" in table.schema.names and column != "origin"
    return replace(found, origins=table.column("origin").to_pylist() if says else ())


def _json_lines(path: Path) -> pa.Table:
    rows = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            row = json.loads(line) if line.strip() else None
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path.name} line {number} is not JSON; write one object per line") from error
        if isinstance(row, dict):
            rows.append(row)
        elif row is not None:
            raise DataError(f"{path.name} line {number} is no object; write one object per line")
    columns = {name: [row.get(name) for row in rows] for name in dict.fromkeys(name for row in rows for name in row)}
    arrays = {}
    for name, values in columns.items():
        try:
            arrays[name] = pa.array(values)
        except (pa.ArrowException, OverflowError):
            raise DataError(f"{path.name}: {name!r} mixes values of several types; use one") from None
    return pa.table(arrays)


def _pictures(folder: Path, paths: list[str], labels: pa.ChunkedArray, label: str, notes: tuple[str, ...]) -> Pictures:
    def contents() -> Iterator[Content]:
        return (partial(_read, folder / path) for path in paths)

    return Pictures(str(folder), paths, labels, contents, label, notes)


def _read(path: Path) -> bytes:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("is not a regular file")
    if status.st_size > FILE_LIMIT_BYTES:
        raise ValueError(f"has more than {FILE_LIMIT_BYTES >> 20} MiB")
    return path.read_bytes()


def _walk(folder: Path, inside: str, *, above: tuple[str, ...]) -> Iterator[str]:
    """Yield the files below ``folder / inside``, sorted, as paths below ``folder``; links are followed, not loops."""
    real = os.path.realpath(folder / inside)
    if real in above:
        raise DataError(f"{folder / inside} links back to a folder above it; remove the link")
    for name in _entries(folder / inside):
        path = f"{inside}/{name}" if inside else name
        if (folder / path).is_dir():
            yield from _walk(folder, path, above=(*above, real))
        else:
            yield path


def _folders(folder: Path) -> list[str]:
    return [name for name in _entries(folder) if (folder / name).is_dir()]


def _entries(folder: Path) -> list[str]:
    """The names in a folder as they sort, hidden ones and what desktops leave behind left out."""
    return sorted(
        name
        for name in os.listdir(folder)  # noqa: PTH208
        if not name.startswith((".", "__MACOSX")) and name.lower() not in ("thumbs.db", "desktop.ini")
    )


def _is_picture(name: str) -> bool:
    return name.lower().endswith((*SUFFIXES, *_OTHERS)) and not name.startswith(".")


def _left_out(names: list[str], why: str) -> str:
    more = f" and {len(names) - 1} more files" if len(names) > 1 else ""
    return f"{names[0]}{more} left out: {why}"
