"""The training rows that an engine keeps: encoded, bounded however large the table is, saved without pickle.

May import data, encode and engines.base.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from synthgen.data.dataset import TabularDataset
from synthgen.data.images import ImageDataset
from synthgen.data.schema import Label
from synthgen.encode.base import EncodedTable
from synthgen.encode.tabular import TabularCodec
from synthgen.engines.base import code_of, labels_to_json
from synthgen.seeding import numpy_rng

MAX_REST = 20_000
MAX_OWN = 50_000


def bounded(
    train: TabularDataset | ImageDataset, wanted: Mapping[Label, int], *, rest: int, own: int, seed: int
) -> np.ndarray:
    """Return ascending row positions: a seeded draw of ``rest`` rows of all classes, and ``own`` of each wanted one."""
    codes = train.label_codes
    rng = numpy_rng(seed, "bounded")
    keep = np.zeros(len(train), dtype=bool)
    if len(train) <= rest:
        keep[:] = True
    else:
        keep[rng.choice(len(train), rest, replace=False)] = True
    for code, label in enumerate(train.classes):
        rows = np.flatnonzero(codes == code)
        if label in wanted and len(rows) <= own:
            keep[rows] = True
        elif label in wanted:
            keep[rng.choice(rows, own, replace=False)] = True
    return np.flatnonzero(keep)


@dataclass(frozen=True, eq=False)
class Pool:
    """Encoded rows with their class: ``labels`` (N,) int32 indexes ``classes``."""

    codec: TabularCodec
    encoded: EncodedTable
    labels: np.ndarray
    classes: tuple[Label, ...]

    @classmethod
    def of(
        cls,
        train: TabularDataset,
        wanted: Mapping[Label, int],
        *,
        seed: int,
        numeric: Literal["quantile", "standard"] = "quantile",
        rest: int = MAX_REST,
        level: bool = False,
    ) -> Pool:
        """Fit a codec on all of ``train`` and encode what is kept: every wanted class, and ``rest`` rows besides.

        ``level``: equal numbers get equal scores.
        """
        codec = TabularCodec(numeric=numeric).fit(train)
        kept = train.take(bounded(train, wanted, rest=rest, own=MAX_OWN, seed=seed))
        return cls(codec, codec.encode(kept, seed=None if level else seed), kept.label_codes, train.classes)

    def own(self, label: Label, *, engine: str) -> np.ndarray:
        """Return the positions of a class's rows. Raises ConfigError for a class without any."""
        return np.flatnonzero(self.labels == code_of(self.classes, label, engine=engine))

    def dense(self, rows: np.ndarray) -> np.ndarray:
        """Return (len(rows), D) float64 coordinates for distances."""
        return dense(self.encoded.take(rows), self.codec.layout.levels)

    def save(self, folder: Path) -> None:
        """Write codec, arrays and classes to ``folder``."""
        self.codec.save(folder / "codec")
        np.savez_compressed(
            folder / "pool.npz", numeric=self.encoded.numeric, codes=self.encoded.codes, labels=self.labels
        )
        text = json.dumps(labels_to_json(self.classes), ensure_ascii=True)
        (folder / "classes.json").write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Pool:
        """Return the pool that ``save`` wrote."""
        with np.load(folder / "pool.npz", allow_pickle=False) as arrays:
            encoded = EncodedTable(numeric=arrays["numeric"], codes=arrays["codes"])
            labels = arrays["labels"]
        classes = tuple(json.loads((folder / "classes.json").read_text(encoding="utf-8")))
        return cls(TabularCodec.load(folder / "codec"), encoded, labels, classes)


WIDE = 32
PROJECTED = 16


def dense(encoded: EncodedTable, levels: tuple[int, ...]) -> np.ndarray:
    """Return (N, D) float64 coordinates in which two different levels of a column lie about sqrt(2) apart.

    A column of more than 32 levels is laid on fixed random unit vectors of 16 dimensions, so that D stays small.
    """
    blocks = [encoded.numeric.astype(np.float64)]
    for column, size in enumerate(levels):
        if size <= WIDE:
            points = np.eye(size)
        else:
            points = numpy_rng(0, "levels", column, size).standard_normal((size, PROJECTED))
            points /= np.linalg.norm(points, axis=1, keepdims=True)
        blocks.append(points[encoded.codes[:, column]])
    return np.concatenate(blocks, axis=1)
