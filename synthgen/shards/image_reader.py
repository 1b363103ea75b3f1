"""Published images back: from tars, an ImageFolder or parquet, every file checked against the manifest first.

May import errors, data and its own room; torch only inside ``to_torch``.
"""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from synthgen.data.images import ImageDataset
from synthgen.data.pixels import decode, read_header
from synthgen.data.schema import Label
from synthgen.errors import DataError
from synthgen.shards.images import METADATA, RECORD, image_schema
from synthgen.shards.manifest import FileEntry, Manifest, Origin
from synthgen.shards.verify import not_as_published, read_listed

if TYPE_CHECKING:
    import pandas as pd
    import torch


@dataclass(frozen=True, eq=False)
class ImagePart:
    """Some of the published images, ``train`` or ``test``; files are read, and checked, when images are asked for.

    ``classes`` are the label values, by code. ``rows`` counts the images by origin.
    """

    folder: Path
    entries: tuple[FileEntry, ...]
    label: str
    classes: tuple[Label, ...]
    name: str
    rows: Mapping[Origin, int]

    @classmethod
    def of(cls, folder: Path, entries: tuple[FileEntry, ...], manifest: Manifest, name: str) -> ImagePart:
        """Return the part of a run that the listed files are."""
        rows: dict[Origin, int] = {"real": sum(entry.rows or 0 for entry in entries)}
        if name == "train":
            counts = manifest.counts.values()
            rows = {
                "real": sum(one.real for one in counts),
                "synthetic": sum(one.synthetic for one in counts),
                "repeated": sum(one.repeated for one in counts),
            }
        ordered = sorted(manifest.labels, key=lambda one: one.code)
        return cls(folder, entries, manifest.label, tuple(one.value for one in ordered), name, rows)

    def __len__(self) -> int:
        return sum(self.rows.values())

    def origin(self, *origins: Origin) -> ImagePart:
        """Return the images of these origins alone: ``real``, ``synthetic``, ``repeated``."""
        return replace(self, rows={origin: n for origin, n in self.rows.items() if origin in origins})

    def tables(self) -> Iterator[pa.Table]:
        """Yield Arrow tables, one per file: ``image`` (struct of PNG bytes and path), ``label`` (the class's code),
        origin, index, source, model, seed, sample_weight, digital_source_type.

        Raises DataError where a file is missing or is not, to the bit, what the manifest lists.
        """
        schema = image_schema(self.classes)
        wanted = pa.array([*self.rows], pa.string())
        listed = {entry.path.removeprefix(f"{self.name}/"): entry for entry in self.entries}
        for name, entry in listed.items():
            parse: Callable[[bytes], pa.Table]
            if name.endswith(".tar"):
                parse = partial(_tar_table, schema=schema)
            elif name.endswith(".parquet"):
                parse = partial(_parquet_table, schema=schema)
            elif name == METADATA:
                images = {path: read_listed(self.folder, one) for path, one in listed.items() if one.rows}
                parse = partial(_folder_table, images=images, schema=schema)
            else:
                continue
            table = _checked(self.folder, entry, parse)
            yield table.filter(pc.is_in(table.column("origin"), value_set=wanted))

    def to_arrow(self) -> pa.Table:
        """Return the images as one Arrow table; DataError where the part has none of the kind asked for."""
        if not len(self):
            raise DataError(f"{self.folder} holds no {self.name} images of the kind asked for")
        return pa.concat_tables(self.tables())

    def to_pandas(self) -> pd.DataFrame:
        """Return the images as a frame; an image is a dict of PNG bytes and path."""
        frame: pd.DataFrame = self.to_arrow().to_pandas()
        return frame

    def to_dataset(self) -> ImageDataset:
        """Return the decoded images with the manifest's classes, in the order in which they were published."""
        table = self.to_arrow()
        cells = table.column("image").combine_chunks().field("bytes")
        channels = 1 if read_header(cells[0].as_py()).gray else 3
        images = np.stack([decode(cell.as_py(), channels=channels).pixels for cell in cells])
        codes = table.column("label").to_numpy().astype(np.int32)
        names = np.array(table.column("source").to_pylist(), dtype=object)
        return ImageDataset(images, codes, self.classes, names, self.label)

    def to_torch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the images (N, C, H, W) uint8 and the label codes (N,) int64."""
        return self.to_dataset().to_torch()


def holds_images(entries: Sequence[FileEntry]) -> bool:
    """Return whether a part's files are ones that ``write_images`` makes."""
    names = [entry.path.rpartition("/")[2] for entry in entries]
    return any(name.endswith(".tar") or name.startswith("images-") or name == METADATA for name in names)


def _checked(folder: Path, entry: FileEntry, parse: Callable[[bytes], pa.Table]) -> pa.Table:
    data = read_listed(folder, entry)
    try:
        table = parse(data)
        if entry.rows is not None and table.num_rows != entry.rows:
            raise ValueError(f"{table.num_rows} images, the manifest says {entry.rows}")
    except (ValueError, KeyError, TypeError, OSError, tarfile.TarError, pa.ArrowException) as error:
        raise not_as_published(folder, entry, error) from error
    return table


def _tar_table(data: bytes, schema: pa.Schema) -> pa.Table:
    samples: dict[str, dict[str, bytes]] = {}
    with tarfile.TarFile(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            content = archive.extractfile(member)
            key, _, suffix = member.name.partition(".")
            samples.setdefault(key, {})[suffix] = content.read() if content else b""
    rows = []
    for key, members in samples.items():
        image = {"bytes": members["png"], "path": f"{key}.png"}
        rows.append({**json.loads(members["json"]), "image": image, "label": int(members["cls"])})
    return pa.Table.from_pylist(rows, schema=schema)


def _parquet_table(data: bytes, schema: pa.Schema) -> pa.Table:
    return pq.ParquetFile(pa.BufferReader(data)).read().cast(schema)


def _folder_table(data: bytes, images: Mapping[str, bytes], schema: pa.Schema) -> pa.Table:
    numbers: dict[str, type[int] | type[float]] = {name: int for name, kind in RECORD if pa.types.is_integer(kind)}
    numbers |= {name: float for name, kind in RECORD if pa.types.is_floating(kind)}
    rows = []
    for row in csv.DictReader(io.StringIO(data.decode(), newline="")):
        path = row["file_name"]
        record = {name: numbers.get(name, str)(row[name]) for name, _ in RECORD}
        code = int(path[1:4])  # of its folder, c000_name
        rows.append({**record, "image": {"bytes": images[path], "path": path}, "label": code})
    return pa.Table.from_pylist(rows, schema=schema)
