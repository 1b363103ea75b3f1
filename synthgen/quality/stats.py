"""Estimates with their intervals: bootstrap over rows and draws, repeated cross-fitting, shares, many tests at once.

Pure numpy and scipy; knows nothing of datasets or learners.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import special

MAX_BLOCK = 1_000_000


@dataclass(frozen=True)
class Estimate:
    """A figure and its interval. Each bound is one-sided at the gate's alpha; NaN where it cannot be told."""

    value: float
    low: float
    high: float

    def within(self, least: float, most: float) -> Estimate:
        """Return the estimate with its bounds inside what the figure can be."""
        return Estimate(self.value, float(np.clip(self.low, least, most)), float(np.clip(self.high, least, most)))

    def to_json(self) -> dict[str, float | None]:
        """Return the three numbers; what is not finite becomes None, so that the text is JSON everywhere."""
        numbers = {"value": self.value, "low": self.low, "high": self.high}
        return {name: float(x) if np.isfinite(x) else None for name, x in numbers.items()}

    @classmethod
    def from_json(cls, data: Mapping[str, float | None]) -> Estimate:
        """Return the estimate that ``to_json`` wrote, None as NaN."""
        return cls(*(np.nan if (x := data[name]) is None else float(x) for name in ("value", "low", "high")))


UNKNOWN = Estimate(np.nan, np.nan, np.nan)


class Inference(Protocol):
    """What can be said about one figure from its evidence."""

    @property
    def value(self) -> float:
        """The point estimate."""
        ...

    def interval(self, alpha: float) -> Estimate:
        """Return the estimate with one-sided bounds at ``alpha`` each."""
        ...

    def p_below(self, bound: float) -> float:
        """Return the p-value of "the figure is at least ``bound``": small where it is surely below; NaN if unknown."""
        ...


@dataclass(frozen=True)
class CrossFitted:
    """The mean over cross-fitting cells with Nadeau and Bengio's corrected error (Machine Learning 52, 2003, eq. 8).

    Cells share training rows, so the variance of their mean is s^2 (1/J + n_test / n_train), not s^2 / J.
    """

    value: float
    error: float
    df: int

    def interval(self, alpha: float) -> Estimate:
        """Return the estimate with one-sided bounds from Student's t with J - 1 degrees of freedom."""
        if self.df < 1 or not np.isfinite(self.error):
            return Estimate(self.value, np.nan, np.nan)
        reach = float(special.stdtrit(self.df, 1 - alpha)) * self.error
        return Estimate(self.value, self.value - reach, self.value + reach)

    def p_below(self, bound: float) -> float:
        """Return the one-sided p-value of "the figure is at least ``bound``"."""
        if self.df < 1 or not np.isfinite(self.error):
            return float(np.nan)
        if self.error == 0:
            return 0.0 if self.value < bound else 1.0
        return float(special.stdtr(self.df, (self.value - bound) / self.error))


def cross_fitted(values: np.ndarray, *, test_share: float) -> CrossFitted:
    """Return the inference over the cells' ``values`` (J,); NaN cells are left out.

    ``test_share`` is n_test / n_train of a cell: 1/4 for five folds.
    """
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values)]
    n = len(values)
    if n == 0:
        return CrossFitted(np.nan, np.nan, 0)
    error = float(np.sqrt(np.var(values, ddof=1) * (1 / n + test_share))) if n > 1 else np.nan
    return CrossFitted(float(np.mean(values)), error, n - 1)


