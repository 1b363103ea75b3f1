"""Where things lie in the report's drawings: pure geometry, written out as SVG by the templates.

Sizes are percentages or units of a view box that stretches, so that every drawing fits a phone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from synthgen.quality.stats import Estimate
from synthgen.report.text import compact, signed

HEIGHT = 100
_ROUND = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Scale:
    """A linear axis from ``low`` to ``high``."""

    low: float
    high: float

    def at(self, value: float) -> float:
        """Return the position of ``value`` in per cent, inside [0, 100]."""
        share = (value - self.low) / (self.high - self.low)
        return round(100 * min(1.0, max(0.0, share)), 2)


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: position in per cent and what is written there."""

    at: float
    text: str


@dataclass(frozen=True)
class Mark:
    """An estimate on an axis, in per cent; ``low`` and ``high`` are None where that bound is not known."""

    at: float
    low: float | None
    high: float | None


def span(estimates: Iterable[Estimate], *more: float) -> Scale:
    """Return an axis that holds all estimates, their bounds and ``more``, with a little air."""
    numbers = [x for e in estimates for x in (e.value, e.low, e.high) if math.isfinite(x)] + list(more)
    low, high = min(numbers), max(numbers)
    air = 0.06 * (high - low) or max(abs(high), 1.0) * 0.1
    return Scale(low - air, high + air)


def mark(estimate: Estimate, scale: Scale) -> Mark | None:
    """Return where the estimate lies, or None where there is none."""
    if not math.isfinite(estimate.value):
        return None
    low, high = (scale.at(x) if math.isfinite(x) else None for x in (estimate.low, estimate.high))
    return Mark(scale.at(estimate.value), low, high)


def ticks(scale: Scale, *, about: int = 5) -> tuple[Tick, ...]:
    """Return round changes on the axis, 0 among them where it is inside."""
    raw = (scale.high - scale.low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in _ROUND if power * factor >= raw)
    first, last = math.ceil(scale.low / step), math.floor(scale.high / step)
    return tuple(Tick(scale.at(k * step), signed(k * step) if k else "0") for k in range(first, last + 1))


def steps_path(shares: Sequence[float], top: float, *, closed: bool) -> str:
    """Return a histogram's outline as SVG path data, in a box of ten units a bar by ``HEIGHT``."""
    if not top:
        return ""
    heights = [HEIGHT - round(HEIGHT * share / top) for share in shares]
    path = [f"M0 {HEIGHT}"]
    for k, y in enumerate(heights):
        path.append(f"V{y}H{10 * (k + 1)}" if k == 0 or y != heights[k - 1] else f"H{10 * (k + 1)}")
    path.append(f"V{HEIGHT}")
    return "".join(path) + ("Z" if closed else "")


@dataclass(frozen=True)
class Line:
    """A curve in a box of 300 by ``HEIGHT``: its path, the labels of its axes, where 0 lies (None: outside)."""

    path: str
    top: str
    bottom: str
    first: str
    last: str
    zero: float | None


def line(steps: Sequence[float], values: Sequence[float]) -> Line:
    """Return the curve of ``values`` over rising ``steps``, both finite and not empty."""
    low, high = min(values), max(values)
    if low == high:
        low, high = low - 0.5 * (abs(low) or 1.0), high + 0.5 * (abs(high) or 1.0)
    x, y = Scale(steps[0], steps[-1] if steps[-1] > steps[0] else steps[0] + 1), Scale(low, high)
    points = [f"{3 * x.at(step):.4g} {HEIGHT - y.at(value):.4g}" for step, value in zip(steps, values, strict=True)]
    zero = HEIGHT - y.at(0.0) if low < 0 < high else None
    path = "M" + "L".join(points if len(points) > 1 else points * 2)
    return Line(path, compact(high), compact(low), compact(steps[0]), compact(steps[-1]), zero)
