"""A run's images on their way out: which are real, synthetic or repeated, and what made each.

May import run, engines, rebalance and shards.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa

from synthgen.data.images import ImageDataset
from synthgen.data.schema import Label
from synthgen.engines.base import Engine
from synthgen.rebalance import sample_seed
from synthgen.run import Run
from synthgen.shards.images import ImageFormat, ImageGroup, image_table, write_images
from synthgen.shards.manifest import FileEntry, Origin

FORMAT: ImageFormat = "webdataset"


def write_image_parts(run: Run, engines: Mapping[Label, Engine], folder: Path) -> list[FileEntry]:
    """Write train, and test where the holdout is published, into ``folder``; return the files' entries."""
    format, seed = run.config.format or FORMAT, run.config.seed
    groups = [ImageGroup(cast("ImageDataset", run.shipped), "real")]
    for label in engines:
        groups += _groups(run, label)
    entries = write_images(groups, folder / "train", format=format, seed=seed, root=folder)
    if run.record.ship == "train" and run.holdout is not None:
        held = [ImageGroup(cast("ImageDataset", run.holdout), "real")]
        entries += write_images(held, folder / "test", format=format, seed=seed, root=folder)
    return entries


def _groups(run: Run, label: Label) -> list[ImageGroup]:
    """A label's draw by origin; (model, seed, label, index) names each image, index being its place in the draw."""
    rows = cast("ImageDataset", run.read_rows(run.draw_path(label, 0)))
    model = folder_hash(run.model_folder(run.plan.unit_of(label).name))
    return _by_origin(rows, model, sample_seed(run.config.seed, label))


def drawn_table(rows: ImageDataset, model: Path, *, seed: int) -> pa.Table:
    """Return a draw of the engine in the folder ``model`` as the rows that parquet shards have, in its own order."""
    return image_table(_by_origin(rows, folder_hash(model), seed), rows.classes)


def _by_origin(rows: ImageDataset, model: str, seed: int) -> list[ImageGroup]:
    again = _repeated(rows)
    places: list[tuple[Origin, np.ndarray]] = [
        ("repeated", np.flatnonzero(again)),
        ("synthetic", np.flatnonzero(~again)),
    ]
    return [ImageGroup(rows.take(where), origin, model, seed, places=where) for origin, where in places if len(where)]


def _repeated(rows: ImageDataset) -> np.ndarray:
    return np.zeros(len(rows), dtype=bool) if rows.repeated is None else rows.repeated


def folder_hash(folder: Path) -> str:
    """Return the sha256 (hex) of a model folder: its files' paths and contents."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "done"):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
