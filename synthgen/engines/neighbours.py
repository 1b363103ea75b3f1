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


def kin(points: np.ndarray, labels: np.ndarray, *, rows: np.ndarray | None = None) -> np.ndarray:
    """Return (N, 5) positions of the rows of a row's own class nearest to it, itself left out.

    Filled only for the positions ``rows`` where they are given. A class of fewer than six rows repeats what there is;
    a row alone in its class is its own kin.
    """
    used = np.arange(len(points)) if rows is None else rows
    out = np.zeros((len(points), NEAR), dtype=np.int64)
    order = used[np.argsort(labels[used], kind="stable")]
    for asked in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1) if len(order) else ():
        own = np.flatnonzero(labels == labels[asked[0]])
        found = own[nearest(points[own], points[asked], min(NEAR + 1, len(own)))]
        others = found[:, 1:] if found.shape[1] > 1 else found
        out[asked] = others[:, np.arange(NEAR) % others.shape[1]]
    return out
