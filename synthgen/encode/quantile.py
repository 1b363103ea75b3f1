"""Numbers as normal scores and back: the randomised quantile transform, and the plain standard score.

Both work on a column's own domain, grid indices (uint64) or float64 values, and know no column. Imports numpy, scipy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from scipy.special import ndtr, ndtri

from synthgen.encode.grid import Arrays

MAX_SCORE = 5.5  # beyond it lies less than one row in ten million
MAX_NODES = 4000
_HALF_WIDTH = 3e-8  # of a single value's place in u: twice what rounding a score to float32 can move it
_TAIL_NODES = 250
_WIDE_SCORE = 1e6


class NumericMap(Protocol):
    """Values of one domain to scores and back."""

    @classmethod
    def fit(cls, distinct: np.ndarray, counts: np.ndarray) -> Self:
        """Return the map of a column with these sorted distinct values (uint64 or float64), seen so often."""
        ...

    def forward(self, values: np.ndarray, rng: np.random.Generator, /) -> np.ndarray:
        """Return (N,) float32 scores."""
        ...

    def backward(self, scores: np.ndarray) -> np.ndarray:
        """Return (N,) values of the fitted domain, none outside the fitted range."""
        ...

    def arrays(self) -> Arrays:
        """Return the map as arrays; ``from_arrays`` reads them back."""
        ...

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Return the map that ``arrays`` describes."""
        ...


