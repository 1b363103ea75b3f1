"""Balancer: the sampler for training scripts, by imbalanced-learn's contract. Reads no config file and no environment.

Imports imbalanced-learn, because a sampler is a subclass there; torch only with the engine that needs it.
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd
import pyarrow as pa
from imblearn.over_sampling.base import BaseOverSampler
from imblearn.utils import check_target_type
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_consistent_length, validate_data

from synthgen.data.dataset import TabularDataset, from_table
from synthgen.data.read import from_frame
from synthgen.data.schema import Label
from synthgen.planning import Limits, make_plan
from synthgen.rebalance import Recipe, complete, rebalance

if TYPE_CHECKING:
    from imblearn.utils._tags import Tags


Rows = pd.DataFrame | np.ndarray


class Balancer(BaseOverSampler):  # type: ignore[misc]  # imbalanced-learn ships no types
    """Adds generated rows to the rarer classes; works in ``imblearn.pipeline.Pipeline`` and cross-validation.

    ``engine`` is a name that ``synthgen engines`` lists, or "pkg.mod:Class"; ``engine_options`` are what
    ``make_engine`` takes for it. ``sampling_strategy`` is imbalanced-learn's, or "tuned": up to an even balance,
    as many rows as inner splits of the training rows say help, none included. ``random_state`` seeds everything.

    ``fit_resample(X, y)`` takes a DataFrame (mixed types, missing values, nullable and zoned types) or a 2-D array.
    The first len(X) rows of the result are X, in order; dtypes, column order and container types are kept.
    ``sample_mask_`` (bool, one per row of the result) is true for the added rows. There is no cap on how many.
    """

    _parameter_constraints: dict[str, object] = {  # noqa: RUF012  scikit-learn's own way
        **BaseOverSampler._parameter_constraints,
        "sampling_strategy": [
            *BaseOverSampler._parameter_constraints["sampling_strategy"],
            StrOptions({"tuned"}),
        ],
        "engine": [str],
        "engine_options": [Mapping, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        engine: str = "auto",
        sampling_strategy: object = "auto",
        engine_options: Mapping[str, object] | None = None,
        random_state: object = None,
    ) -> None:
        super().__init__(sampling_strategy=sampling_strategy)
        self.sampling_strategy: object = sampling_strategy
        self.engine = engine
        self.engine_options = engine_options
        self.random_state = random_state

    def fit_resample(self, X: object, y: object, **params: object) -> tuple[object, object]:
        """Return X and y with the added rows after them. See the class for what is kept."""
        if self.sampling_strategy != "tuned":
            return cast("tuple[object, object]", super().fit_resample(X, y, **params))
        # imbalanced-learn does not know the word; an even balance is its upper bound
        tuned = self.sampling_strategy
        try:
            self.sampling_strategy = "auto"
            self._tuned = True
            return cast("tuple[object, object]", super().fit_resample(X, y, **params))
        finally:
            self.sampling_strategy = tuned
            del self._tuned

    def _check_X_y(self, X: Rows, y: object, accept_sparse: object = None) -> tuple[Rows, np.ndarray, bool]:  # noqa: ARG002
        y, binarize_y = check_target_type(y, indicate_one_vs_all=True)
        if isinstance(X, pd.DataFrame):
            y = np.asarray(validate_data(self, X="no_validation", y=y))
            validate_data(self, X=X, y=y, skip_check_array=True)
            check_consistent_length(X, y)
            return X, y, bool(binarize_y)
        X, y = validate_data(self, X=X, y=y, accept_sparse=False, ensure_all_finite="allow-nan")
        return np.asarray(X), np.asarray(y), bool(binarize_y)

    def _fit_resample(self, X: Rows, y: np.ndarray, **params: object) -> tuple[Rows, np.ndarray]:  # noqa: ARG002
        values, codes = np.unique(y, return_inverse=True)
        dataset = _as_dataset(X, codes)
        counts = dataset.counts()
        wanted: dict[Label, int] = {code: counts[code] + self._added(values[code]) for code in range(len(values))}
        plan = make_plan(counts, "tuned" if hasattr(self, "_tuned") else wanted, limits=Limits(max_ratio=None))
        recipe = Recipe(self.engine, dict(self.engine_options or {}))
        result = rebalance(dataset, complete(plan, recipe), recipe, seed=_seed(self.random_state))
        added = result.take(np.arange(len(dataset), len(result)))
        self.sample_mask_ = np.arange(len(result)) >= len(dataset)
        labels = np.concatenate([y, values[np.asarray(added.label_codes)]])
        return _appended(X, added), labels

    def _added(self, value: object) -> int:
        return int(self.sampling_strategy_.get(value, 0))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = False
        tags.input_tags.allow_nan = True
        return tags


def _as_dataset(X: Rows, codes: np.ndarray) -> TabularDataset:
    """The rows with the label's codes as their label column, under a name that X does not use."""
    frame = X if isinstance(X, pd.DataFrame) else pd.DataFrame(X, columns=[f"x{k}" for k in range(np.shape(X)[1])])
    sparse = {name: dtype.subtype for name, dtype in frame.dtypes.items() if isinstance(dtype, pd.SparseDtype)}
    table = from_frame(frame.astype(sparse))
    name = "label"
    while name in table.schema.names:
        name = f"_{name}"
    table = table.append_column(name, pa.array(codes, type=pa.int64()))
    return from_table(table, label=name)


def _appended(X: Rows, added: TabularDataset) -> Rows:
    rows: pd.DataFrame = added.table.drop_columns([added.label]).to_pandas()
    if isinstance(X, pd.DataFrame):
        if not len(rows):
            return X.copy()
        rows.columns = X.columns
        return pd.concat([X, rows.astype(X.dtypes)], ignore_index=True)
    array = np.asarray(X)
    return np.concatenate([array, rows.to_numpy(dtype=array.dtype)])


def _seed(random_state: object) -> int:
    if isinstance(random_state, numbers.Integral):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))
