"""How far a row could be of a class: what a bagged panel of three learners makes of it.

May import data, encode and its own room; scikit-learn only inside functions.
"""

from __future__ import annotations

import numpy as np

from synthgen.data.layout import TableLayout
from synthgen.encode.base import EncodedTable
from synthgen.engines.learners import (
    Bins,
    Classifier,
    TreeSettings,
    boosted_trees,
    forest,
    linear_features,
    logistic,
    one_thread,
)
from synthgen.seeding import derive, numpy_rng

FOLDS = 3
MEMBERS = 3
MAX_FIT = 10_000


def beliefs(rows: EncodedTable, labels: np.ndarray, layout: TableLayout, n_classes: int, *, seed: int) -> np.ndarray:
    """Return (N, n_classes) probabilities of ``rows`` (N) with ``labels`` (N,): the mean of a bagged panel.

    Logistic regression, a forest and boosted trees, each fitted without one third of the rows, in turn, and asked
    about all: a row's own label speaks for it in two models of three. Each fit sees at most 10,000 rows a class.
    """
    out = np.zeros((len(labels), n_classes))
    if len(np.unique(labels)) < 2:
        out[np.arange(len(labels)), labels] = 1.0
        return out
    fold = _folds(labels, seed)
    trees, line = Bins.fit(rows, labels).features(rows), linear_features(rows, layout)
    with one_thread():
        for k in range(FOLDS):
            known = _capped(np.flatnonzero(fold != k), labels, seed=derive(seed, "capped", k))
            y = labels[known]
            for model, x in _panel(layout, len(np.unique(y)), trees, line, seed=derive(seed, "fit", k)):
                fitted = model.fit(x[known], y)
                out[:, fitted.classes_] += fitted.predict_proba(x) / (FOLDS * MEMBERS)
    return out


def _panel(
    layout: TableLayout, n_classes: int, trees: np.ndarray, line: np.ndarray, *, seed: int
) -> tuple[tuple[Classifier, np.ndarray], ...]:
    """Return unfitted learners with the features that each takes."""
    rounds = 80 if n_classes == 2 else int(np.clip(240 // n_classes, 10, 80))  # each round grows a tree a class
    boosted = boosted_trees(layout, TreeSettings(rounds=rounds), seed=seed)
    return (logistic(), line), (forest(seed=seed), trees), (boosted, trees)


def _folds(labels: np.ndarray, seed: int) -> np.ndarray:
    """Return (N,) fold numbers: every class dealt out in random order, starting where the last one stopped."""
    rng, at = numpy_rng(seed, "folds"), 0
    fold = np.empty(len(labels), dtype=np.int64)
    for code in np.unique(labels):
        own = rng.permutation(np.flatnonzero(labels == code))
        fold[own] = (at + np.arange(len(own))) % FOLDS
        at += len(own)
    return fold


def _capped(rows: np.ndarray, labels: np.ndarray, *, seed: int) -> np.ndarray:
    rng, kept = numpy_rng(seed, "rows"), []
    for code in np.unique(labels[rows]):
        own = rows[labels[rows] == code]
        kept.append(rng.choice(own, MAX_FIT, replace=False) if len(own) > MAX_FIT else own)
    return np.sort(np.concatenate(kept)) if kept else rows
