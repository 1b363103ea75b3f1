"""Whole numbers that a column does not hold yet, handed out so that no two labels can get the same one.

Works on a lattice 0 .. size - 1 (ids of any integer type, or the ranks of strings of one pattern). Imports numpy.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from synthgen.data.physical import sorted_unique
from synthgen.encode.grid import Arrays
from synthgen.errors import EngineError
from synthgen.seeding import derive, numpy_rng

_SPARSE = 2**10  # points of the range per value: numbers drawn at random rather than counted up
_MAX_SLOTS = 2**62


@dataclass(frozen=True, eq=False)
class Unseen:
    """The free points of a lattice, in the order of ``windows`` (M, 2), half open: the likeliest looking first.

    ``starts`` and ``sizes`` (R,) uint64 are the runs of points that are taken.
    """

    starts: np.ndarray
    sizes: np.ndarray
    windows: np.ndarray

    @classmethod
    def fit(cls, points: np.ndarray, *, size: int, edges: Sequence[int]) -> Self:
        """Return the free points beside ``points`` (uint64) on a lattice of ``size`` (at most 2 ** 64 - 1) points.

        Thinly spread values get new ones between them. Others, say 1 to N, get values above the highest, and not
        right beside it, for there may be rows that this fit was not shown; then values below, then the gaps.
        Points past the first of the rising ``edges`` are of another form (longer, say) and come last, edge by edge.
        """
        points = sorted_unique(points)
        breaks = np.flatnonzero(np.diff(points) != 1) + 1
        first, last = np.append(0, breaks), np.append(breaks, len(points)) - 1
        starts = points[first]
        low, high = int(points[0]), min(int(points[-1]) + 1, size)
        edge, *further = [min(max(high, edge), size) for edge in (*edges, size)]
        room = min(max(64, (high - low) // 8), (edge - high) // 8)
        below, above = max(low - room, 0), high + room
        windows = [(above, edge), (0, below), (below, above)]
        if high - low >= _SPARSE * len(points):
            windows = [(low, high), (high, edge), (0, low)]
        windows += itertools.pairwise([edge, *further])
        inside = np.array([pair for pair in windows if pair[0] < pair[1]], dtype=np.uint64).reshape(-1, 2)
        return cls(starts, points[last] - starts + np.uint64(1), inside)

    def draw(self, n: int, *, name: str, seed: int, part: tuple[int, int]) -> np.ndarray:
        """Return ``n`` different free points (uint64).

        ``part`` (i, of) never shares a point with another part, whatever the seeds. Two seeds of one part start at
        two random places of one fixed random order, so they share points only when these ranges meet.
        Raises EngineError where the lattice has not ``n`` free points for the part.
        """
        offset, parts = part
        free = [self._below(int(high)) - self._below(int(low)) for low, high in self.windows]
        slots = 0
        for upto in np.cumsum(np.array(free, dtype=object)):
            slots = min(int(upto) // parts, _MAX_SLOTS)
            if slots >= n:
                break
        if slots < n:
            raise EngineError(
                f"id column {name!r} has room for {slots} new values of its form for one label and {n} were asked for; "
                f"leave it out with --drop {name}, or add fewer rows"
            )
        start = int(numpy_rng(seed, "unseen", name).integers(0, max(slots, 1)))
        order = (np.uint64(start) + np.arange(n, dtype=np.uint64)) % np.uint64(max(slots, 1))
        slot = _shuffled(order, slots, key=derive(0, "unseen", name)) * np.uint64(parts) + np.uint64(offset)
        return self._points(slot, free)

    def _points(self, slot: np.ndarray, free: list[int]) -> np.ndarray:
        """The free points with these numbers, counted window after window."""
        ends = np.cumsum(np.array(free, dtype=np.uint64), dtype=np.uint64)
        window = np.searchsorted(ends, slot, side="right")
        before = np.array([self._below(int(low)) for low, _ in self.windows], dtype=np.uint64)
        rank = slot - (ends - np.array(free, dtype=np.uint64))[window] + before[window]
        taken = np.append(np.uint64(0), np.cumsum(self.sizes, dtype=np.uint64))
        run = np.searchsorted(self.starts - taken[:-1], rank, side="right")
        return np.asarray(rank + taken[run])

    def _below(self, point: int) -> int:
        """How many free points lie below ``point``."""
        run = int(np.searchsorted(self.starts, np.uint64(point)))
        taken = int(self.sizes[:run].sum())
        if run:
            end = int(self.starts[run - 1]) + int(self.sizes[run - 1])
            taken -= max(end - point, 0)
        return point - taken

    def arrays(self) -> Arrays:
        """Return the state as arrays; ``from_arrays`` reads them back."""
        return {"starts": self.starts, "sizes": self.sizes, "windows": self.windows}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Return the free points that ``arrays`` describes."""
        return cls(arrays["starts"], arrays["sizes"], arrays["windows"])


def _shuffled(order: np.ndarray, size: int, *, key: int) -> np.ndarray:
    """A fixed random permutation of 0 .. size - 1 at ``order``: a Feistel network, walked until it is back inside."""
    half = np.uint64(max(1, (max(size - 1, 1).bit_length() + 1) // 2))
    mask = (np.uint64(1) << half) - np.uint64(1)
    keys = [np.uint64(derive(key, "round", i)) for i in range(4)]
    out = order.copy()
    todo = np.arange(len(out))
    while len(todo):
        left, right = out[todo] >> half, out[todo] & mask
        for one in keys:
            left, right = right, left ^ (_mixed(right ^ one) & mask)
        out[todo] = (left << half) | right
        todo = todo[out[todo] >= size]
    return out


def _mixed(word: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014)."""
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(word ^ (word >> np.uint64(31)))
