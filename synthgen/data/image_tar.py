"""Images in WebDataset tars: the members of a sample side by side, under one name, each with its own suffix.

Members are read one by one where they lie, never unpacked, and only from plain tars. May import errors and its own
room.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pyarrow as pa

from synthgen.data.pictures import FILE_LIMIT_BYTES, MAX_IMAGES, Content, Pictures
from synthgen.data.schema import LABEL_NAMES, Label
from synthgen.errors import ConfigError, DataError

IMAGES = ("png", "jpg", "jpeg", "webp", "bmp")
_CLASS, _SIDECAR, _ORIGIN = "cls", "json", "origin"
_LIMITS = {_CLASS: 1 << 10, _SIDECAR: 1 << 20}


@dataclass
class _Sample:
    """One sample: its key, where its image lies (offset and size), its class number, its sidecar."""

    key: str
    image: tuple[int, int] | None = None
    members: dict[str, bytes] = field(default_factory=dict)


def tar_pictures(paths: list[Path], *, label: str | None, where: str) -> Pictures:
    """Return the images of WebDataset tars: png, jpg, jpeg, webp or bmp, with a cls or json member.

    The label is the json's field ``label`` where it is given, else json's only field named label, target, class or
    y, else the whole number in cls; all samples have it from the same place. Members of other suffixes are left out.
    Raises DataError for damaged archives, links among the members, and samples without one image and a label.
    """
    names, labels, places = list[str](), list[Label](), list[tuple[Path, int, int]]()
    origins = list[object]()
    source: str | None = None
    for path in paths:
        for sample in _samples(path):
            name = f"{path.name}: {sample.key}"
            if sample.image is None:
                raise DataError(f"{name} has no image; a sample is a png, jpg, jpeg, webp or bmp with a cls or json")
            sidecar = _sidecar(sample, name)
            field_name, value = _label(sample, sidecar, name, label)
            if source not in (None, field_name):
                raise DataError(f"{name} has its label in {field_name}, samples before it in {source}; use one")
            source = field_name
            origins.append(sidecar.get(_ORIGIN) if field_name != _ORIGIN else None)
            names.append(name)
            labels.append(value)
            places.append((path, *sample.image))
            if len(names) > MAX_IMAGES:
                raise DataError(f"{where} holds more than {MAX_IMAGES} images; name fewer tars")
    try:
        column = pa.chunked_array([pa.array(labels)])
    except (pa.ArrowException, OverflowError) as error:
        raise DataError(f"{where}: the labels mix text and numbers; use one of them") from error

    def contents() -> Iterator[Content]:
        return (partial(_slice, *place) for place in places)

    named = source if source not in (None, _CLASS) else label or "label"
    return Pictures(where, names, column, contents, named, origins=origins)


def _samples(path: Path) -> Iterator[_Sample]:
    """Yield a tar's samples: neighbours whose names agree up to the first dot of their last part."""
    try:
        with path.open("rb") as stream, tarfile.TarFile(fileobj=stream, mode="r") as archive:
            sample: _Sample | None = None
            at = -1
            while (member := archive.next()) is not None:
                vars(archive)["members"].clear()  # one header at a time: a tar may hold millions
                if archive.offset <= at or member.size < 0:  # a negative size would lead back, for ever
                    raise tarfile.ReadError
                at = archive.offset
                folder, _, file = member.name.rpartition("/")
                stem, _, suffix = file.partition(".")
                if member.isdir() or not stem:
                    continue
                if not member.isreg() or member.issparse():
                    raise DataError(f"{path.name}: {member.name!r} is no regular file; write the tar without links")
                key = f"{folder}/{stem}" if folder else stem
                if sample is None or sample.key != key:
                    if sample is not None:
                        yield sample
                    sample = _Sample(key)
                _add(sample, suffix.lower(), member, archive, path)
            stream.seek(archive.offset)
            end = stream.read(tarfile.BLOCKSIZE)
            whole = sample is None or (sample.image is not None and bool(sample.members))
            if end.strip(b"\0") or not (end or whole):  # tarfile takes a damaged header, or none, for the end
                raise tarfile.ReadError
            if sample is not None:
                yield sample
    except (tarfile.TarError, OSError, EOFError, ValueError, OverflowError, RecursionError) as error:
        raise DataError(f"{path.name} cannot be read as a plain tar; write it again, uncompressed") from error


def _add(sample: _Sample, suffix: str, member: tarfile.TarInfo, archive: tarfile.TarFile, path: Path) -> None:
    if suffix in IMAGES:
        if sample.image is not None:
            raise DataError(f"{path.name}: {sample.key} has two images; keep one per sample")
        sample.image = (member.offset_data, member.size)
    elif suffix in _LIMITS:
        content = archive.extractfile(member)
        if member.size > _LIMITS[suffix] or content is None:
            raise DataError(f"{path.name}: {member.name!r} has {member.size} bytes; at most {_LIMITS[suffix]} are read")
        sample.members[suffix] = content.read()


def _label(sample: _Sample, found: Mapping[str, object], name: str, label: str | None) -> tuple[str, Label]:
    """Return where the label stands, the json's field or ``cls``, and the label."""
    fields = [key for key in found if (key == label if label else key.lower() in LABEL_NAMES)]
    if len(fields) > 1:
        raise ConfigError(f"several fields could be the label of {name}: {', '.join(fields)}; choose one with --label")
    if fields:
        value = found[fields[0]]
        if not isinstance(value, (str, int, float)):
            raise DataError(f"{name}: the json's field {fields[0]!r} is missing or no text or number; it is the label")
        return fields[0], value
    text = sample.members.get(_CLASS)
    if text is None:
        raise DataError(f"{name} has no label: neither a cls member nor a json with the field {label or 'label'!r}")
    try:
        return _CLASS, int(text)
    except ValueError:
        raise DataError(f"{name}: the cls member holds no whole number; put the label into the json") from None


def _sidecar(sample: _Sample, name: str) -> dict[str, object]:
    if _SIDECAR not in sample.members:
        return {}
    try:
        found = json.loads(sample.members[_SIDECAR])
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise DataError(f"{name}: the json member holds no JSON object; write it again")
    return found


def _slice(path: Path, start: int, size: int) -> bytes:
    if size > FILE_LIMIT_BYTES:
        raise ValueError(f"has more than {FILE_LIMIT_BYTES >> 20} MiB")
    with path.open("rb") as stream:
        stream.seek(start)
        return stream.read(size)
