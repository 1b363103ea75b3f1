"""The quick regularised classifiers that engines judge rows by: boosted trees, a forest and logistic regression on a
codec's arrays, single-threaded, so that the same rows give the same bits wherever they run.

May import data.layout and encode.base; scikit-learn only inside functions.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, Self, cast

import numpy as np

from synthgen.data.layout import TableLayout
from synthgen.encode.base import EncodedTable

MAX_LEVELS = 255
ONE_HOT = 40
N_BINS = 128


class Classifier(Protocol):
    """What is used of a scikit-learn classifier."""

    classes_: np.ndarray

    def fit(self, x: np.ndarray, y: np.ndarray) -> Self:
        """Learn y (N,) from x (N, D)."""
        ...

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        """Return (N, K) probabilities, columns as ``classes_``."""
        ...


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold scikit-learn's and BLAS's pools at one thread: two threads on small arrays cost more than they give."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        yield


@dataclass(frozen=True)
class TreeSettings:
    """Size of the boosted trees."""

    rounds: int = 80
    rate: float = 0.05
    leaves: int = 8
    balanced: bool = False


@dataclass(frozen=True, eq=False)
class Bins:
    """Numeric columns cut at quantiles in which every class weighs the same, so that a rare class's range is cut as
    finely as a common one's. Trees on bins see nothing else; finding the cuts here costs a tenth of what
    scikit-learn's weighted quantiles cost."""

    edges: tuple[np.ndarray, ...]

    @classmethod
    def fit(cls, rows: EncodedTable, labels: np.ndarray) -> Bins:
        """Cut the columns of ``rows`` (N, P) with ``labels`` (N,) into at most 128 bins each."""
        _, codes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
        weight = 1.0 / sizes[codes]
        edges = []
        for column in rows.numeric.T:
            order = np.argsort(column, kind="stable")
            upto = np.cumsum(weight[order])
            at = np.searchsorted(upto, np.linspace(0, upto[-1], N_BINS + 1)[1:-1])
            edges.append(np.unique(column[order[np.minimum(at, len(order) - 1)]]))
        return cls(tuple(edges))

    def features(self, rows: EncodedTable) -> np.ndarray:
        """Return (N, P + Q) float32 whole numbers for ``boosted_trees``: bins, then codes."""
        bins = [np.searchsorted(edges, column) for edges, column in zip(self.edges, rows.numeric.T, strict=True)]
        return np.column_stack([*bins, rows.codes]).astype(np.float32)


def boosted_trees(layout: TableLayout, settings: TreeSettings, *, seed: int) -> Classifier:
    """Return unfitted trees for ``Bins.features``; a column of more than 255 levels counts as ordered."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    categorical = [layout.n_numeric + j for j, size in enumerate(layout.levels) if 2 < size <= MAX_LEVELS]
    model = HistGradientBoostingClassifier(
        max_iter=settings.rounds,
        learning_rate=settings.rate,
        max_leaf_nodes=settings.leaves,
        l2_regularization=5.0,
        early_stopping=False,
        categorical_features=categorical or None,
        class_weight="balanced" if settings.balanced else None,
        random_state=seed % 2**32,
    )
    return cast("Classifier", model)


def forest(*, seed: int) -> Classifier:
    """Return an unfitted forest of 60 trees with leaves of five rows or more, for ``Bins.features``."""
    from sklearn.ensemble import RandomForestClassifier

    return cast("Classifier", RandomForestClassifier(60, min_samples_leaf=5, random_state=seed % 2**32))


def logistic(*, balanced: bool = False) -> Classifier:
    """Return an unfitted logistic regression for ``linear_features``, C = .1."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=0.1, max_iter=100, tol=1e-3, class_weight="balanced" if balanced else None)
    return cast("Classifier", model)


def linear_features(rows: EncodedTable, layout: TableLayout) -> np.ndarray:
    """Return (N, D) float32: numbers, then one column per level; a column's levels past the 40th are left out."""
    blocks = [np.clip(rows.numeric, -10, 10)]
    for column, size in enumerate(layout.levels):
        first = 1 if size == 2 else 0
        levels = np.arange(first, min(size, ONE_HOT), dtype=rows.codes.dtype)
        blocks.append((rows.codes[:, column, None] == levels).astype(np.float32))
    return np.concatenate(blocks, axis=1)
