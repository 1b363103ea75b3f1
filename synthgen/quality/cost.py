"""What a check will cost, before it is made. Calibrated on this project's two-core machine; see tests/quality."""

from __future__ import annotations

import math

from synthgen.quality.checks import INNER_FOLDS, JACKKNIFE, n_resamples
from synthgen.quality.image_panel import steps_for
from synthgen.quality.rules import Gate
from synthgen.quality.seen import MOST_JUDGED

ENLARGED = 1.7
HOLDOUT_SHARE = 0.25
IMAGE_ARMS = 6


def estimate_seconds(
    *,
    n_rows: int,
    n_features: int,
    n_classes: int,
    n_arms: int,
    check: str,
    jobs: int = 1,
    draws: int = 10,
    gate: Gate = Gate(),  # noqa: B008  frozen
) -> float:
    """Return about how many seconds a check takes on ``jobs`` processes, generators' own training left out.

    ``n_rows`` are the training rows; arms are taken to add most of what evens the classes. Right within a factor of
    two on an idle machine for mixed tables of 5 to 50 columns; a user's own estimator is not in it.
    """
    rows = min(ENLARGED * n_rows, gate.max_rows * n_classes)

    def panel(share: float) -> float:
        return panel_seconds(share * rows, n_features, n_classes)

    if check == "cv":
        cells = gate.folds * gate.repeats
        total = n_arms * cells * (panel(1 - 1 / gate.folds) + 0.05)
    else:
        judged = min(HOLDOUT_SHARE * n_rows, MOST_JUDGED)
        columns = n_resamples(gate, n_classes) + JACKKNIFE
        resampling = 4 * judged * columns * 3.3e-8 * (1 if n_classes == 2 else 1 + 0.23 * n_classes)
        total = n_arms * (draws * (panel(1) + resampling) + INNER_FOLDS * panel(1 - 1 / INNER_FOLDS))
    return float(total / max(1, jobs))


def panel_seconds(n_rows: float, n_features: int, n_classes: int) -> float:
    """Return about how many CPU seconds the panel takes to learn ``n_rows`` rows and judge a quarter as many."""
    n, p = max(n_rows, 50.0), max(n_features, 1)
    forest = 0.1 + 1.5e-6 * n * math.log2(n) * p**0.4
    trees = (1 if n_classes == 2 else n_classes) * (0.06 + 9e-6 * n * (p / 17) ** 0.7)
    linear = 0.01 + 8e-8 * n * p * (1 if n_classes == 2 else n_classes)
    return float(forest + trees + linear)


def image_seconds(
    n_images: int,
    shape: tuple[int, int, int],
    *,
    check: str,
    jobs: int = 1,
    draws: int = 10,
    gate: Gate = Gate(),  # noqa: B008  frozen
) -> float:
    """Return about how many seconds the check of ``n_images`` images takes, generators' own training left out."""
    step = 2e-3 + 3.5e-5 * shape[0] * shape[1]
    n_fits = gate.folds * gate.repeats if check == "cv" else draws + INNER_FOLDS
    return IMAGE_ARMS * n_fits * steps_for(n_images) * step / max(1, jobs)
