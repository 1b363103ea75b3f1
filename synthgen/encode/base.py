"""What every codec promises, and the arrays that it makes. May import errors and data; no torch, no scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self, TypeVar

import numpy as np

from synthgen.data.layout import Layout
from synthgen.data.schema import Label

DatasetT = TypeVar("DatasetT")
EncodedT = TypeVar("EncodedT")


@dataclass(frozen=True, eq=False)
class EncodedTable:
    """Rows as a model sees them: ``numeric`` (N, P) float32 scores, ``codes`` (N, Q) int32 level numbers."""

    numeric: np.ndarray
    codes: np.ndarray

    def __len__(self) -> int:
        return len(self.numeric)

    def take(self, rows: np.ndarray) -> EncodedTable:
        """Return the rows at the integer positions (or where the bool mask is true), in that order."""
        return EncodedTable(self.numeric[rows], self.codes[rows])


@dataclass(frozen=True, eq=False)
class EncodedImages:
    """Images as a network sees them: ``pixels`` (N, C, S, S) float32 in [-1, 1]."""

    pixels: np.ndarray

    def __len__(self) -> int:
        return len(self.pixels)

    def take(self, rows: np.ndarray) -> EncodedImages:
        """Return the images at the integer positions (or where the bool mask is true), in that order."""
        return EncodedImages(self.pixels[rows])


class Codec(Protocol[DatasetT, EncodedT]):
    """A dataset's two-way translation, learned from training rows. Deterministic in content, row order and seed."""

    @property
    def layout(self) -> Layout:
        """The shape of what ``encode`` gives and ``decode`` takes."""
        ...

    def fit(self, dataset: DatasetT) -> Self:
        """Learn what there is to know of the training rows."""
        ...

    def encode(self, dataset: DatasetT, *, seed: int) -> EncodedT:
        """Return the rows as arrays."""
        ...

    def decode(self, encoded: EncodedT, *, label: Label, seed: int) -> DatasetT:
        """Return whole rows or images like those fitted, every one labelled ``label``."""
        ...

    def save(self, folder: Path) -> None:
        """Write the fitted codec as JSON and plain arrays."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the codec that ``save`` wrote; it decodes to the same bytes."""
        ...
