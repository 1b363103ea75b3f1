"""Are synthetic rows copies? Exact ones, beside how often real rows coincide by nature.

May import quality.stats. Ids and the label are ignored: a copy under a fresh id is a copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from synthgen.quality.stats import UNKNOWN, Estimate, excess, wilson


@dataclass(frozen=True)
class Copies:
    """How many of ``n_rows`` synthetic rows equal a training row (``share``), how many real rows equal another real row
    (``natural``), and the difference (``excess``); ``leaked`` is the share that equals a holdout row and no training
    row: rows that no honest generator has seen."""

    n_rows: int
    share: Estimate = UNKNOWN
    natural: Estimate = UNKNOWN
    excess: Estimate = UNKNOWN
    leaked: Estimate = field(default=UNKNOWN)

    def to_json(self) -> dict[str, object]:
        """Return the figures as JSON types."""
        figures = {name: getattr(self, name).to_json() for name in ("share", "natural", "excess", "leaked")}
        return {"n_rows": self.n_rows, **figures}

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> Copies:
        """Return the copies that ``to_json`` wrote."""
        figures = {name: Estimate.from_json(data[name]) for name in ("share", "natural", "excess", "leaked")}  # type: ignore[arg-type]
        return cls(int(data["n_rows"]), **figures)  # type: ignore[call-overload]


@dataclass(frozen=True)
class CopyCount:
    """Synthetic rows in all, those that equal a training row, those that equal a holdout row alone."""

    n_rows: int = 0
    copied: int = 0
    leaked: int = 0

    def __add__(self, other: CopyCount) -> CopyCount:
        return CopyCount(self.n_rows + other.n_rows, self.copied + other.copied, self.leaked + other.leaked)


def count_copies(rows: np.ndarray, *, train: np.ndarray, holdout: np.ndarray | None = None) -> CopyCount:
    """Return how many synthetic ``rows`` equal one of ``train``, or only one of ``holdout``; all are (N,)
    ``feature_hashes``."""
    copied = _among(rows, train)
    leaked = 0 if holdout is None else int(np.count_nonzero(_among(rows, holdout) & ~copied))
    return CopyCount(len(rows), int(copied.sum()), leaked)


def _among(rows: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return which of ``rows`` are among ``known``: np.isin holds six times as much at once as one sorted copy."""
    if not len(known):
        return np.zeros(len(rows), dtype=bool)
    known = np.sort(known)
    return np.asarray(known[np.minimum(np.searchsorted(known, rows), len(known) - 1)] == rows)


def natural_share(hashes: np.ndarray, own: np.ndarray, *, alpha: float) -> Estimate:
    """Return how often a real row of the classes in question has a twin among all real rows.

    ``hashes`` (N,) are the real rows' ``feature_hashes``; ``own`` (N,) is true for rows of those classes.

    Counted within all real rows, because a split keeps equal rows on one side. Where those classes show no twin at all
    the share over all classes is returned: it is known from more rows.
    """
    known = np.sort(hashes)
    shared = np.unique(known[1:][known[1:] == known[:-1]])
    twins = int(np.count_nonzero(_among(hashes[own], shared)))
    if twins:
        return wilson(twins, int(own.sum()), alpha=alpha)
    every = np.searchsorted(known, shared, side="right") - np.searchsorted(known, shared)
    return wilson(int(every.sum()), len(hashes), alpha=alpha)


def weigh(count: CopyCount, natural: Estimate, *, alpha: float, leaks: bool) -> Copies:
    """Return the count as shares with intervals beside ``natural``."""
    if count.n_rows == 0:
        return Copies(0, natural=natural)
    share = wilson(count.copied, count.n_rows, alpha=alpha)
    leaked = wilson(count.leaked, count.n_rows, alpha=alpha) if leaks else UNKNOWN
    return Copies(count.n_rows, share, natural, excess(share, natural), leaked)
