"""Balancer: the sampler for training scripts, by imbalanced-learn's contract. Reads no config file and no environment.

Imports imbalanced-learn, because a sampler is a subclass there; torch only with the engine that needs it.
"""

from __future__ import annotations

import logging
import numbers
import re
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
from synthgen.data.images import ImageDataset, from_images
from synthgen.data.kinds import Dataset, modality_of
from synthgen.data.read import from_frame
from synthgen.data.schema import Label, check_names
from synthgen.errors import DataError, SynthgenError
from synthgen.planning import Limits, make_plan
from synthgen.rebalance import Recipe, check_learnable, complete, rebalance

if TYPE_CHECKING:
    from imblearn.utils._tags import Tags


_LOG = logging.getLogger(__name__)

Rows = pd.DataFrame | np.ndarray


class Balancer(BaseOverSampler):  # type: ignore[misc]  # imbalanced-learn ships no types
    """Adds generated rows to the rarer classes; works in ``imblearn.pipeline.Pipeline`` and cross-validation.

    ``engine`` is a name that ``synthgen engines`` lists, or "pkg.mod:Class"; ``engine_options`` are what
    ``make_engine`` takes for it. ``sampling_strategy`` is imbalanced-learn's, or "tuned": as many rows as inner splits
    of the training rows say help, none included; with engine "auto" at most sixteen for each real row, half of them
    real rows again, and a quarter of the largest class, else up to an even balance. ``random_state`` seeds everything.

    ``fit_resample(X, y)`` takes a DataFrame (mixed types, missing values, nullable and zoned types), a 2-D array, or
    images as a uint8 array (N, H, W) or (N, H, W, C) with C 1 or 3; ``flips`` in ``engine_options`` says that mirroring
    keeps their label. The first len(X) rows of the result are X, in order; dtypes, column order and container types are
    kept. ``sample_mask_`` (bool, one per row of the result) is true for the added rows. There is no cap on how many.
    What the plan notes (a class of few rows, another engine for it) is logged as a warning.
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
            _check_columns(X)
            y = np.asarray(validate_data(self, X="no_validation", y=y))
            validate_data(self, X=X, y=y, skip_check_array=True)
            check_consistent_length(X, y)
            return X, y, bool(binarize_y)
        if isinstance(X, np.ndarray) and X.ndim in (3, 4):
            y = np.asarray(validate_data(self, X="no_validation", y=y))
            check_consistent_length(X, y)
            return X, y, bool(binarize_y)
        text = _holds_text(X)
        if text:  # scikit-learn would make numbers of it
            validate_data(self, X=X, y=y, skip_check_array=True)
            y = validate_data(self, X="no_validation", y=y)
            check_consistent_length(X, y)
        else:
            X, y = validate_data(self, X=X, y=y, accept_sparse=False, ensure_all_finite="allow-nan")
        return np.asarray(X), np.asarray(y), bool(binarize_y)

    def _fit_resample(self, X: Rows, y: np.ndarray, **params: object) -> tuple[Rows, np.ndarray]:  # noqa: ARG002
        try:
            return self._resampled(X, y)
        except SynthgenError as error:
            raise type(error)(_in_python(str(error), np.unique(y))) from None

    def _resampled(self, X: Rows, y: np.ndarray) -> tuple[Rows, np.ndarray]:
        values, codes = np.unique(y, return_inverse=True)
        dataset = _as_dataset(X, codes)
        check_learnable(dataset, self.engine)
        counts = dataset.counts()
        wanted: dict[Label, int] = {code: counts[code] + self._added(values[code]) for code in range(len(values))}
        plan = make_plan(counts, "tuned" if hasattr(self, "_tuned") else wanted, limits=Limits(max_ratio=None))
        options = dict(self.engine_options or {})
        recipe = Recipe(self.engine, options, modality=modality_of(dataset), flips=bool(options.get("flips")))
        plan = complete(plan, recipe)
        for note in plan.notes:
            _LOG.warning("%s", _in_python(note, values))
        result = rebalance(dataset, plan, recipe, seed=_seed(self.random_state))
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


def _check_columns(X: pd.DataFrame) -> None:
    """Refuse names that other libraries would refuse in their own words."""
    if isinstance(X.columns, pd.MultiIndex):
        raise DataError("the columns of X are a MultiIndex; flatten them to plain names first")
    check_names([str(name) for name in X.columns])


def _holds_text(X: object) -> bool:
    """Whether it is a 2-D array of objects or text with a text in it."""
    if not isinstance(X, np.ndarray) or X.dtype.kind not in "OUS" or X.ndim != 2:
        return False
    return X.dtype.kind != "O" or any(isinstance(value, str) for value in X.flat)


_OPTION = r"""(?:'[^']*'|"[^"]*"|[\w.-]+)"""
_WORDS = (
    (re.compile(rf"leave (it|the column) out with --drop {_OPTION}"), r"leave \1 out of X"),
    (re.compile(rf"keep (it|them) as categories with --categorical {_OPTION}"), r"give it the dtype 'category'"),
    (re.compile(r"read them as missing with --inf nan, "), "set them to NaN, "),
    (re.compile(r"raise --max-ratio or ask for fewer"), "ask for fewer"),
    (re.compile(r"(?:choose )?another --label|--label"), "another y"),
    (re.compile(r"--strategy"), "sampling_strategy"),
    (re.compile(r"with C 1, 3 or 4$"), "with C 1 or 3"),
)


