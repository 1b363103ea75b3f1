"""Images to shards: WebDataset tars, an ImageFolder, or parquet; one size, encoded alike, the same bytes every time.

Real and added images are mixed across classes in one seeded order, and no name tells which is which: the origin is
in the sidecar, the row, or the PNG's text. May import errors, seeding, data and its own room.
"""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
import re
import tarfile
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from synthgen.data.dataset import text_of
from synthgen.data.images import IMAGE_TYPE, ImageDataset
from synthgen.data.pixels import encode_png
from synthgen.data.schema import Label
from synthgen.errors import ConfigError, DataError
from synthgen.seeding import numpy_rng
from synthgen.shards.files import Files, Output
from synthgen.shards.manifest import SYNTHETIC_SOURCE_TYPE, FileEntry, Origin
from synthgen.shards.preflight import write_errors

ImageFormat = Literal["webdataset", "imagefolder", "parquet"]

IMAGES_PER_FILE = 5_000
FEWEST_FILES = 8  # a data loader gives each of its workers a file or more
METADATA = "metadata.csv"
RECORD = (
    ("origin", pa.string()),
    ("index", pa.int64()),
    ("source", pa.string()),
    ("model", pa.string()),
    ("seed", pa.int64()),
    ("sample_weight", pa.float64()),
    ("digital_source_type", pa.string()),
)
_ROWS_PER_GROUP = 500
_OURS = re.compile(
    r"part-\d{6}\.tar|images-\d{5}-of-\d{5}\.parquet|c\d{3}_[a-z0-9-]+|metadata\.csv|(wids|sizes|_info)\.json"
)


@dataclass(frozen=True, eq=False)
class ImageGroup:
    """Images of one origin on their way out.

    ``model`` is the hash of the generator that made them and ``seed`` the seed that it was given, for images that
    were generated; an image's ``index`` in the shards is its position in this group, or what ``places`` (N,) says, so
    that (model, seed, label, index) names it. ``sample_weight`` is what a training job should weigh them by.
    """

    images: ImageDataset
    origin: Origin
    model: str = ""
    seed: int = 0
    sample_weight: float = 1.0
    places: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class _Sample:
    """One image under its number in the shuffled order."""

    number: int
    group: ImageGroup
    row: int

    @property
    def key(self) -> str:
        return f"{self.number:07d}"

    @property
    def code(self) -> int:
        return int(self.group.images.label_codes[self.row])

    @property
    def label(self) -> Label:
        return self.group.images.classes[self.code]

    @property
    def index(self) -> int:
        return self.row if self.group.places is None else int(self.group.places[self.row])

    def record(self) -> dict[str, str | int | float]:
        """Where the image comes from: the same fields of the same types for every origin, never null."""
        group, source = self.group, str(self.group.images.names[self.row])
        return {
            "origin": group.origin,
            "index": self.index,
            "source": source.encode("utf-8", "replace").decode(),
            "model": group.model,
            "seed": group.seed,
            "sample_weight": float(group.sample_weight),
            "digital_source_type": SYNTHETIC_SOURCE_TYPE if group.origin == "synthetic" else "",
        }

    def png(self) -> bytes:
        return encode_png(self.group.images.images[self.row], text={"synthgen": self.group.origin})


def write_images(
    groups: Sequence[ImageGroup],
    folder: Path,
    *,
    format: ImageFormat,
    seed: int,
    root: Path | None = None,
    files: Files | None = None,
) -> list[FileEntry]:
    """Write the images of all groups, shuffled together, into ``folder`` (train or test); return the files' entries.

    webdataset: ``part-000000.tar`` with png, cls (the class's code) and json per image, and the indexes of wids,
    open_clip and timm; imagefolder: ``c000_name`` folders, one per class, empty ones too, and metadata.csv; parquet:
    ``images-00000-of-0000N.parquet`` typed for datasets. Paths are relative to ``root`` (default: ``folder``); what an
    earlier attempt left is removed. Equal arguments give equal bytes. Raises DataError where groups differ in size,
    channels or classes.
    """
    if format not in _WRITERS:
        raise ConfigError(f"format is {format!r}; images are written as {', '.join(_WRITERS)}")
    groups, files = [group for group in groups if len(group.images)], files or Files()
    for group in groups:
        first = groups[0].images
        if (group.images.shape, group.images.classes) != (first.shape, first.classes):
            raise DataError(
                f"{group.origin} images of shape {group.images.shape} cannot stand beside {groups[0].origin} ones of "
                f"shape {first.shape}: all shipped images have one size, and the same classes"
            )
    rows = [(group, row) for group in groups for row in range(len(group.images))]
    order = numpy_rng(seed, "shards", "images").permutation(len(rows))
    samples = [_Sample(number, *rows[at]) for number, at in enumerate(order)]
    place = _Place(folder, root or folder, files)
    with write_errors(folder):
        for name in files.names(folder):
            if _OURS.fullmatch(name):
                files.remove_tree(folder / name)
        if samples:
            files.make_folder(folder)
            _WRITERS[format](place, samples, groups[0].images.classes)
    return place.entries


def image_table(groups: Sequence[ImageGroup], classes: Sequence[Label]) -> pa.Table:
    """Return the images of all groups as the rows of parquet shards, in the order of their index."""
    rows = [(group, row) for group in groups for row in range(len(group.images))]
    rows.sort(key=lambda each: _Sample(0, *each).index)
    return _table([_Sample(number, *each) for number, each in enumerate(rows)], image_schema(classes))


