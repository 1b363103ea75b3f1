"""Which engine for images: each candidate's images help a small network that is scored on inner held-out real ones.

May import data, quality's network and its own room. A candidate must beat repeats by more than two standard errors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from synthgen.data.images import ImageDataset
from synthgen.data.schema import Label
from synthgen.data.split import folds
from synthgen.engines.base import Engine, FitContext
from synthgen.engines.choose import MARGIN, Choice, Score
from synthgen.engines.image_catalog import FEW_IMAGES, INNER_FOLDS, enough_for, image_engine_info
from synthgen.engines.tournament import ranking_figures
from synthgen.errors import ConfigError
from synthgen.quality.cnn import Training, train_network
from synthgen.quality.image_panel import steps_for
from synthgen.seeding import derive, numpy_rng

SPLITS = 2
NETWORK_SPLITS = 1
STEPS = 400  # a competing network's
_NETWORKS = 2
_RESAMPLES = 60


@dataclass(frozen=True)
class _Fold:
    """One inner split: its images, how many of which class to add, and (1 + resamples, n_held) weights."""

    train: ImageDataset
    held: ImageDataset
    adds: Mapping[Label, int]
    weights: np.ndarray
    seed: int


def choose_for_images(
    train: ImageDataset,
    make: Callable[[str], Engine[ImageDataset]],
    *,
    want: Mapping[Label, int],
    candidates: Sequence[str],
    flips: bool,
    seed: int,
    report: Callable[[float, str], None],
) -> Choice:
    """Return the candidate whose images help most; the first is the default, which another must clearly beat.

    Scored is (AP + AUC) / 2, the mean over the classes in ``want`` (label -> images to add), of two networks on each of
    two inner splits, the first alone where a candidate trains a network. A candidate that needs more images than any of
    these classes has on a split does not compete, nor does a class of fewer than 10. Raises ConfigError for no
    candidates.
    """
    if not candidates:
        raise ConfigError("there are no candidates to choose from")
    counts = train.counts()
    most = max((counts.get(label, 0) for label, n in want.items() if n), default=0)
    usable = enough_for(candidates, most)
    few = f"needs more images on a split than the {most} of the largest class allow"
    left_out = tuple(_line(name, few) for name in candidates if name not in usable)
    judged = [label for label, n in want.items() if n and counts.get(label, 0) >= FEW_IMAGES]
    default = (usable or candidates)[0]
    if len(usable) < 2 or not judged:
        why = "the only engine that can be tried" if len(usable) < 2 else "no class has images enough to be judged"
        return Choice(default, 1.0, f"{why}: the default", left_out)
    scores: dict[str, list[np.ndarray]] = {name: [] for name in usable}
    splits = _splits(train, want, seed=seed)
    for k, split in enumerate(splits):
        for j, name in enumerate(usable):
            if k >= NETWORK_SPLITS and image_engine_info(name).trains:
                continue
            report((k * len(usable) + j) / (SPLITS * len(usable)), f"trying {name} on inner split {k + 1}")
            scores[name].append(_score(split, make(name), judged, flips=flips))
    return _decide(scores, default, left_out)


def _splits(train: ImageDataset, want: Mapping[Label, int], *, seed: int) -> list[_Fold]:
    counts, out = train.counts(), []
    for k, split in enumerate(folds(train, n_folds=INNER_FOLDS, seed=derive(seed, "inner"))[:SPLITS]):
        inner, held = train.take(split.train), train.take(split.holdout)
        have = inner.counts()
        adds = {label: round(n * have[label] / counts[label]) for label, n in want.items() if have[label]}
        drawn = numpy_rng(seed, "resamples", k).poisson(1.0, (_RESAMPLES, len(held)))
        weights = np.concatenate([np.ones((1, len(held))), drawn])
        out.append(_Fold(inner, held, {label: n for label, n in adds.items() if n}, weights, derive(seed, "fold", k)))
    return out


def _score(fold: _Fold, engine: Engine[ImageDataset], judged: Sequence[Label], *, flips: bool) -> np.ndarray:
    """(2, 1 + resamples): macro AP and AUC over the judged classes, the mean of the networks."""
    context = FitContext(want=fold.adds)
    engine = engine.fit(fold.train, seed=derive(fold.seed, "fit"), context=context)
    new = [
        engine.sample(label, n, seed=derive(fold.seed, "sample", k)) for k, (label, n) in enumerate(fold.adds.items())
    ]
    together = fold.train.concat(*new)
    training, total = Training(steps_for(len(fold.train)), flips=flips), np.zeros((2, len(fold.weights)))
    for k in range(_NETWORKS):
        network = train_network(
            together.images,
            together.label_codes,
            n_classes=len(fold.train.classes),
            training=training,
            seed=derive(fold.seed, "network", k),
        )
        proba = network.proba(fold.held.images)
        for label in judged:
            code = fold.train.classes.index(label)
            total += ranking_figures(fold.held.label_codes == code, proba[:, code], fold.weights)
    return total / (_NETWORKS * len(judged))


def _decide(scores: Mapping[str, Sequence[np.ndarray]], default: str, left_out: tuple[Score, ...]) -> Choice:
    lines, winner, reason, best = [], default, "the default; no other gains clearly more", 0.0
    for name, cells in scores.items():
        mine, base = np.mean(cells, axis=0), np.mean(scores[default][: len(cells)], axis=0)
        gains = (mine - base).mean(axis=0)
        gain, error = float(gains[0]), float(np.std(gains[1:], ddof=1))
        told = "the default" if name == default else f"gains {gain:+.3f} ± {error:.3f} over {default}"
        if gain - MARGIN * error > best:
            winner, best, reason = name, gain - MARGIN * error, f"{name} {told}: taken"
        lines.append(Score(name, 1.0, len(cells), float(mine[0, 0]), float(mine[1, 0]), None, gain, error, told))
    return Choice(winner, 1.0, reason, (*lines, *left_out))


def _line(name: str, reason: str) -> Score:
    return Score(name, 1.0, 0, None, None, None, None, None, reason)
