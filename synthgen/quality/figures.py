"""The figures of a prediction, each under many row weightings at once, and the user's words for the primary one.

Knows numbers only: scores, class codes, decisions. May import errors and quality.stats.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import sparse

from synthgen.errors import ConfigError
from synthgen.quality.stats import ranking

MetricKind = Literal["average_precision", "roc_auc", "balanced_accuracy", "recall@fpr", "precision@k", "cost"]

_NUMBER = r"(\d*\.?\d+)"
_PATTERNS: tuple[tuple[MetricKind, str, str], ...] = (
    ("average_precision", "average_precision", "average precision"),
    ("roc_auc", "roc_auc", "ROC AUC"),
    ("balanced_accuracy", "balanced_accuracy", "balanced accuracy"),
    ("recall@fpr", rf"recall@fpr={_NUMBER}", "recall at a false-positive rate of {0:g}"),
    ("precision@k", r"precision@k=(\d+)", "precision among the first {0:g}"),
    ("cost", rf"cost:fn={_NUMBER},fp={_NUMBER}", "saved cost per row (a miss {0:g}, a false alarm {1:g})"),
)
KNOWN = "average_precision, roc_auc, balanced_accuracy, recall@fpr=.01, precision@k=100, cost:fn=10,fp=1"


@dataclass(frozen=True)
class Metric:
    """A primary figure: larger is better for every kind (a cost counts as its negative).

    ``name`` is as the user wrote it; ``words`` go into sentences; ``numbers`` are the parameters.
    """

    name: str
    kind: MetricKind
    words: str
    numbers: tuple[float, ...] = ()

    @property
    def decides(self) -> bool:
        """Whether the figure needs a threshold, and so one that is tuned out of fold."""
        return self.kind in ("balanced_accuracy", "cost")


def parse_metric(text: str) -> Metric:
    """Return the metric that ``text`` names. Raises ConfigError that lists what exists."""
    compact = re.sub(r"\s+", "", text)
    for kind, pattern, words in _PATTERNS:
        if found := re.fullmatch(pattern, compact):
            numbers = tuple(float(x) for x in found.groups())
            if kind == "recall@fpr" and not 0 < numbers[0] < 1:
                raise ConfigError(f"metric {text!r}: the false-positive rate must lie between 0 and 1")
            if kind in ("precision@k", "cost") and min(numbers) <= 0:
                raise ConfigError(f"metric {text!r}: its numbers must be above 0")
            return Metric(compact, kind, words.format(*numbers), numbers)
    raise ConfigError(f"unknown metric {text!r}; known are: {KNOWN}")


def ranking_figures(
    scores: np.ndarray, codes: np.ndarray, weights: np.ndarray, *, classes: np.ndarray, metric: Metric
) -> dict[str, np.ndarray]:
    """Return average precision and ROC AUC, each the mean over ``classes`` one against the rest, (B,).

    ``scores`` (N, K), ``weights`` (N, B). Where ``metric`` is another ranking figure it is there under its name.
    """
    ap, auc, own = [], [], []
    for k in classes:
        positive = codes == k
        one_ap, one_auc = ranking(scores[:, k], positive, weights)
        ap.append(one_ap)
        auc.append(one_auc)
        if metric.kind == "recall@fpr":
            own.append(recall_at_rate(scores[:, k], positive, weights, metric.numbers[0]))
        elif metric.kind == "precision@k":
            own.append(precision_at(scores[:, k], positive, weights, metric.numbers[0]))
    out = {"average_precision": macro(ap), "roc_auc": macro(auc)}
    if own:
        out[metric.name] = macro(own)
    return out


def macro(figures: list[np.ndarray]) -> np.ndarray:
    """Return the mean over classes, leaving out those that a weighting has no row of; NaN where none is left."""
    table = np.stack(figures)
    known = np.isfinite(table)
    n = known.sum(axis=0)
    return np.asarray(np.where(n > 0, np.where(known, table, 0.0).sum(axis=0) / np.maximum(n, 1), np.nan))


def recall_at_rate(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray, rate: float) -> np.ndarray:
    """Return the largest recall whose false-positive rate is at most ``rate``, (B,)."""
    true, false = _cumulative(scores, positive, weights)
    with np.errstate(invalid="ignore", divide="ignore"):
        allowed = false <= rate * false[-1] * (1 + 1e-6)
        return np.asarray(np.where(allowed, true, 0.0).max(axis=0) / true[-1])


def precision_at(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray, k: float) -> np.ndarray:
    """Return the share of positives among the ``k`` highest scores (all rows where there are fewer), (B,).

    Rows that tie at the end share what is left of the ``k`` places.
    """
    true, false = _cumulative(scores, positive, weights)
    total = true + false
    places = np.minimum(k, total[-1])
    last = np.argmax(total >= places * (1 - 1e-6), axis=0)
    column = np.arange(weights.shape[1])
    before = np.where(last > 0, total[last - 1, column], 0.0)
    hits = np.where(last > 0, true[last - 1, column], 0.0)
    width = total[last, column] - before
    with np.errstate(invalid="ignore", divide="ignore"):
        part = np.clip((places - before) / width, 0, 1)
        return np.asarray((hits + part * (true[last, column] - hits)) / places)


def _cumulative(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights of positives and of negatives at or above each distinct score, highest first: (T, B) each."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.r_[scores[order][1:] != scores[order][:-1], True])
    w, up = weights[order].astype(float), positive[order][:, None]
    true, false = np.cumsum(w * up, axis=0), np.cumsum(w * ~up, axis=0)
    return true[ends], false[ends]


def confusion(codes: np.ndarray, decided: np.ndarray, weights: np.ndarray, n_classes: int) -> np.ndarray:
    """Return weighted counts (K, K, B): real class by decided class."""
    n = len(codes)
    cell = codes.astype(np.int64) * n_classes + decided
    pick = sparse.csr_array((np.ones(n, dtype=np.float32), (cell, np.arange(n))), shape=(n_classes**2, n))
    return np.asarray(pick @ weights, dtype=float).reshape(n_classes, n_classes, -1)


def recalls(counts: np.ndarray) -> np.ndarray:
    """Return each class's recall (K, B) from ``confusion``; NaN where it has no rows."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.diagonal(counts).T / counts.sum(axis=1))


