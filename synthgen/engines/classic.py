"""The classics: SMOTE through imbalanced-learn, repeated rows, and the control that draws each column by itself.

May import data, encode and its own room; imblearn only inside functions of this file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np

from synthgen.data.dataset import TabularDataset
from synthgen.data.schema import Label
from synthgen.data.table_store import load_rows, save_rows
from synthgen.encode.base import EncodedTable
from synthgen.engines.base import (
    EngineInfo,
    FitContext,
    check_count,
    code_of,
    fitted,
    read_state,
    reading,
    write_state,
)
from synthgen.engines.catalog import CATALOG
from synthgen.engines.pool import Pool
from synthgen.engines.quantile import ABSENT, Draw, PoolEngine
from synthgen.errors import TooFewRows
from synthgen.seeding import numpy_rng

NEIGHBOUR_MB = 30
BLOCK = 20_000  # rows drawn at a time: SMOTENC holds the five neighbours of each, categories spread out

NEIGHBOURS = 5
BESIDE = 2_000


class Smote(PoolEngine):
    """SMOTE on standardised numbers, SMOTENC where there are categories too, SMOTEN where there is nothing else.

    Neighbours are min(5, n - 1) rows of the class. Chawla et al. 2002, as imbalanced-learn implements it.
    """

    name = "smote"

    def _make_pool(self, train: TabularDataset, context: FitContext, seed: int) -> Pool:
        wanted = context.wanted(train.counts())
        return Pool.of(train, wanted, seed=seed, numeric="standard", rest=BESIDE)

    def _prepare(self, pool: Pool, own: np.ndarray) -> Draw:
        layout = pool.codec.layout
        beside = np.flatnonzero(~np.isin(np.arange(len(pool.labels)), own))[:BESIDE]
        rows = pool.encoded.take(np.concatenate([own, beside]))
        x = np.column_stack([rows.numeric, rows.codes.astype(np.float32)])

        def draw(n: int, rng: np.random.Generator) -> EncodedTable:
            if n == 0:
                return rows.take(np.arange(0))
            blocks = [min(BLOCK, n - at) for at in range(0, n, BLOCK)]
            made = np.concatenate([_smote(x, len(own), layout.n_numeric, each, rng) for each in blocks])
            numbers, codes = made[:, : layout.n_numeric], made[:, layout.n_numeric :]
            return EncodedTable(numeric=numbers, codes=codes.astype(np.int32))

        return draw


def _smote(x: np.ndarray, n_own: int, n_numeric: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return (n, D) new rows for the first ``n_own`` rows of ``x``; columns from ``n_numeric`` on are codes."""
    from imblearn.over_sampling import SMOTE, SMOTEN, SMOTENC
    from sklearn import config_context

    if len(x) == n_own:  # imbalanced-learn wants a second class; this one is never looked at
        x = np.concatenate([x, x[:1]])
    y = np.arange(len(x)) < n_own
    seed, k = int(rng.integers(2**31)), min(NEIGHBOURS, n_own - 1)
    options = {"sampling_strategy": {True: n_own + n}, "random_state": seed, "k_neighbors": k}
    if n_numeric == x.shape[1]:
        sampler = SMOTE(**options)
    elif n_numeric == 0:
        sampler = SMOTEN(**options)
    else:
        sampler = SMOTENC(categorical_features=list(range(n_numeric, x.shape[1])), **options)
    with config_context(working_memory=NEIGHBOUR_MB):  # of distances at a time; by default 1 GB
        made, _ = sampler.fit_resample(x, y)
    return np.asarray(made)[len(x) :]


class Independent(PoolEngine):
    """Each encoded column drawn by itself from the class's rows: right marginals, no dependence at all."""

    name = "independent"

    def _prepare(self, pool: Pool, own: np.ndarray) -> Draw:
        rows = pool.encoded.take(own)

        def draw(n: int, rng: np.random.Generator) -> EncodedTable:
            numeric = _columns(rows.numeric, rows.numeric != ABSENT, n, rng)
            return EncodedTable(numeric=numeric, codes=_columns(rows.codes, rows.codes >= 0, n, rng))

        return draw


def _columns(values: np.ndarray, present: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return (n, K): each column of ``values`` drawn by itself, from where it is ``present`` if it ever is."""
    out = np.empty((n, values.shape[1]), dtype=values.dtype)
    for k, column in enumerate(values.T):
        drawn_from = column[present[:, k]] if present[:, k].any() else column
        out[:, k] = rng.choice(drawn_from, n)
    return out


class Oversample:
    """Real rows again, spread evenly: every row floor(n / m) times and a random rest once more, in random order."""

    def __init__(self) -> None:
        self._rows: TabularDataset | None = None

    @property
    def info(self) -> EngineInfo:
        """The facts; ``origin`` is "repeated"."""
        return CATALOG["oversample"].info

    def fit(self, train: TabularDataset, *, seed: int, context: FitContext = FitContext()) -> Self:  # noqa: B008, ARG002
        """Keep the rows of the wanted classes."""
        wanted = context.wanted(train.counts())
        keep = np.isin(train.label_codes, [train.classes.index(label) for label in wanted])
        self._rows = train.take(np.flatnonzero(keep))
        context.report(1.0, "ready")
        return self

    def sample(self, label: Label, n: int, *, seed: int) -> TabularDataset:
        """Return ``n`` rows of ``label``, ids included. Raises TooFewRows where the class has none."""
        rows, n = fitted(self._rows, self), check_count(n)
        own = np.flatnonzero(rows.label_codes == code_of(rows.classes, label, engine="oversample"))
        if len(own) == 0:
            raise TooFewRows(f"class {label!r} has no training rows to repeat")
        rng = numpy_rng(seed, "oversample")
        rest = rng.permutation(own)[: n % len(own)]
        again = rows.take(rng.permutation(np.concatenate([np.tile(own, n // len(own)), rest])))
        return again.as_repeats()

    def save(self, folder: Path) -> None:
        """Write engine.json and the rows as an Arrow file."""
        rows = fitted(self._rows, self)
        write_state(folder, self, {})
        save_rows(folder / "rows.arrow", rows)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the engine that ``save`` wrote."""
        read_state(folder)
        engine = cls()
        with reading(folder):
            engine._rows = load_rows(folder / "rows.arrow")
        return engine
