"""Can synthetic rows be told from real ones? Always beside how well two sets of real rows can be told apart.

May import data and the rest of quality; scikit-learn only inside functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
from scipy import stats

from synthgen.data.dataset import TabularDataset
from synthgen.data.schema import Label
from synthgen.quality.downstream import one_thread
from synthgen.quality.matrix import Features, fit_features
from synthgen.quality.stats import UNKNOWN, Estimate
from synthgen.seeding import derive, numpy_rng

LEAST_ROWS = 30
MOST_ROWS = 2000
FOLDS = 3
TREES = 60


@dataclass(frozen=True)
class C2ST:
    """The AUC of a forest that tells synthetic from real rows (``auc``), and two sets of real rows of that very size
    (``floor``): .5 is "cannot be told apart". ``n_rows`` are the rows on each side; with fewer than 30 both are NaN
    and ``note`` says why."""

    auc: Estimate = UNKNOWN
    floor: Estimate = UNKNOWN
    n_rows: int = 0
    note: str = ""

    def to_json(self) -> dict[str, object]:
        """Return the figures as JSON types."""
        return {
            "auc": self.auc.to_json(),
            "floor": self.floor.to_json(),
            "n_rows": self.n_rows,
            "note": self.note,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> C2ST:
        """Return the test that ``to_json`` wrote."""
        auc, floor = (Estimate.from_json(cast("dict[str, float | None]", data[name])) for name in ("auc", "floor"))
        return cls(auc, floor, int(cast("int", data["n_rows"])), str(data["note"]))


def c2st(
    synthetic: TabularDataset,
    unseen: TabularDataset,
    *,
    seen: TabularDataset | None = None,
    seed: int,
    alpha: float = 0.05,
) -> C2ST:
    """Return the two-sample test of ``synthetic`` against ``unseen`` real rows, both of the same class.

    The floor compares ``unseen`` with ``seen`` (real rows the generator was trained on), or halves of ``unseen``
    where none are given; then everything is done at half the size, so that both figures rest on as many rows.
    """
    rng = numpy_rng(seed, "c2st")
    unseen_rows = rng.permutation(len(unseen))
    if seen is None:
        other, unseen_rows = unseen.take(unseen_rows[len(unseen) // 2 :]), unseen_rows[: len(unseen) // 2]
    else:
        other = seen
    real = unseen.take(unseen_rows)
    n = min(len(synthetic), len(real), len(other), MOST_ROWS)
    if n < LEAST_ROWS:
        return C2ST(n_rows=n, note=f"not estimable: {n} rows on a side, and it takes {LEAST_ROWS}")
    features = fit_features(real.concat(other))
    a, b, c = (part.take(rng.permutation(len(part))[:n]) for part in (synthetic, real, other))
    return C2ST(
        _told_apart(a, b, features, seed=derive(seed, "synthetic"), alpha=alpha),
        _told_apart(c, b, features, seed=derive(seed, "floor"), alpha=alpha),
        n,
    )


def per_class(
    synthetic: TabularDataset,
    unseen: TabularDataset,
    *,
    seen: TabularDataset | None = None,
    seed: int,
    alpha: float = 0.05,
) -> dict[Label, C2ST]:
    """Return ``c2st`` of each class that ``synthetic`` has rows of."""
    return {
        label: c2st(
            synthetic.of_class(label),
            unseen.of_class(label),
            seen=None if seen is None else seen.of_class(label),
            seed=derive(seed, i),
            alpha=alpha,
        )
        for i, label in enumerate(synthetic.classes)
        if synthetic.counts()[label]
    }


def _told_apart(one: TabularDataset, two: TabularDataset, features: Features, *, seed: int, alpha: float) -> Estimate:
    """Cross-validated AUC of a forest, with DeLong's error on the logit scale."""
    from sklearn.ensemble import RandomForestClassifier

    n = len(one)
    x = np.concatenate([features.matrix(one).filled, features.matrix(two).filled])
    side = np.r_[np.ones(n, dtype=int), np.zeros(n, dtype=int)]
    rng = np.random.default_rng(seed)
    fold = np.concatenate([rng.permutation(n) % FOLDS, rng.permutation(n) % FOLDS])
    belief = np.empty(2 * n)
    with one_thread():
        for k in range(FOLDS):
            forest = RandomForestClassifier(TREES, min_samples_leaf=5, random_state=derive(seed, k) % 2**32)
            forest.fit(x[fold != k], side[fold != k])
            belief[fold == k] = forest.predict_proba(x[fold == k])[:, 1]
    return auc_interval(belief[side == 1], belief[side == 0], alpha=alpha)


def auc_interval(up: np.ndarray, down: np.ndarray, *, alpha: float) -> Estimate:
    """Return the AUC of scores ``up`` above ``down`` with one-sided bounds (DeLong, Biometrics 44, 1988; on logits)."""
    m, n = len(up), len(down)
    ranks = stats.rankdata(np.concatenate([up, down]))
    of_up = (ranks[:m] - stats.rankdata(up)) / n
    of_down = 1 - (ranks[m:] - stats.rankdata(down)) / m
    auc = float(of_up.mean())
    error = float(np.sqrt(of_up.var(ddof=1) / m + of_down.var(ddof=1) / n))
    inside = float(np.clip(auc, 0.5 / (m + n), 1 - 0.5 / (m + n)))
    reach = float(stats.norm.ppf(1 - alpha)) * max(error, 0.5 / (m + n)) / (inside * (1 - inside))
    middle = np.log(inside / (1 - inside))
    low, high = 1 / (1 + np.exp(-(middle - reach))), 1 / (1 + np.exp(-(middle + reach)))
    return Estimate(auc, min(float(low), auc), max(float(high), auc))
