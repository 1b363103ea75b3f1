"""What a table and a set of images have in common, for everything that balances either without looking inside.

May import its own room.
"""

from __future__ import annotations

from typing import Literal, Protocol, Self

import numpy as np
import pyarrow as pa

from synthgen.data.images import ImageDataset
from synthgen.data.schema import Label

Modality = Literal["table", "image"]


class Dataset(Protocol):
    """Rows or images with their classes; ``TabularDataset`` and ``ImageDataset`` are the two there are."""

    @property
    def classes(self) -> tuple[Label, ...]:
        """The label values, sorted."""
        ...

    @property
    def label(self) -> str:
        """The name of the label."""
        ...

    @property
    def label_codes(self) -> np.ndarray:
        """(N,) int32: each row's index into ``classes``."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What reading had to decide."""
        ...

    @property
    def repeated(self) -> np.ndarray | None:
        """(N,) bool: added rows that are real ones again; None where none is."""
        ...

    @property
    def size_bytes(self) -> int:
        """The bytes that the content takes in memory."""
        ...

    def __len__(self) -> int: ...

    def counts(self) -> dict[Label, int]:
        """Return rows per class, 0 included."""
        ...

    def take(self, rows: np.ndarray) -> Self:
        """Return the rows at the positions (or where the bool mask is true), in that order."""
        ...

    def apart(self) -> Self:
        """Return these rows in memory of their own, so that what they were taken from can go."""
        ...

    def of_class(self, label: Label) -> Self:
        """Return the rows of one class."""
        ...

    def concat(self, *others: Self) -> Self:
        """Return these rows followed by the others', which are of the same kind."""
        ...

    def as_repeats(self) -> Self:
        """Return these rows, each said to be a real one again."""
        ...

    def fingerprint(self) -> str:
        """Return the sha256 (hex) of the content."""
        ...

    def feature_hashes(self) -> np.ndarray:
        """Return (N,) uint64: rows with equal features have equal hashes."""
        ...

    def to_arrow(self) -> pa.Table:
        """Return the rows as an Arrow table."""
        ...


def modality_of(dataset: Dataset) -> Modality:
    """Return which of the two a dataset is."""
    return "image" if isinstance(dataset, ImageDataset) else "table"