@dataclass(frozen=True, eq=False)
class QuantileMap:
    """The empirical distribution as K nodes (low, high, value): u in [low, high] is ``value`` exactly.

    Values between two nodes share the u between them in proportion. A ``tied`` value (seen twice or more) owns
    [F(x-), F(x)] and encodes to a random u in it; a single value sits in the middle of its step.
    """

    low: np.ndarray
    high: np.ndarray
    values: np.ndarray
    tied: np.ndarray

    @classmethod
    def fit(cls, distinct: np.ndarray, counts: np.ndarray) -> QuantileMap:
        """Return the map of a column with these sorted distinct values (uint64 or float64), seen so often."""
        total = int(counts.sum())
        upto = np.cumsum(counts)
        kept = _kept(counts, upto, total)
        high, share, tied = upto[kept] / total, counts[kept] / total, counts[kept] > 1
        low, half = (upto[kept] - counts[kept]) / total, min(_HALF_WIDTH, 0.25 / total)
        middle = high - share / 2
        return cls(np.where(tied, low, middle - half), np.where(tied, high, middle + half), distinct[kept], tied)

    def forward(self, values: np.ndarray, rng: np.random.Generator, /) -> np.ndarray:
        """Return (N,) float32 scores: normal when the values are distributed as the fitted ones."""
        values = np.clip(values, self.values[0], self.values[-1])
        node = np.searchsorted(self.values, values, side="right") - 1
        low, high = self.low[node], self.high[node]
        draw = rng.random(len(values))
        margin = np.minimum(_HALF_WIDTH, (high - low) / 4)
        exact = np.clip(low + np.where(self.tied[node], draw, 0.5) * (high - low), low + margin, high - margin)
        between = np.flatnonzero(values != self.values[node])
        exact[between] = self._share(values[between], node[between], draw[between])
        return np.asarray(np.clip(ndtri(exact), -MAX_SCORE, MAX_SCORE), dtype=np.float32)

    def backward(self, scores: np.ndarray) -> np.ndarray:
        """Return (N,) values: the inverse distribution function at the scores' u."""
        u = ndtr(np.asarray(scores, dtype=np.float64))
        node = np.maximum(np.searchsorted(self.low, u, side="right") - 1, 0)
        out = np.asarray(self.values[node])
        between = np.flatnonzero((u > self.high[node]) & (node < len(self.values) - 1))
        node, u = node[between], u[between]
        share = (u - self.high[node]) / (self.low[node + 1] - self.high[node])
        out[between] = self._value(np.clip(share, 0.0, 1.0), node)
        return out

    def _share(self, values: np.ndarray, node: np.ndarray, draw: np.ndarray) -> np.ndarray:
        """The u of values that lie between ``node`` and the next."""
        left, right = self.values[node], self.values[node + 1]
        if values.dtype == np.uint64:
            before, room = self._room(node)
            place = ((values - left).astype(np.float64) - 0.5 + draw - before) / room
        else:
            with np.errstate(invalid="ignore", divide="ignore"):  # halved: the range may be wider than a double
                place = np.nan_to_num((values / 2 - left / 2) / (right / 2 - left / 2), nan=0.5, posinf=0.5)
        return np.asarray(self.high[node] + np.clip(place, 0.0, 1.0) * (self.low[node + 1] - self.high[node]))

    def _value(self, share: np.ndarray, node: np.ndarray) -> np.ndarray:
        """The values at ``share`` of the way from ``node`` to the next."""
        left, right = self.values[node], self.values[node + 1]
        if left.dtype != np.uint64:
            with np.errstate(over="ignore", invalid="ignore"):  # a gap may be wider than a double: then by halves
                plain, halves = left + (right - left) * share, (left / 2 + (right / 2 - left / 2) * share) * 2
            return np.asarray(np.clip(np.where(np.isfinite(plain), plain, halves), left, right))
        before, room = self._room(node)
        steps = np.floor(before + share * room + 0.5)
        return np.asarray(left + np.minimum(np.clip(steps, 0, 2.0**64 - 2048).astype(np.uint64), right - left))

    def _room(self, node: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the gap after ``node`` starts, in grid steps, and how wide it is: half a step less beside a tied value,
        whose own mass is all in its node, so that the points between share the gap evenly."""
        steps = (self.values[node + 1] - self.values[node]).astype(np.float64)
        before = self.tied[node] / 2
        return before, np.maximum(steps - before - self.tied[node + 1] / 2, 0.5)

    def arrays(self) -> Arrays:
        """Return the map as arrays; ``from_arrays`` reads them back."""
        return {"low": self.low, "high": self.high, "values": self.values, "tied": self.tied}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> QuantileMap:
        """Return the map that ``arrays`` describes."""
        return cls(arrays["low"], arrays["high"], arrays["values"], arrays["tied"])


def _kept(counts: np.ndarray, upto: np.ndarray, total: int) -> np.ndarray:
    """Positions of the distinct values that become nodes: all, or those at even ranks and in ever denser tails.

    A value that more than one row in 3,499 has holds an even rank, so spikes always stay.
    """
    if len(counts) <= MAX_NODES:
        return np.arange(len(counts))
    tail = np.unique(np.geomspace(1, total / 2, _TAIL_NODES).astype(np.int64))
    even = np.linspace(1, total, MAX_NODES - 2 * _TAIL_NODES).astype(np.int64)
    return np.unique(np.searchsorted(upto, np.concatenate([even, tail, total + 1 - tail])))


@dataclass(frozen=True, eq=False)
class StandardMap:
    """``(x - mean) / std``; the median and the quartiles' spread instead where a few values dwarf the rest.

    Computed on distances from ``origin`` (the median) in ``unit`` (a power of two): exact beside huge values, finite
    for any. ``values`` are up to 4,000 fitted ones that come back exactly; the first and the last are the range.
    """

    values: np.ndarray
    origin: np.ndarray
    unit: float
    centre: float
    spread: float

    @classmethod
    def fit(cls, distinct: np.ndarray, counts: np.ndarray) -> StandardMap:
        """Return the map of a column with these sorted distinct values (uint64 or float64), seen so often."""
        upto = np.cumsum(counts)
        quarters = distinct[np.searchsorted(upto, upto[-1] * np.array([0.25, 0.5, 0.75]))]
        kept, origin = distinct[_kept(counts, upto, int(upto[-1]))], quarters[1:2]
        unit = _unit(distinct[[0, -1]])
        shifted = _distance(distinct, origin, unit)
        centre = float(np.average(shifted, weights=counts))
        spread = float(np.sqrt(np.average((shifted - centre) ** 2, weights=counts)))
        near_unit = _unit(quarters)
        quarter, _, three = _distance(quarters, origin, near_unit)
        usual = float(three - quarter) / 1.349
        if 0.0 < usual * (near_unit / unit) < spread * 1e-4:
            return cls(kept, origin, near_unit, 0.0, usual)
        return cls(kept, origin, unit, centre, spread or 1.0)

    def forward(self, values: np.ndarray, _rng: np.random.Generator, /) -> np.ndarray:
        """Return (N,) float32 scores; nothing is drawn."""
        with np.errstate(over="ignore"):
            inside = np.clip(values, self.values[0], self.values[-1])
            score = (_distance(inside, self.origin, self.unit) - self.centre) / self.spread
        return np.asarray(np.clip(score, -_WIDE_SCORE, _WIDE_SCORE), dtype=np.float32)

    def backward(self, scores: np.ndarray) -> np.ndarray:
        """Return (N,) values: rounded to the grid, clipped to the fitted range."""
        low, high = self.values[0], self.values[-1]
        away = np.asarray(scores, dtype=np.float64) * self.spread + self.centre
        with np.errstate(over="ignore"):
            if self.values.dtype == np.uint64:
                steps = np.minimum(np.rint(np.abs(away) * self.unit), 2.0**64 - 2048).astype(np.uint64)
                up = self.origin + np.minimum(steps, high - self.origin)
                out = np.where(away > 0, up, self.origin - np.minimum(steps, self.origin - low))
            else:
                out = np.clip((away + self.origin / self.unit) * self.unit, low, high)
        own = self.forward(self.values, np.random.default_rng(0))
        node = np.minimum(np.searchsorted(own, scores), len(own) - 1)
        return np.where(own[node] == scores, self.values[node], out)

    def arrays(self) -> Arrays:
        """Return the map as arrays; ``from_arrays`` reads them back."""
        scale = np.array([self.unit, self.centre, self.spread])
        return {"values": self.values, "origin": self.origin, "scale": scale}

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> StandardMap:
        """Return the map that ``arrays`` describes."""
        unit, centre, spread = (float(figure) for figure in arrays["scale"])
        return cls(arrays["values"], arrays["origin"], unit, centre, spread)


def _unit(values: np.ndarray) -> float:
    """The power of two just above all of them."""
    widest = float(np.abs(values.astype(np.float64)).max())
    return float(2.0 ** min(int(np.frexp(widest)[1]), 1023)) if widest else 1.0


def _distance(values: np.ndarray, origin: np.ndarray, unit: float) -> np.ndarray:
    """How far from ``origin``, in units."""
    if values.dtype == np.uint64:
        up, down = (values - origin).astype(np.float64), (origin - values).astype(np.float64)
        return np.asarray(np.where(values >= origin, up, -down) / unit)
    return np.asarray(values / unit - origin / unit)
