"""The training rows that a check works with: all of them, or of a large class a part, drawn by lot.

May import data and quality.downstream.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synthgen.data.kinds import Dataset
from synthgen.quality.downstream import thinned

MOST_SEEN = 1_000_000


@dataclass(frozen=True)
class Seen:
    """``dataset`` are the ``rows`` (N,) of the training rows that arms are prepared on and learners fitted on; each
    stands for ``scale[k]`` rows of its class k, so that classes keep the shares that they have among all."""

    dataset: Dataset
    rows: np.ndarray
    scale: np.ndarray

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know of it: nothing where no class is thinned."""
        if np.all(self.scale == 1):
            return ()
        return (
            f"the check works with {len(self.rows):,} of the training rows: a class of more than {self.most:,} is "
            "thinned to that by lot and weighed so that it keeps its share; what is compared with the rows to publish "
            "is fitted on these; copies are looked for among all, in a cross-fit among those of the fold's generator",
        )

    @property
    def most(self) -> int:
        """Rows of the largest class that is thinned."""
        return int(np.bincount(self.dataset.label_codes, minlength=len(self.scale))[self.scale > 1].max())


def most_seen(n_classes: int, *, least: int) -> int:
    """Return how many rows of a class a check works with: 100,000, fewer where more than ten share a million, never
    fewer than ``least``: five folds of that hold more than is judged, and a generator keeps half as many."""
    return max(least, MOST_SEEN // max(10, n_classes))


def seen_of(train: Dataset, *, least: int, rng: np.random.Generator) -> Seen:
    """Return the rows of ``train`` that a check works with, drawn by ``rng``."""
    rows, weights = thinned(train.label_codes, most_seen(len(train.classes), least=least), rng)
    scale = np.ones(len(train.classes))
    scale[train.label_codes[rows]] = weights
    return Seen(train if len(rows) == len(train) else train.take(rows), rows, scale)
