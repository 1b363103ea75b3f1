"""The shape that a codec produces and a network consumes. Pure Python: gan/ imports it without pandas or pyarrow."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TableLayout:
    """The width of an encoded row: ``n_numeric`` normal scores first, then one one-hot block per categorical column.

    ``levels`` holds the size of each block, in order. Kept as codes in memory; a batch is expanded to
    (N, width) float32 on the device.
    """

    n_numeric: int
    levels: tuple[int, ...]

    @property
    def width(self) -> int:
        """D, the width of an expanded row."""
        return self.n_numeric + sum(self.levels)

    @property
    def starts(self) -> tuple[int, ...]:
        """The first column of each one-hot block."""
        out, at = [], self.n_numeric
        for size in self.levels:
            out.append(at)
            at += size
        return tuple(out)


@dataclass(frozen=True)
class ImageLayout:
    """Encoded images are (N, channels, size, size) float32 in [-1, 1]."""

    channels: int
    size: int


Layout = TableLayout | ImageLayout