def class_folder(code: int, label: Label) -> str:
    """Return the folder name of a class: its code, then what of its text is harmless. Never a path, never reserved."""
    plain = unicodedata.normalize("NFKD", text_of(label)).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain)[:40].strip("-")
    return f"c{code:03d}_{slug or 'class'}"


def image_schema(classes: Sequence[Label]) -> pa.Schema:
    """Return the schema of images as rows, with the key that datasets reads its features from."""
    names = [text_of(label) for label in classes]
    values = {name: {"dtype": str(kind).replace("double", "float64"), "_type": "Value"} for name, kind in RECORD}
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}, **values}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.schema([("image", IMAGE_TYPE), ("label", pa.int64()), *RECORD], metadata=metadata)


class _Place:
    """Where files go; ``entries`` lists what was written there."""

    def __init__(self, folder: Path, root: Path, files: Files) -> None:
        self.folder, self.files = folder, files
        self._root = root
        self.entries: list[FileEntry] = []

    @contextlib.contextmanager
    def create(self, name: str, **described: str | int) -> Iterator[Output]:
        """Open a file for writing; its entry has the fields ``described``."""
        path = self.folder / name
        with self.files.create(path) as output:
            yield output
        content = {"size_bytes": output.digest.size_bytes, "sha256": output.digest.sha256}
        listed = {"path": path.relative_to(self._root).as_posix(), **content, **described}
        self.entries.append(FileEntry.model_validate(listed))


def _write_tars(place: _Place, samples: list[_Sample], classes: Sequence[Label]) -> None:
    del classes  # every sample has its own
    sizes = {}
    for number, part in enumerate(_parts(samples)):
        name = f"part-{number:06d}.tar"
        sizes[name] = len(part)
        with place.create(name, rows=len(part)) as output:
            for sample in part:
                _write_members(output, sample)
            output.write(bytes(2 * tarfile.BLOCKSIZE))
    shards = [{"url": name, "nsamples": n} for name, n in sizes.items()]
    split = {"name": place.folder.name, "filenames": [*sizes], "shard_lengths": [*sizes.values()]}
    indexes: dict[str, Mapping[str, object]] = {
        "wids.json": {"__kind__": "wids-shard-index-v1", "wids_version": 1, "shardlist": shards},
        "sizes.json": sizes,
        "_info.json": {"splits": {place.folder.name: {**split, "num_samples": len(samples)}}},
    }
    for name, index in indexes.items():
        with place.create(name) as output:
            output.write(json.dumps(index, indent=1).encode() + b"\n")


def _write_members(output: Output, sample: _Sample) -> None:
    sidecar = json.dumps({"label": sample.label, **sample.record()})
    for suffix, data in (("png", sample.png()), ("cls", str(sample.code).encode()), ("json", sidecar.encode())):
        member = tarfile.TarInfo(f"{sample.key}.{suffix}")
        member.size = len(data)  # time 0, owner 0, mode 644: nothing that differs between two runs
        output.write(member.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % tarfile.BLOCKSIZE))


def _write_folder(place: _Place, samples: list[_Sample], classes: Sequence[Label]) -> None:
    folders = [class_folder(code, label) for code, label in enumerate(classes)]
    for name in folders:  # a class without images keeps its folder: readers number classes by their folders
        place.files.make_folder(place.folder / name)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["file_name", "label", *(name for name, _ in RECORD)])
    for sample in samples:
        name, record = f"{folders[sample.code]}/{sample.key}.png", sample.record()
        kind = {"digital_source_type": SYNTHETIC_SOURCE_TYPE} if record["digital_source_type"] else {}
        with place.create(name, rows=1, origin=sample.group.origin, **kind) as output:
            output.write(sample.png())
        writer.writerow([name, text_of(sample.label).encode("utf-8", "replace").decode(), *record.values()])
    with place.create(METADATA) as output:
        output.write(table.getvalue().encode())


def _write_parquet(place: _Place, samples: list[_Sample], classes: Sequence[Label]) -> None:
    schema, parts = image_schema(classes), _parts(samples)
    for number, part in enumerate(parts):
        name = f"images-{number:05d}-of-{len(parts):05d}.parquet"
        with (
            place.create(name, rows=len(part)) as output,
            pq.ParquetWriter(output, schema, compression="zstd", write_page_checksum=True) as writer,
        ):
            for start in range(0, len(part), _ROWS_PER_GROUP):
                writer.write_table(_table(part[start : start + _ROWS_PER_GROUP], schema))


def _table(samples: Sequence[_Sample], schema: pa.Schema) -> pa.Table:
    rows = [
        {"image": {"bytes": sample.png(), "path": f"{sample.key}.png"}, "label": sample.code, **sample.record()}
        for sample in samples
    ]
    return pa.Table.from_pylist(rows, schema=schema)


_WRITERS: Mapping[str, Callable[[_Place, list[_Sample], Sequence[Label]], None]] = {
    "webdataset": _write_tars,
    "imagefolder": _write_folder,
    "parquet": _write_parquet,
}


def _parts(samples: list[_Sample]) -> list[list[_Sample]]:
    """As many files as the number of images asks for, at least eight where there are so many, as even as can be."""
    n = len(samples)
    n_files = max(-(-n // IMAGES_PER_FILE), min(n, FEWEST_FILES))
    cuts = np.linspace(0, n, n_files + 1).astype(int).tolist()
    return [samples[start:stop] for start, stop in itertools.pairwise(cuts)]
