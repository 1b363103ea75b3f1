"""The panel: regularised learners, single-threaded, fitted on an arm's rows and asked about untouched real ones.

May import data and quality.matrix; scikit-learn only inside functions. It does not know who made the rows.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from synthgen.data.dataset import TabularDataset
from synthgen.errors import ConfigError, own_code
from synthgen.quality.matrix import Matrix, fit_features
from synthgen.seeding import derive

Learner = Literal["logistic", "forest", "boosted"]
PANEL: tuple[Learner, ...] = ("logistic", "forest", "boosted")
OWN = "own"
TREES = 40
MOST_ENCODED = 200_000


class Classifier(Protocol):
    """What is used of a scikit-learn classifier."""

    def fit(self, x: object, y: np.ndarray, **kwargs: object) -> object:
        """Learn ``y`` (N,) from ``x``."""
        ...

    def predict_proba(self, x: object) -> np.ndarray:
        """Return (N, K) probabilities, columns as ``classes_``."""
        ...


MakeEstimator = Callable[[], Classifier]


@dataclass(frozen=True)
class Panel:
    """Which learners judge: some of ``PANEL``, and the user's own where ``estimator`` makes one.

    ``max_rows`` caps the rows of each class that a learner is fitted on or asked about; the rest is thinned by lot and
    those kept weigh more.
    """

    learners: tuple[Learner, ...] = PANEL
    estimator: MakeEstimator | None = None
    max_rows: int = 20_000

    @property
    def names(self) -> tuple[str, ...]:
        """The learners' names, the user's last."""
        return (*self.learners, *([OWN] if self.estimator else []))


def load_estimator(spec: str) -> MakeEstimator:
    """Return the factory that ``pkg.mod:make`` names. Raises ConfigError that says what is wrong with it."""
    module, colon, name = spec.partition(":")
    if not (colon and module and name):
        raise ConfigError(f"estimator {spec!r}: write pkg.mod:make, a function that returns an unfitted classifier")
    with own_code(f"estimator {spec!r} cannot be imported", ConfigError, sees_rows=False):
        make = getattr(importlib.import_module(module), name)
    if not callable(make):
        raise ConfigError(f"estimator {spec!r} is a {type(make).__name__}; it must be a function without arguments")
    made = _made(make, repr(spec))
    if not (hasattr(made, "fit") and hasattr(made, "predict_proba")):
        raise ConfigError(f"estimator {spec!r} made a {type(made).__name__}; it needs fit and predict_proba")
    return make  # type: ignore[no-any-return]


def _made(make: MakeEstimator, name: str) -> Classifier:
    with own_code(f"estimator {name} could not be made by a call without arguments", ConfigError, sees_rows=False):
        return make()


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold BLAS and OpenMP at one thread: no figure may depend on how many jobs run side by side."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        yield


def thinned(codes: np.ndarray, cap: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return row positions (ascending) with at most ``cap`` rows per class, and weights that make up for the rest."""
    rows, weights = [], []
    for code in np.unique(codes):
        members = np.flatnonzero(codes == code)
        kept = np.sort(rng.choice(members, cap, replace=False)) if len(members) > cap else members
        rows.append(kept)
        weights.append(np.full(len(kept), len(members) / len(kept)))
    picked, share = np.concatenate(rows), np.concatenate(weights)
    order = np.argsort(picked, kind="stable")
    return picked[order], share[order]