def _in_python(message: str, values: np.ndarray) -> str:
    """The message with what a caller of Balancer can change, where the command line's words name options, and with
    the caller's own labels for their codes."""
    names = [value.item() if isinstance(value, np.generic) else value for value in values]
    for words, ours in _WORDS:
        message = words.sub(ours, message)
    # what is quoted is a column's name, whatever it says
    return re.sub(
        r"""'[^']*'|"[^"]*"|\bclass (\d+)\b""",
        lambda found: f"class {names[int(found[1])]!r}" if found[1] and int(found[1]) < len(names) else found[0],
        message,
    )


def _as_dataset(X: Rows, codes: np.ndarray) -> Dataset:
    """The rows with the label's codes as their label column, under a name that X does not use; or the images."""
    if isinstance(X, np.ndarray) and X.ndim > 2:
        if X.ndim == 4 and X.shape[3] == 4:
            raise DataError("the images have 4 channels; lay them on a background first, so that 3 are left")
        return from_images(X, codes)
    frame = X if isinstance(X, pd.DataFrame) else pd.DataFrame(X, columns=[f"x{k}" for k in range(np.shape(X)[1])])
    sparse = {name: dtype.subtype for name, dtype in frame.dtypes.items() if isinstance(dtype, pd.SparseDtype)}
    table = from_frame(frame.astype(sparse))
    name = "label"
    while name in table.schema.names:
        name = f"_{name}"
    table = table.append_column(name, pa.array(codes, type=pa.int64()))
    return from_table(table, label=name)


def _appended(X: Rows, added: Dataset) -> Rows:
    if isinstance(added, ImageDataset):
        images = np.asarray(X)
        return np.concatenate([images, added.images.reshape(-1, *images.shape[1:])])
    return _appended_rows(X, cast("TabularDataset", added))


def _appended_rows(X: Rows, added: TabularDataset) -> Rows:
    rows: pd.DataFrame = added.table.drop_columns([added.label]).to_pandas()
    if isinstance(X, pd.DataFrame):
        if not len(rows):
            return X.reset_index(drop=True)
        rows.columns = X.columns
        return pd.concat([X, rows.astype(X.dtypes)], ignore_index=True)
    array = np.asarray(X)
    made = rows.to_numpy(dtype=array.dtype)
    if array.dtype == object:  # as the caller's own cells: a whole number beside a missing one stays whole
        made = np.column_stack([np.array(added.table.column(name).to_pylist(), dtype=object) for name in rows.columns])
    return np.concatenate([array, made])


def _seed(random_state: object) -> int:
    if isinstance(random_state, numbers.Integral):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))
