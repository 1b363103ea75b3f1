"""Reading what was published: the highest commit, its manifest, and no file that the manifest does not list.

May import errors, data (inside functions) and its own room; torch only inside ``to_torch``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pyarrow as pa
import pyarrow.parquet as pq

from synthgen.errors import DataError
from synthgen.shards.collect import gc
from synthgen.shards.commits import (
    COMMITS,
    DATA,
    Commit,
    commit_numbers,
    read_commit,
    read_head,
    read_loose_manifest,
    read_manifest,
)
from synthgen.shards.files import Files
from synthgen.shards.image_reader import ImagePart, holds_images
from synthgen.shards.manifest import MANIFEST_NAME, FileEntry, Manifest, Origin, parse_manifest
from synthgen.shards.parquet import without_footer
from synthgen.shards.verify import not_as_published, read_listed, verify

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from synthgen.data.dataset import TabularDataset

__all__ = ["ImagePart", "Part", "Shards", "gc", "is_published", "read_shards", "verify"]

_THRIFT_LIMIT = 64 << 20
_ATTEMPTS = 5
_PARTS = ("train", "test")


@dataclass(frozen=True, eq=False)
class Part:
    """Some of the published rows, ``train`` or ``test``; files are read, and checked, when rows are asked for."""

    folder: Path
    entries: tuple[FileEntry, ...]
    label: str
    name: str
    categorical: tuple[str, ...] = ()
    provenance: str | None = None

    def __len__(self) -> int:
        return sum(entry.rows or 0 for entry in self.entries)

    def origin(self, *origins: Origin) -> Part:
        """Return the rows of these origins alone: ``real``, ``synthetic``, ``repeated``."""
        return replace(self, entries=tuple(entry for entry in self.entries if entry.origin in origins))

    def tables(self) -> Iterator[pa.Table]:
        """Yield one Arrow table per file, so that one file at a time is in memory.

        Raises DataError where a file is missing or is not, to the bit, what the manifest lists.
        """
        for entry in self.entries:
            yield _read_shard(self.folder, entry)

    def to_arrow(self) -> pa.Table:
        """Return the rows as an Arrow table of the input's schema; DataError where the part has no file."""
        if not self.entries:
            raise DataError(f"{self.folder} holds no {self.name} rows of the kind asked for")
        return pa.concat_tables(self.tables())

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows as a frame, with the dtypes of the input."""
        frame: pd.DataFrame = self.to_arrow().to_pandas()
        return frame

    def to_dataset(self) -> TabularDataset:
        """Return the rows as a TabularDataset, with the manifest's label and without the column of origins."""
        from synthgen.data.dataset import from_table

        drop = () if self.provenance is None else (self.provenance,)
        return from_table(self.to_arrow(), label=self.label, drop=drop, categorical=self.categorical)

    def to_torch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return features (N, F) float32 and label codes (N,) int64, as ``TabularDataset.to_torch`` does."""
        return self.to_dataset().to_torch()


@dataclass(frozen=True, eq=False)
class Shards:
    """A published run: its folder, its manifest, the commit that names it (None for a copied folder), its parts."""

    folder: Path
    manifest: Manifest
    commit: int | None

    @property
    def train(self) -> Part | ImagePart:
        """The rows or images to train on: real, synthetic and repeated."""
        return self._part("train")

    @property
    def test(self) -> Part | ImagePart:
        """The real rows or images left out of train; none unless the run was published with ``--ship train``."""
        return self._part("test")

    def to_arrow(self) -> pa.Table:
        """Return the train rows as an Arrow table."""
        return self.train.to_arrow()

    def to_pandas(self) -> pd.DataFrame:
        """Return the train rows as a frame."""
        return self.train.to_pandas()

    def to_torch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the train rows as features (N, F), images as pixels (N, C, H, W), and label codes (N,)."""
        return self.train.to_torch()

    def _part(self, name: str) -> Part | ImagePart:
        listed = tuple(entry for entry in self.manifest.files if entry.path.startswith(f"{name}/"))
        if holds_images(listed):
            return ImagePart.of(self.folder, listed, self.manifest, name)
        entries = tuple(entry for entry in listed if entry.part == name and entry.path.endswith(".parquet"))
        named = cast("Sequence[str]", self.manifest.config.get("categorical") or ())
        provenance = cast("str | None", self.manifest.config.get("provenance_column"))
        return Part(self.folder, entries, self.manifest.label, name, tuple(named), provenance)


def read_shards(folder: Path | str) -> Shards:
    """Return what was published last in a destination, or the run whose ``data/<run_id>`` folder (or ``train`` or
    ``test`` in it) is given.

    Of a destination the highest commit is followed, never ``current``; the manifest has to be the one it names, to
    the bit. A run's folder is checked against its commit where that is two folders up, else by its own seal. Raises
    DataError where nothing was published, or where what was is damaged.
    """
    files, root = Files(), Path(os.path.realpath(folder))
    try:
        if (root / COMMITS).is_dir():
            return _follow_head(files, root, folder)
        if os.path.lexists(root / MANIFEST_NAME):
            return _open_run(files, root)
        if root.name in _PARTS and os.path.lexists(root.parent / MANIFEST_NAME):
            return _open_run(files, root.parent)
    except OSError as error:
        raise DataError(
            f"{error.filename or folder}: {error.strerror or error}; run synthgen verify {folder}"
        ) from error
    raise DataError(
        f"nothing was published in {folder}; give the folder that --out named, its current, or a data/<run_id> of it"
    )


def is_published(folder: Path) -> bool:
    """Return whether ``folder`` is a destination, or the published folder of one run, also where that was copied."""
    if (folder / MANIFEST_NAME).is_file():
        with suppress(DataError):
            return bool(parse_manifest((folder / MANIFEST_NAME).read_bytes()))
    return (folder / COMMITS).is_dir() and bool(commit_numbers(Files(), folder))


def _follow_head(files: Files, out: Path, folder: Path | str) -> Shards:
    for attempt in range(_ATTEMPTS):
        try:
            head = read_head(files, out)
            if head is None:
                break
            return Shards(out / DATA / head.run_id, read_manifest(files, out, head), head.number)
        except FileNotFoundError:  # gc took it after newer commits came: look again
            if attempt == _ATTEMPTS - 1:
                raise
    raise DataError(f"nothing was published in {folder} yet; run synthgen balance with this --out")


def _open_run(files: Files, run: Path) -> Shards:
    commit = _commit_of(files, run)
    if commit is None:
        return Shards(run, read_loose_manifest(files, run), None)
    return Shards(run, read_manifest(files, run.parent.parent, commit), commit.number)


def _commit_of(files: Files, run: Path) -> Commit | None:
    out = run.parent.parent
    if run.parent.name != DATA or not (out / COMMITS).is_dir():
        return None
    for number in reversed(commit_numbers(files, out)):
        commit = read_commit(files, out, number)
        if commit.run_id == run.name:
            return commit
    return None


def _read_shard(folder: Path, entry: FileEntry) -> pa.Table:
    data = read_listed(folder, entry)
    try:
        opened = pq.ParquetFile(
            pa.BufferReader(data), thrift_string_size_limit=_THRIFT_LIMIT, thrift_container_size_limit=_THRIFT_LIMIT
        )
        if opened.metadata.num_rows != entry.rows:
            raise ValueError(f"{opened.metadata.num_rows} rows, the manifest says {entry.rows}")
        return without_footer(opened.read())
    except (ValueError, OSError, pa.ArrowException) as error:
        raise not_as_published(folder, entry, error) from error