@dataclass(frozen=True)
class Bootstrapped:
    """A bootstrap distribution read by BCa (Efron 1987), its normal quantiles widened to Student's t.

    ``df`` is one less than the rows of the smallest stratum: at 30 positives plain percentiles are too narrow
    (Hesterberg, American Statistician 69, 2015, section 5.3).
    """

    value: float
    replicates: np.ndarray
    acceleration: float
    df: int

    def interval(self, alpha: float) -> Estimate:
        """Return the estimate with one-sided BCa bounds."""
        draws = np.sort(self.replicates[np.isfinite(self.replicates)])
        if len(draws) < 20 or not np.isfinite(self.value):
            return Estimate(self.value, np.nan, np.nan)
        if draws[0] == draws[-1]:
            return Estimate(self.value, float(draws[0]), float(draws[0]))
        z = self._widened(alpha)
        low, high = np.quantile(draws, [self._level(draws, -z), self._level(draws, z)])
        return Estimate(self.value, float(low), float(high))

    def p_below(self, bound: float) -> float:
        """Return the level at which the upper bound reaches ``bound``: the interval turned round."""
        draws = np.sort(self.replicates[np.isfinite(self.replicates)])
        if len(draws) < 20 or not np.isfinite(self.value):
            return float(np.nan)
        if draws[0] == draws[-1]:
            return 0.0 if self.value < bound else 1.0
        share = np.clip(_share_below(draws, bound), 0.5 / len(draws), 1 - 0.5 / len(draws))
        bias, w = self._bias(draws), special.ndtri(share)
        z = (w - bias) / (1 + self.acceleration * (w - bias)) - bias
        return float(special.stdtr(max(1, self.df), -z / self._stretch()))

    def _stretch(self) -> float:
        return float(np.sqrt((self.df + 1) / max(1, self.df)))

    def _widened(self, alpha: float) -> float:
        return float(special.stdtrit(max(1, self.df), 1 - alpha)) * self._stretch()

    def _bias(self, draws: np.ndarray) -> float:
        share = np.clip(_share_below(draws, self.value), 0.5 / len(draws), 1 - 0.5 / len(draws))
        return float(special.ndtri(share))

    def _level(self, draws: np.ndarray, z: float) -> float:
        bias = self._bias(draws)
        slope = 1 - self.acceleration * (bias + z)
        return float(special.ndtr(bias + (bias + z) / slope)) if slope > 0.1 else float(z > 0)


def _share_below(draws: np.ndarray, value: float) -> float:
    """The share of ``draws`` (sorted) below ``value``, ties counted half."""
    left, right = np.searchsorted(draws, value, "left"), np.searchsorted(draws, value, "right")
    return float(left + right) / 2 / len(draws)


def acceleration(strata: Sequence[np.ndarray]) -> float:
    """Return BCa's acceleration from the delete-one (or delete-a-group) estimates of each independent stratum."""
    square, cube = 0.0, 0.0
    for left_out in strata:
        left_out = left_out[np.isfinite(left_out)]
        n = len(left_out)
        if n < 2:
            continue
        push = (n - 1) * (left_out.mean() - left_out) / n
        square += float(np.sum(push**2))
        cube += float(np.sum(push**3))
    return float(np.clip(cube / (6 * square**1.5), -0.25, 0.25)) if square > 0 else 0.0


