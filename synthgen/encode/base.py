"""What every codec promises, and the arrays that it makes. May import errors and data; no torch, no scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import numpy as np

from synthgen.data.dataset import TabularDataset
from synthgen.data.layout import TableLayout
from synthgen.data.schema import Label


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


class Codec(Protocol):
    """A table's two-way translation, learned from training rows. Deterministic in content, row order and seed."""

    @property
    def layout(self) -> TableLayout:
        """The shape of what ``encode`` gives and ``decode`` takes."""
        ...

    def fit(self, dataset: TabularDataset) -> Self:
        """Learn the columns from the training rows."""
        ...

    def encode(self, dataset: TabularDataset, *, seed: int) -> EncodedTable:
        """Return the rows as arrays."""
        ...

    def decode(self, encoded: EncodedTable, *, label: Label, seed: int) -> TabularDataset:
        """Return whole rows of the fitted schema, every one labelled ``label``."""
        ...

    def save(self, folder: Path) -> None:
        """Write the fitted codec as JSON and plain arrays."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the codec that ``save`` wrote; it decodes to the same bytes."""
        ...
