"""The real rows that a check works with: all of them, or of a large class a part, drawn by lot.

May import data and the rest of quality.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from synthgen.data.dataset import counts_of
from synthgen.data.images import ImageDataset
from synthgen.data.kinds import Dataset
from synthgen.data.schema import Label
from synthgen.data.split import Split, dealt, folds, row_keys
from synthgen.errors import DataError
from synthgen.quality.downstream import thinned
from synthgen.quality.rules import LEAST_ROWS, Gate
from synthgen.seeding import derive, numpy_rng

MOST_SEEN = 1_000_000
MOST_JUDGED = 30_000
_SMALL = 10_000  # rows of a class


@dataclass(frozen=True)
class Known:
    """What a check knows of all real rows on one side: their classes (N,) and content hashes (N,), not the rows."""

    classes: tuple[Label, ...]
    label_codes: np.ndarray
    hashes: np.ndarray

    @classmethod
    def of(cls, rows: Dataset) -> Known:
        """Look through ``rows``."""
        return cls(rows.classes, rows.label_codes, rows.feature_hashes())

    def __len__(self) -> int:
        return len(self.label_codes)

    def counts(self) -> Mapping[Label, int]:
        """Return rows per class; every class is there, 0 included."""
        return counts_of(self.label_codes, self.classes)


@dataclass(frozen=True)
class Real:
    """The real rows of a check, looked through: ``seen`` of the training rows and ``asked`` of those set aside are
    worked with, in memory of their own; of the others it is enough to know how many there are and their hashes. So a
    large table need not stay in memory meanwhile."""

    train: Known
    holdout: Known | None
    seen: Seen
    asked: Asked | None

    @property
    def of_images(self) -> bool:
        """Whether these are images."""
        return isinstance(self.seen.dataset, ImageDataset)

    @property
    def thinned(self) -> bool:
        """Whether it works with a part of the training rows."""
        return len(self.seen.rows) < len(self.train)


@dataclass(frozen=True)
class Asked:
    """The rows set aside that are judged, and what each weighs (more than 1 where its class was thinned)."""

    dataset: Dataset
    weights: np.ndarray


def look(train: Dataset, holdout: Dataset | None, *, gate: Gate, seed: int) -> Real:
    """Return what ``assess`` needs to know of the real rows, with the gate and the seed that it is given too.

    Raises DataError where the two have other classes.
    """
    if holdout is not None and holdout.classes != train.classes:
        raise DataError("the holdout's classes differ from the training rows'; read it as one table with them")
    least = len(train) if isinstance(train, ImageDataset) else gate.max_rows  # of images all are seen
    seen, asked = seen_of(train, least=least, rng=numpy_rng(seed, "seen")), None
    if holdout is not None:
        kept, weights = judged_of(holdout.label_codes, len(train.classes), seed=seed)  # none of them is thinned before
        asked = Asked(holdout.take(kept).apart(), weights)
    return Real(Known.of(train), None if holdout is None else Known.of(holdout), seen, asked)


def deals(
    rows: Dataset, counts: Mapping[Label, int], gate: Gate, *, seed: int, group: str | None = None
) -> list[list[Split]]:
    """Return the folds of each repeat of a cross-fit: as many as the gate asks for, fewer where fewer than two of the
    classes have so many of the ``counts``."""
    n_folds, seeds = _deals(counts, gate, seed)
    return [folds(rows, n_folds=n_folds, seed=one, group=group) for one in seeds]


def fewest_learnt(rows: Dataset, gate: Gate, *, seed: int, group: str | None = None) -> dict[Label, int]:
    """Return how many rows of each class there are to learn from in the fold of a cross-fit that has the fewest.

    Of classes too large for it to matter it is what an even deal leaves.
    """
    counts = rows.counts()
    learnt = {label: n - math.ceil(n / gate.folds) for label, n in counts.items()}
    small = [k for k, label in enumerate(rows.classes) if counts[label] < _SMALL]
    own = np.isin(rows.label_codes, small)
    keys, codes = row_keys(rows, group=group)[0][own], rows.label_codes[own]
    n_folds, seeds = _deals(counts, gate, seed)
    for fold in (dealt(keys, codes, n_folds=n_folds, seed=one) for one in seeds):
        for code in small:
            held = int(np.bincount(fold[codes == code], minlength=1).max())
            label = rows.classes[code]
            learnt[label] = min(learnt[label], counts[label] - held)
    return learnt


def _deals(counts: Mapping[Label, int], gate: Gate, seed: int) -> tuple[int, list[int]]:
    """How many folds, and the seed of each repeat."""
    n_folds = max(LEAST_ROWS, min(gate.folds, sorted(counts.values())[-2]))
    return n_folds, [derive(seed, "repeat", repeat) for repeat in range(gate.repeats)]


def judged_of(codes: np.ndarray, n_classes: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return positions of the rows that are judged and their weights: at most 15,000 of two classes, fewer of each
    where there are many."""
    cap = max(MOST_JUDGED // 30, MOST_JUDGED // n_classes)
    return thinned(codes, cap, numpy_rng(seed, "judged"))


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
    return Seen(train if len(rows) == len(train) else train.take(rows).apart(), rows, scale)