@dataclass(frozen=True)
class Weights:
    """Row weights of a two-level bootstrap, to be drawn once and shared by every arm, so that gains are paired.

    There are 1 + B + G weightings: the rows as they are, B resamples, G with one group of rows left out each;
    ``jackknife`` names the columns of each stratum's groups. ``counts`` (U, 1 + B) say how often each unit is taken,
    ``left_out`` (U, G) what it weighs where groups are left out, ``unit`` (N,) is each row's unit and ``base`` (N,)
    its own weight. ``draws`` (B, D) are the shares of the D draws.
    """

    counts: np.ndarray
    left_out: np.ndarray
    unit: np.ndarray
    base: np.ndarray
    jackknife: tuple[np.ndarray, ...]
    draws: np.ndarray
    df: int

    @property
    def n_resamples(self) -> int:
        """B."""
        return len(self.draws)

    @property
    def n_columns(self) -> int:
        """1 + B + G."""
        return int(self.counts.shape[1] + self.left_out.shape[1])

    @property
    def rows(self) -> np.ndarray:
        """(N, 1 + B + G) float32: every weighting."""
        return self.columns(slice(0, self.n_columns))

    def columns(self, columns: slice) -> np.ndarray:
        """Return the weightings from ``columns.start`` up to ``columns.stop``, (N, b) float32: whole, they are by far
        the largest thing that a check makes. Past the last one the rows come as they are."""
        n, end = self.counts.shape[1], self.n_columns
        parts = [
            self.counts[:, columns.start : min(columns.stop, n)],
            self.left_out[:, max(0, columns.start - n) : max(0, columns.stop - n)],
            np.ones((len(self.counts), max(0, columns.stop - max(end, columns.start))), dtype=np.float32),
        ]
        table = np.concatenate(parts, axis=1, dtype=np.float32)[self.unit]
        table *= self.base[:, None]
        return np.asarray(table)

    def fold(self, figures: np.ndarray) -> np.ndarray:
        """Return one vector from a figure per draw and weighting, (D, 1 + B + G): the estimate, the B replicates,
        then each left-out estimate, draws' last. Linear, so vectors may be averaged and subtracted."""
        b = self.n_resamples
        plain, total = figures[:, 0], figures[:, 0].sum()
        resampled = np.einsum("db,bd->b", figures[:, 1 : 1 + b], self.draws)
        n = len(plain)
        without = (total - plain) / (n - 1) if n > 1 else np.empty(0)
        return np.concatenate([[plain.mean()], resampled, figures[:, 1 + b :].mean(axis=0), without])

    def infer(self, vector: np.ndarray) -> Bootstrapped:
        """Return the inference of a vector that ``fold`` made."""
        b = self.n_resamples
        rows = [vector[columns] for columns in self.jackknife]
        ends = self.n_columns
        return Bootstrapped(float(vector[0]), vector[1 : 1 + b], acceleration([*rows, vector[ends:]]), self.df)