def macro_f1(counts: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return the mean F1 over ``classes`` (B,); a class that is neither there nor decided is left out."""
    hits = np.diagonal(counts).T
    total = counts.sum(axis=1) + counts.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return macro(list((2 * hits / total)[classes]))


def mcc(counts: np.ndarray) -> np.ndarray:
    """Return Matthews' correlation, (B,) (Gorodkin 2004 for several classes); 0 where one side is constant."""
    real, decided = counts.sum(axis=1), counts.sum(axis=0)
    n, hits = real.sum(axis=0), np.einsum("kkb->b", counts)
    top = hits * n - np.sum(real * decided, axis=0)
    below = (n**2 - np.sum(decided**2, axis=0)) * (n**2 - np.sum(real**2, axis=0))
    return np.asarray(np.where(below > 0, top / np.sqrt(np.where(below > 0, below, 1.0)), 0.0))


def saved_cost(counts: np.ndarray, rare: int, numbers: tuple[float, ...]) -> np.ndarray:
    """Return minus the mean cost per row, (B,): ``numbers`` are of a rare row missed and of a false alarm."""
    miss, alarm = numbers
    common = 1 - rare
    cost = miss * counts[rare, common] + alarm * counts[common, rare]
    return np.asarray(-cost / counts.sum(axis=(0, 1)))


def row_losses(proba: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each row's Brier score and log loss, (N,) each. Two classes: the usual (p - y)^2; more: half the sum."""
    truth = np.zeros_like(proba)
    truth[np.arange(len(codes)), codes] = 1
    brier = np.sum((proba - truth) ** 2, axis=1) / 2
    return brier, -np.log(np.clip(proba[np.arange(len(codes)), codes], 1e-12, 1))
