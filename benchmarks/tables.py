"""The tables that the benchmarks run on: mixed columns that hang together, of any size, the same for the same seed."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from synthgen.data.dataset import TabularDataset, from_table

WORDS = np.array([f"{a}{b}" for a in "bdfgklmnprstvz" for b in "aeiou"])


def mixed(n_rows: int, n_columns: int = 12, *, rare: float = 0.01, seed: int = 0, part: int = 0) -> TabularDataset:
    """Return a table of ``n_columns`` beside the label: of five, two are real numbers (one with a spike and missing
    values), one is whole numbers, two are categories (5 and 40 levels). ``rare`` is the share of class "yes".

    Another ``part`` has other rows of the same distribution.
    """
    weights = np.random.default_rng(seed).normal(size=(n_columns, 3))
    rng = np.random.default_rng([seed, part])
    yes = rng.permutation(np.arange(n_rows) < round(rare * n_rows))
    hidden = rng.normal(0.8 * yes[:, None], 1.0, (n_rows, 3))
    columns = {f"c{k:02d}": _column(k % 5, hidden @ weights[k], rng) for k in range(n_columns)}
    columns["label"] = pa.array(np.where(yes, "yes", "no"))
    return from_table(pa.table(columns), label="label")


def _column(kind: int, score: np.ndarray, rng: np.random.Generator) -> pa.Array:
    score = score + rng.normal(0, 0.7, len(score))
    if kind == 0:
        return pa.array(np.exp(0.6 * score).round(4))
    if kind == 1:
        return pa.array(np.where(score < -1.0, 0.0, score), mask=rng.random(len(score)) < 0.05)
    if kind == 2:
        return pa.array(np.rint(40 + 12 * score).astype(np.int64))
    levels = 5 if kind == 3 else 40
    return pa.array(WORDS[np.clip((score + 3) / 6 * levels, 0, levels - 1).astype(np.int64)])