def bootstrap_weights(
    strata: np.ndarray,
    *,
    n_resamples: int,
    n_draws: int,
    rng: np.random.Generator,
    base: np.ndarray | None = None,
    units: np.ndarray | None = None,
    groups: int = 40,
) -> Weights:
    """Return weights that resample rows within ``strata`` (N,), or whole ``units`` (N,), and draws beside them.

    ``base`` (N,) weighs the rows themselves (thinned classes). A unit belongs to the rarest stratum it has a row in.
    ``groups`` are the jackknife's per stratum; 0 leaves it out.
    """
    strata = np.asarray(strata)
    n = len(strata)
    base = np.ones(n) if base is None else np.asarray(base, dtype=float)
    unit = np.arange(n) if units is None else np.unique(units, return_inverse=True)[1]
    size = np.unique(strata, return_inverse=True, return_counts=True)
    rank = size[2][size[1]].astype(np.int64) * len(size[0]) + size[1]
    home = np.full(unit.max() + 1, np.iinfo(np.int64).max)
    np.minimum.at(home, unit, rank)
    counts = np.ones((len(home), 1 + n_resamples), dtype=np.uint8)  # 255 times the same of many: once in 10^500
    left_out: list[np.ndarray] = []
    least = n
    for stratum in np.unique(home):
        members = np.flatnonzero(home == stratum)
        m = len(members)
        step = max(1, MAX_BLOCK // m)
        for at in range(0, n_resamples, step):
            now = min(step, n_resamples - at)
            picks = rng.integers(0, m, (now, m)) + np.arange(now)[:, None] * m
            taken = np.bincount(picks.ravel(), minlength=now * m).reshape(now, m)
            counts[members, 1 + at : 1 + at + now] = taken.T
        least = min(least, m)
        if m > 1 and groups > 0:
            part = rng.permutation(m) % min(groups, m)
            without = np.ones((len(home), part.max() + 1), dtype=np.float32)
            for g in range(part.max() + 1):
                without[members, g] = np.where(part == g, 0, m / np.count_nonzero(part != g))
            left_out.append(without)
    columns, at = [], 1 + n_resamples
    for block in left_out:
        columns.append(np.arange(at, at + block.shape[1]))
        at += block.shape[1]
    groups_out = np.concatenate([np.empty((len(home), 0), dtype=np.float32), *left_out], axis=1)
    draws = rng.multinomial(n_draws, np.full(n_draws, 1 / n_draws), n_resamples) / n_draws
    return Weights(counts, groups_out, unit, base.astype(np.float32), tuple(columns), draws, max(1, least - 1))


@dataclass(frozen=True)
class Stairs:
    """Weights at or above each distinct score that a positive has, highest first, for some columns of a weighting:
    ``hits`` (T, B) of positives at that score, ``before`` and ``after`` (T, B) of negatives above it and at or above
    it, ``negatives`` (B,) of all of them."""

    columns: slice
    hits: np.ndarray
    before: np.ndarray
    after: np.ndarray
    negatives: np.ndarray


def stairs(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> Iterator[Stairs]:
    """Yield the stairs of ``scores`` (N,) for blocks of the columns of ``weights`` (N, B); sorted once."""
    positive = np.asarray(positive, dtype=bool)
    up, down = scores[positive], scores[~positive]
    up_order, down_order = np.argsort(-up, kind="stable"), np.argsort(-down, kind="stable")
    up, down = up[up_order], down[down_order]
    if not len(up):
        return
    starts = np.flatnonzero(np.r_[True, up[1:] != up[:-1]])
    above = np.searchsorted(-down, -up[starts], "left")
    through = np.searchsorted(-down, -up[starts], "right")
    up_rows, down_rows = np.flatnonzero(positive)[up_order], np.flatnonzero(~positive)[down_order]
    step = max(1, MAX_BLOCK // len(scores))
    for at in range(0, weights.shape[1], step):
        columns = slice(at, min(at + step, weights.shape[1]))
        block = weights[:, columns]
        hits = np.add.reduceat(block[up_rows], starts, axis=0).astype(float)
        false = prefix_sums(block[down_rows], np.concatenate([above, through, [len(down)]]))
        yield Stairs(columns, hits, false[: len(starts)], false[len(starts) : -1], false[-1])


def ranking(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return average precision and ROC AUC, (B,) each, of ``scores`` (N,) under every column of ``weights`` (N, B).

    Equal scores are one threshold. NaN where a side has no weight.
    """
    ap, auc = np.full((2, weights.shape[1]), np.nan)
    for block in stairs(scores, positive, weights):
        true = np.cumsum(block.hits, axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = np.where(block.hits > 0, true / (true + block.after), 0)
            ap[block.columns] = np.sum(block.hits * precision, axis=0) / true[-1]
            missed = np.sum(block.hits * (block.before + block.after), axis=0)
            auc[block.columns] = 1 - missed / (2 * true[-1] * block.negatives)
    return ap, auc


def prefix_sums(values: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return the sums of the first ``ends`` (E,) rows of ``values`` (M, B) as (E, B), without a full cumulative sum."""
    edges = np.unique(np.concatenate([[0], ends]))
    inner = edges[edges < len(values)]
    sums = np.zeros((len(edges), values.shape[1]))
    if len(inner):
        parts = np.add.reduceat(values, inner, axis=0)
        total = np.cumsum(parts, axis=0, dtype=float)
        sums[1 : len(total) + 1] = total[: len(edges) - 1]
    return np.asarray(sums[np.searchsorted(edges, ends)])


def wilson(hits: int, n: int, *, alpha: float) -> Estimate:
    """Return a share with Wilson's score bounds, one-sided at ``alpha`` each; NaN for n = 0."""
    if n == 0:
        return UNKNOWN
    z = float(special.ndtri(1 - alpha))
    share = hits / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    low = 0.0 if hits == 0 else float(middle - reach)
    return Estimate(share, low, 1.0 if hits == n else float(middle + reach))


def excess(share: Estimate, reference: Estimate) -> Estimate:
    """Return ``share`` minus an independent ``reference`` (Newcombe, Statistics in Medicine 17, 1998, method 10)."""
    gap = share.value - reference.value
    below = np.hypot(share.value - share.low, reference.high - reference.value)
    above = np.hypot(share.high - share.value, reference.value - reference.low)
    return Estimate(gap, float(gap - below), float(gap + above))


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Return Holm's adjusted p-values: rejecting those up to alpha keeps the family's error at alpha."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    adjusted = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    out = np.empty(len(p))
    out[order] = np.minimum(adjusted, 1.0)
    return out