def predict(
    real: TabularDataset,
    added: TabularDataset,
    judged: TabularDataset,
    *,
    panel: Panel,
    weighted: bool,
    seed: int,
    scale: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Return each learner's probabilities (N, K) for the ``judged`` rows, columns as ``classes``.

    Fitted on the ``real`` rows followed by the ``added`` ones, each standing for ``scale`` (K,) rows of its class
    (default: 1); the real ones alone shape the encoding. ``weighted`` balances the classes by weights. The same seed
    gives the same numbers whatever runs beside.
    """
    codes = np.concatenate([real.label_codes, added.label_codes])
    rows, weights = thinned(codes, panel.max_rows, np.random.default_rng(derive(seed, "thin")))
    n_classes = len(real.classes)
    if len(np.unique(codes)) < 2:
        only = np.eye(n_classes)[codes[:1].repeat(len(judged))]
        return dict.fromkeys(panel.names, only)
    own, new = rows[rows < len(real)], rows[rows >= len(real)] - len(real)
    features = fit_features(real if len(real) <= MOST_ENCODED else real.take(_spread(len(real), MOST_ENCODED)))
    fit_rows = (real if len(own) == len(real) else real.take(own)).concat(added.take(new))
    y = codes[rows]
    weights = weights if scale is None else weights * scale[y]
    if weighted:
        totals = np.bincount(y, weights=weights, minlength=n_classes)
        weights = weights * (weights.sum() / (np.count_nonzero(totals) * np.maximum(totals, 1e-12)))[y]
    sample_weight = None if np.all(weights == weights[0]) else weights
    out: dict[str, np.ndarray] = {}
    with one_thread():
        x, asked = features.matrix(fit_rows), features.matrix(judged)
        for name in panel.learners:
            proba = _fit_predict(name, x, y, asked, sample_weight, derive(seed, name) % 2**32)
            out[name] = _aligned(proba, np.unique(y), n_classes)
        if panel.estimator is not None:
            out[OWN] = _own(panel.estimator, fit_rows, judged, sample_weight)
    return out


def _spread(n: int, kept: int) -> np.ndarray:
    """Return ``kept`` of ``n`` row positions, evenly spaced."""
    return np.linspace(0, n - 1, kept).astype(np.int64)


def _fit_predict(
    name: Learner, x: Matrix, y: np.ndarray, asked: Matrix, weights: np.ndarray | None, seed: int
) -> np.ndarray:
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression

    if name == "logistic":
        model = LogisticRegression(C=0.1, max_iter=100, tol=1e-3)
        old, new = x.linear, asked.linear
    elif name == "forest":
        model = RandomForestClassifier(TREES, min_samples_leaf=5, random_state=seed)
        old, new = x.filled, asked.filled
    else:
        model = HistGradientBoostingClassifier(
            learning_rate=0.1,
            max_iter=60,
            max_leaf_nodes=8,
            l2_regularization=5,
            early_stopping=False,
            categorical_features=list(x.categorical) or None,
            random_state=seed,
        )
        old, new = x.trees, asked.trees
    return np.asarray(_quietly(model, old, y, weights).predict_proba(new), dtype=np.float64)


def _quietly(model: Classifier, x: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> Classifier:
    """Fit without the note that 100 steps of a regularised regression had not yet settled: that is meant."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x, y, sample_weight=weights)
    return model


def _aligned(proba: np.ndarray, present: Sequence[int] | np.ndarray, n_classes: int) -> np.ndarray:
    out = np.zeros((len(proba), n_classes))
    out[:, np.asarray(present, dtype=np.int64)] = proba
    return out


def _own(
    make: MakeEstimator, fit_rows: TabularDataset, judged: TabularDataset, weights: np.ndarray | None
) -> np.ndarray:
    """The user's estimator sees a frame of the features and the labels' own values."""
    from sklearn.utils.validation import has_fit_parameter

    names = [column.name for column in fit_rows.schema.features]
    classes = fit_rows.classes
    model = _made(make, getattr(make, "__name__", type(make).__name__))
    extra = {"sample_weight": weights} if weights is not None and has_fit_parameter(model, "sample_weight") else {}
    with own_code(f"the estimator {type(model).__name__} failed", ConfigError):
        labels = np.array(classes)[fit_rows.label_codes]
        model.fit(fit_rows.to_pandas()[names].reset_index(drop=True), labels, **extra)
        proba = np.asarray(model.predict_proba(judged.to_pandas()[names].reset_index(drop=True)), dtype=np.float64)
        present = [classes.index(value) for value in np.asarray(model.classes_).tolist()]  # type: ignore[attr-defined]
    if not np.isfinite(proba).all():
        raise ConfigError(f"the estimator {type(model).__name__} gave probabilities that are not finite")
    return _aligned(proba, present, len(classes))
