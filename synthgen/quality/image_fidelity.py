"""How near added images of a class are to real ones, and how varied: always beside two sets of real images.

Distances are between the features of a small network trained on real training images alone. May import data and the
rest of quality.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np

from synthgen.data.images import ImageDataset
from synthgen.data.schema import Label
from synthgen.quality.cnn import Training, train_network
from synthgen.quality.image_panel import steps_for
from synthgen.seeding import derive, numpy_rng

LEAST_IMAGES = 10
MOST_IMAGES = 500
NEIGHBOURS = 5


@dataclass(frozen=True)
class Nearness:
    """One set of images against real ones: ``kid`` (0 is alike; it may fall below) and ``fd``, the Frechet distance;
    ``precision``, ``recall``, ``density`` and ``coverage``, 1 at best; ``diversity``, the mean distance between two
    images of the set over that of the real ones."""

    kid: float
    fd: float
    precision: float
    recall: float
    density: float
    coverage: float
    diversity: float


@dataclass(frozen=True)
class ImageFidelity:
    """Added images of one class and origin. ``figures`` are theirs, ``floor`` those of real images, both of
    ``n_images``; None with fewer than 10.

    ``unique`` is the share of different images. ``memorised``: of the added images, the share that lies nearer to a
    training image than to an unseen one, of as many each; .5 is what unseen real images reach. None without unseen
    ones.
    """

    n_images: int
    unique: float
    figures: Nearness | None = None
    floor: Nearness | None = None
    memorised: float | None = None

    def to_json(self) -> dict[str, object]:
        """Return the figures as JSON types."""
        return asdict(self)


def image_fidelity(
    added: ImageDataset, real: ImageDataset, *, unseen: ImageDataset | None, flips: bool, seed: int
) -> dict[Label, dict[str, ImageFidelity]]:
    """Return for each class, and "synthetic" and "repeated" apart, how ``added`` images compare with real ones.

    ``real`` are the training images. The comparison is with ``unseen`` ones, the floor being training images against
    those; without any, with one half of the training images, the floor being the other half.
    """
    training = Training(steps_for(len(real)), flips=flips)
    n_classes = len(real.classes)
    network = train_network(
        real.images, real.label_codes, n_classes=n_classes, training=training, seed=derive(seed, "features")
    )
    found: dict[Label, dict[str, ImageFidelity]] = {}
    for label, origin, images in _groups(added):
        rng = numpy_rng(seed, "fidelity", str(label), origin)
        seen, aside = real.of_class(label), None if unseen is None else unseen.of_class(label)
        made, own = network.features(images.images), network.features(seen.images)
        held = None if aside is None else network.features(aside.images)
        unique = len(np.unique(images.feature_hashes())) / len(images)
        found.setdefault(label, {})[origin] = _compare(made, own, held, unique, rng)
    return found


def _groups(added: ImageDataset) -> Iterator[tuple[Label, str, ImageDataset]]:
    again = np.zeros(len(added), dtype=bool) if added.repeated is None else added.repeated
    for code, label in enumerate(added.classes):
        for origin, chosen in (("synthetic", ~again), ("repeated", again)):
            own = (added.label_codes == code) & chosen
            if own.any():
                yield label, origin, added.take(own)


def _compare(
    made: np.ndarray, seen: np.ndarray, held: np.ndarray | None, unique: float, rng: np.random.Generator
) -> ImageFidelity:
    shuffled = seen[rng.permutation(len(seen))]
    target, other = (held, shuffled) if held is not None else np.array_split(shuffled, 2)
    n = min(len(made), len(target), len(other), MOST_IMAGES)
    if n < LEAST_IMAGES:
        return ImageFidelity(n, unique)
    made, target, other = (rows[rng.permutation(len(rows))[:n]] for rows in (made, target, other))
    memorised = None
    if held is not None:
        gaps = [_distances(made, rows).min(axis=1) for rows in (other, target)]
        memorised = float(np.mean((gaps[0] < gaps[1]) + 0.5 * (gaps[0] == gaps[1])))
    return ImageFidelity(n, unique, nearness(made, target), nearness(other, target), memorised)


def nearness(made: np.ndarray, real: np.ndarray) -> Nearness:
    """Return how the features ``made`` (N, D) compare with those of ``real`` images (N, D)."""
    inside, within, across = _distances(real, real), _distances(made, made), _distances(made, real)
    k = min(NEIGHBOURS, len(real) - 1)
    reach, own_reach = (np.sort(each, axis=1)[:, k] for each in (inside, within))
    return Nearness(
        kid=kernel_distance(made, real),
        fd=frechet_distance(made, real),
        precision=float((across <= reach).any(axis=1).mean()),
        recall=float((across <= own_reach[:, None]).any(axis=0).mean()),
        density=float((across <= reach).sum(axis=1).mean() / k),
        coverage=float((across.min(axis=0) <= reach).mean()),
        diversity=float(within.sum() / max(inside.sum(), 1e-12)),
    )


def kernel_distance(one: np.ndarray, two: np.ndarray) -> float:
    """Return the unbiased squared MMD under the cubic kernel (x.y / D + 1)^3 (Binkowski et al. 2018, equation 4)."""
    m, n, width = len(one), len(two), one.shape[1]
    xx, yy, xy = (((a @ b.T) / width + 1) ** 3 for a, b in ((one, one), (two, two), (one, two)))
    inside = (xx.sum() - np.trace(xx)) / (m * (m - 1)) + (yy.sum() - np.trace(yy)) / (n * (n - 1))
    return float(inside - 2 * xy.mean())


def frechet_distance(one: np.ndarray, two: np.ndarray) -> float:
    """Return the squared Frechet distance of normal distributions with these moments (Heusel et al. 2017, eq. 6)."""
    first, second = np.atleast_2d(np.cov(one.T)), np.atleast_2d(np.cov(two.T))
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ second @ root).clip(0)).sum()
    apart = float(((one.mean(axis=0) - two.mean(axis=0)) ** 2).sum())
    return apart + float(np.trace(first) + np.trace(second) - 2 * cross)


def _distances(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """(N, M) Euclidean distances."""
    squares = (one**2).sum(axis=1)[:, None] + (two**2).sum(axis=1) - 2 * one @ two.T
    return np.asarray(np.sqrt(squares.clip(0)))
