"""Round axes for histograms of numbers, dates and durations, shared by the real and the added rows of a column.

Pure numpy and Arrow types.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyarrow import types

from synthgen.report.text import compact

BINS = 20
TAIL, TAIL_SHARE = 2, 0.005
WIDE, SKEWED = 200.0, 15.0
FAR = 1e300
_DAY, _YEAR, _LAST = 86_400.0, 365.25 * 86_400.0, 2.0**62
_TIME_STEPS = np.array(
    [1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 21600, 43200]
    + [_DAY * n for n in (1, 2, 7, 14, 28, 91, 182)]
    + [_YEAR * n for n in (1, 2, 5, 10, 20, 50, 100, 1000)]
)


@dataclass(frozen=True)
class Axis:
    """Edges of the bins in rising order, and how a position is written.

    ``whole``: each bin is one whole number, at its middle.
    """

    edges: tuple[float, ...]
    label: Callable[[float], str]
    whole: bool = False

    def labels(self) -> tuple[tuple[str, str, str], float]:
        """Return what is written at the low end, in the middle and at the high end, and where that middle lies."""
        n = len(self.edges) - 1
        if self.whole:
            first, half = round(self.edges[0] + 0.5), n // 2
            texts = self.label(first), self.label(first + half), self.label(first + n - 1)
            return texts, (half + 0.5) / n
        half = (n + 1) // 2
        return (self.label(self.edges[0]), self.label(self.edges[half]), self.label(self.edges[-1])), half / n

    def shares(self, values: np.ndarray) -> tuple[float, ...]:
        """Return the share of ``values`` in each bin; what lies outside counts in the outermost ones."""
        edges = np.asarray(self.edges)
        bins = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
        return tuple((np.bincount(bins, minlength=len(edges) - 1) / max(1, len(values))).tolist())


def make_axis(real: np.ndarray, added: np.ndarray, kind: pa.DataType) -> Axis:
    """Return an axis of about twenty bins for the known values of both sides; dates and durations are in seconds.

    It follows the real rows without their few outermost ones, and reaches out for added ones by half its length.
    """
    low, high = _range(real, added)
    if types.is_temporal(kind):
        edges = _edges(low, high, _time_step((high - low) / BINS))
        return Axis(edges, _time_label(kind, edges))
    if _log(low, high, real if len(real) else added):
        return Axis(_decades(low, high), compact)
    whole = all(bool((side == np.floor(side)).all()) for side in (real, added))
    step = _round_step((high - low) / BINS)
    if whole and step <= 1:
        return Axis(tuple((np.arange(np.floor(low), np.ceil(high) + 2) - 0.5).tolist()), compact, whole=True)
    return Axis(_edges(low, high, max(step, 1.0) if whole else step), compact)


def _range(real: np.ndarray, added: np.ndarray) -> tuple[float, float]:
    low, high = _inner(real if len(real) else added)
    if len(added):
        reach = (high - low) / 2 or np.inf
        far_low, far_high = _inner(added)
        low, high = min(low, max(far_low, low - reach)), max(high, min(far_high, high + reach))
    if high > low:
        return low, high
    half = max(abs(low) * 0.05, 0.5 if abs(low) >= 1 or low == 0 else abs(low) / 2)
    return low - half, high + half


def _inner(side: np.ndarray) -> tuple[float, float]:
    """The range without the outermost values: two at each end or half a per cent, of few rows fewer."""
    n = len(side)
    k = min(max(TAIL, int(TAIL_SHARE * n)), (n - 1) // 4)
    inner = np.partition(np.clip(side, -FAR, FAR), (k, n - 1 - k))
    return float(inner[k]), float(inner[n - 1 - k])


def _log(low: float, high: float, side: np.ndarray) -> bool:
    """Whether the values are positive and so skewed that a linear axis would show one bar."""
    return low > 0 and high > WIDE * low and high > SKEWED * float(np.median(side))


def _decades(low: float, high: float) -> tuple[float, ...]:
    first, last = int(np.floor(np.log10(low))), int(np.ceil(np.log10(high)))
    n = last - first
    bins = n * round(BINS / n) if n <= BINS else BINS
    return tuple((10.0 ** np.linspace(first, last, bins + 1)).tolist())


def _round_step(raw: float) -> float:
    power = 10.0 ** np.floor(np.log10(max(raw, 1e-300)))
    return float(next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * (1 - 1e-9)))


def _time_step(raw: float) -> float:
    fits = _TIME_STEPS[raw <= _TIME_STEPS]
    if raw < 1:
        return _round_step(raw)
    return float(fits[0]) if len(fits) else _round_step(raw / _YEAR) * _YEAR


def _edges(low: float, high: float, step: float) -> tuple[float, ...]:
    """Multiples of ``step`` around [low, high]."""
    first, last = np.floor(low / step), np.floor(high / step) + 1
    return tuple((np.arange(first, last + 1) * step).tolist())


def _time_label(kind: pa.DataType, edges: Sequence[float]) -> Callable[[float], str]:
    span = edges[-1] - edges[0]
    if types.is_duration(kind):
        unit, letter = next(
            (unit, letter)
            for unit, letter in ((_DAY, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (0.0, "s"))
            if max(abs(edges[0]), abs(edges[-1])) >= 2 * unit
        )
        return lambda edge: f"{compact(edge / (unit or 1.0))} {letter}"
    if types.is_time(kind):
        return lambda edge: str(np.datetime64(round(np.clip(edge, 0, _DAY - 1)), "s")).split("T")[1]
    return lambda edge: _date(edge, span)


def _date(edge: float, span: float) -> str:
    day, clock = str(np.datetime64(round(np.clip(edge, -_LAST, _LAST)), "s")).split("T")
    if span >= 8 * _YEAR:
        return day.rsplit("-", 2)[0]
    if span >= 500 * _DAY:
        return day.rsplit("-", 1)[0]
    if span >= 5 * _DAY:
        return day
    return f"{day} {clock[:5]}" if span >= 600 else f"{day} {clock}"
