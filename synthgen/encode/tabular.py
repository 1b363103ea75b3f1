"""Mixed tables as normal scores and codes, and back to whole rows of the input's exact Arrow schema.

May import errors, seeding, data and its own room.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self, cast

import numpy as np
import pyarrow as pa

from synthgen.data.dataset import TabularDataset
from synthgen.data.layout import TableLayout
from synthgen.data.schema import Column, Label
from synthgen.encode.base import EncodedTable
from synthgen.encode.columns import Cells, FeatureColumn, FixedColumn, Numeric, fit_fixed, fit_levels, fit_numbers
from synthgen.encode.ids import IdColumn, fit_ids
from synthgen.encode.state import LabelColumn, State
from synthgen.errors import ConfigError, DataError, EngineError, TooFewRows
from synthgen.seeding import numpy_rng

MIN_LEVEL_ROWS = 5


class TabularCodec:
    """Numbers through the randomised quantile transform, everything else as codes; constants and ids stay aside.

    ``numeric="standard"`` gives standard scores instead, for methods that measure distances. A category seen in
    fewer than ``min_level_rows`` rows is never generated, unless no category of the column is more frequent.
    """

    def __init__(self, numeric: Numeric = "quantile", *, min_level_rows: int = MIN_LEVEL_ROWS) -> None:
        if numeric not in ("quantile", "standard"):
            raise ConfigError(f"numeric is 'quantile' or 'standard', not {numeric!r}")
        if min_level_rows < 1:
            raise ConfigError(f"min_level_rows is at least 1, not {min_level_rows}")
        self.numeric: Numeric = numeric
        self.min_level_rows = min_level_rows
        self._state: State | None = None

    @property
    def layout(self) -> TableLayout:
        """The shape of the encoded rows: a numeric for each score, a block for each code, both in column order."""
        features = self._fitted().features.values()
        return TableLayout(
            n_numeric=sum(feature.n_numeric for feature in features),
            levels=tuple(size for feature in features for size in feature.levels),
        )

    def fit(self, dataset: TabularDataset) -> Self:
        """Learn every column from the training rows. Raises TooFewRows where there are none."""
        if not len(dataset):
            raise TooFewRows("the codec learns the columns from the training rows, and got 0 rows")
        features: dict[str, FeatureColumn] = {}
        fixed: dict[str, FixedColumn] = {}
        ids: dict[str, IdColumn] = {}
        for column in dataset.schema.columns:
            values = dataset.column(column.name)
            if column.kind == "constant":
                fixed[column.name] = fit_fixed(values)
            elif column.kind == "id":
                ids[column.name] = fit_ids(values)
            else:
                features[column.name] = self._feature(column, values)
        label = LabelColumn.fit(dataset)
        self._state = State(self.numeric, self.min_level_rows, dataset.schema, label, features, fixed, ids)
        return self

    def encode(self, dataset: TabularDataset, *, seed: int | None) -> EncodedTable:
        """Return the rows as scores and codes; what was not fitted goes to the nearest or a random known value.

        A number that many rows share gets a random score of its place, or with ``seed=None`` always the middle: then
        equal numbers are equal scores, for methods that take differences.
        Raises DataError where the rows are not of the fitted schema.
        """
        fitted = self._fitted()
        if not dataset.schema.arrow.equals(fitted.schema.arrow):
            raise DataError(_difference(fitted.schema.arrow, dataset.schema.arrow))
        layout, n = self.layout, len(dataset)
        numeric = np.empty((n, layout.n_numeric), dtype=np.float32)
        codes = np.empty((n, len(layout.levels)), dtype=np.int32)
        score_at, code_at = 0, 0
        for name, feature in fitted.features.items():
            rng = _Middle(np.random.PCG64(0)) if seed is None else numpy_rng(seed, "encode", name)
            cells = feature.encode(dataset.column(name), rng)
            if cells.score is not None:
                numeric[:, score_at] = cells.score
                score_at += 1
            if cells.code is not None:
                codes[:, code_at] = cells.code
                code_at += 1
        return EncodedTable(numeric, codes)

    def decode(self, encoded: EncodedTable, *, label: Label, seed: int) -> TabularDataset:
        """Return whole rows of the fitted schema: features from ``encoded``, fresh ids, every row labelled ``label``.

        Two labels never get the same id, whatever the seeds. Raises EngineError where the arrays do not have the
        layout, or hold a score that is not finite or a code that is no level, or where the ids of a column's form
        run out; ConfigError for an unknown label.
        """
        fitted = self._fitted()
        classes = fitted.label.classes
        if label not in classes:
            raise ConfigError(f"label {label!r} is not one of {', '.join(map(repr, classes))}")
        self._check(encoded)
        n, at = len(encoded), classes.index(label)
        arrays = {name: column.fill(n) for name, column in fitted.fixed.items()}
        arrays[fitted.schema.label] = fitted.label.fill(n, at)
        for name, column in fitted.ids.items():
            arrays[name] = column.fill(n, name=name, seed=seed, part=(at, len(classes)))
        score_at, code_at = 0, 0
        for name, feature in fitted.features.items():
            score = encoded.numeric[:, score_at] if feature.n_numeric else None
            code = encoded.codes[:, code_at] if feature.levels else None
            arrays[name] = feature.decode(Cells(score, code))
            score_at, code_at = score_at + feature.n_numeric, code_at + len(feature.levels)
        arrow = fitted.schema.arrow
        table = pa.Table.from_arrays([arrays[name] for name in arrow.names], schema=arrow)
        return TabularDataset(table, fitted.schema, classes)

    def save(self, folder: Path) -> None:
        """Write ``codec.json`` and ``codec.npz`` into the folder, which is made if need be."""
        self._fitted().save(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the codec that ``save`` wrote; it decodes to the same bytes. Raises DataError for anything else."""
        state = State.load(folder)
        codec = cls(cast("Numeric", state.numeric), min_level_rows=state.min_level_rows)
        codec._state = state
        return codec

    def _fitted(self) -> State:
        if self._state is None:
            raise EngineError("this codec is not fitted; call fit(dataset) first")
        return self._state

    def _feature(self, column: Column, values: pa.ChunkedArray) -> FeatureColumn:
        if column.kind in ("categorical", "boolean"):
            return fit_levels(values, min_rows=self.min_level_rows, nullable=column.nullable)
        return fit_numbers(values, numeric=self.numeric, min_rows=self.min_level_rows, nullable=column.nullable)

    def _check(self, encoded: EncodedTable) -> None:
        layout, n = self.layout, len(encoded)
        wanted = (n, layout.n_numeric), (n, len(layout.levels))
        if (encoded.numeric.shape, encoded.codes.shape) != wanted:
            raise EngineError(
                f"encoded rows have shapes {encoded.numeric.shape} and {encoded.codes.shape}, not {wanted[0]} and "
                f"{wanted[1]}: they are of another codec"
            )
        if not np.isfinite(encoded.numeric).all():
            raise EngineError(f"{int((~np.isfinite(encoded.numeric)).sum())} of the scores to decode are not finite")
        if np.any((encoded.codes < 0) | (encoded.codes >= np.array(layout.levels, dtype=np.int64))):
            raise EngineError("some of the codes to decode are no level of their column")


class _Middle(np.random.Generator):
    """Draws no uniform numbers: all are close to the middle, and not so exact that a score is 0, which means none."""

    def random(self, size: object = None, *args: object, **options: object) -> np.ndarray:  # type: ignore[override]  # noqa: ARG002
        return np.full(cast("int", size), 0.4999)


def _difference(fitted: pa.Schema, got: pa.Schema) -> str:
    for one, other in zip(fitted, got, strict=False):
        if not one.equals(other):
            return f"the rows have column {other.name!r} ({other.type}) where {one.name!r} ({one.type}) was fitted"
    return f"the rows have {len(got)} columns and {len(fitted)} were fitted"
