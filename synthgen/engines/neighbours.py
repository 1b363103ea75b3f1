"""Which rows lie near which: one search for all engines that move a row by the difference of its neighbours.

May import seeding; scikit-learn only inside functions.
"""

from __future__ import annotations

import numpy as np

from synthgen.seeding import numpy_rng

AROUND = 20
NEAR = 5
CHUNK = 2_048


def jittered(points: np.ndarray) -> np.ndarray:
    """Return (N, D) ``points`` a jitter apart, far below any real distance: ties are broken at random, not by row."""
    moved: np.ndarray = points + 1e-4 * numpy_rng(0, "ties").standard_normal(points.shape)
    return moved


def nearest(points: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    """Return (len(queries), k) positions in ``points``, nearest first, asked in chunks of bounded memory."""
    from sklearn.neighbors import NearestNeighbors

    index = NearestNeighbors(n_neighbors=k, n_jobs=1).fit(points)
    parts = [index.kneighbors(queries[at : at + CHUNK], return_distance=False) for at in range(0, len(queries), CHUNK)]
    return np.concatenate(parts) if parts else np.empty((0, k), dtype=np.int64)


def kin(
    points: np.ndarray, labels: np.ndarray, *, rows: np.ndarray | None = None, most: int = NEAR, share: float = 0.0
) -> np.ndarray:
    """Return (N, most) positions of the rows of a row's own class nearest to it, itself left out, nearest first.

    Looks at the ``share`` of the class that is nearest, at 5 rows at least and ``most`` at most, and repeats these
    to fill the array: a row alone in its class is its own kin. Filled only for the positions ``rows`` where given.
    """
    used = np.arange(len(points)) if rows is None else rows
    out = np.zeros((len(points), most), dtype=np.int64)
    order = used[np.argsort(labels[used], kind="stable")]
    for asked in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1) if len(order) else ():
        own = np.flatnonzero(labels == labels[asked[0]])
        n_near = min(max(NEAR, round(share * len(own))), most)
        found = own[nearest(points[own], points[asked], min(n_near + 1, len(own)))]
        others = found[:, 1:] if found.shape[1] > 1 else found
        out[asked] = others[:, np.arange(most) % others.shape[1]]
    return out
