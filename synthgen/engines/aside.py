"""Columns of more categories than a network can hold: it never sees them, a real row of the class lends its own.

May import data, encode and its own room.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synthgen.data.layout import TableLayout
from synthgen.encode.base import EncodedTable
from synthgen.errors import EngineError

MAX_LEVELS = 2_000  # a network's memory and a step's cost grow with every level


@dataclass(frozen=True, eq=False)
class Aside:
    """The columns of ``whole`` at ``wide`` (W,) positions among its codes, with each kept row's ``codes`` (N, W) int32
    there and ``labels`` (N,)."""

    whole: TableLayout
    wide: np.ndarray
    codes: np.ndarray
    labels: np.ndarray

    @classmethod
    def of(cls, whole: TableLayout, encoded: EncodedTable, labels: np.ndarray) -> Aside:
        """Return what is set aside of the encoded rows. Raises EngineError where nothing would be left to model."""
        wide = np.flatnonzero(np.array(whole.levels) > MAX_LEVELS)
        if len(wide) and whole.n_numeric + len(whole.levels) == len(wide):
            raise EngineError(
                f"every column has more than {MAX_LEVELS:,} categories (the widest {max(whole.levels):,}), too many "
                "for a network; use copula or smote, or add a column"
            )
        return cls(whole, wide, encoded.codes[:, wide] if len(wide) else encoded.codes[:0, :0], labels)

    @property
    def layout(self) -> TableLayout:
        """What the network sees."""
        return TableLayout(self.whole.n_numeric, tuple(np.delete(np.array(self.whole.levels, int), self.wide).tolist()))

    def narrowed(self, encoded: EncodedTable) -> EncodedTable:
        """Return the rows without the columns."""
        return EncodedTable(encoded.numeric, np.delete(encoded.codes, self.wide, axis=1))

    def widened(self, encoded: EncodedTable, label: int, *, rng: np.random.Generator) -> EncodedTable:
        """Return the network's rows of ``label`` with the columns, all of a row's from one real row of the label."""
        if not len(self.wide):
            return encoded
        lenders = rng.choice(np.flatnonzero(self.labels == label), len(encoded))
        codes = np.empty((len(encoded), len(self.whole.levels)), dtype=encoded.codes.dtype)
        codes[:, np.delete(np.arange(codes.shape[1]), self.wide)] = encoded.codes
        codes[:, self.wide] = self.codes[lenders]
        return EncodedTable(encoded.numeric, codes)

    def save(self, path: Path) -> None:
        """Write the arrays."""
        np.savez_compressed(path, wide=self.wide, codes=self.codes, labels=self.labels)

    @classmethod
    def load(cls, path: Path, whole: TableLayout) -> Aside:
        """Return what ``save`` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(whole, arrays["wide"], arrays["codes"], arrays["labels"])
