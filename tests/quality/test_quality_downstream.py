"""The panel and what it reads: nothing it should not see, the same numbers every time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from quality_kit import several, table
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from threadpoolctl import threadpool_info, threadpool_limits

from synthgen.data.dataset import TabularDataset, from_table
from synthgen.engines import make_engine
from synthgen.errors import ConfigError
from synthgen.quality.downstream import PANEL, Panel, load_estimator, predict, thinned
from synthgen.quality.matrix import MAX_LEVELS, fit_features


def test_label_ids_and_constants_are_no_features(mixed: TabularDataset) -> None:
    """Mutant: read ``schema.columns`` instead of ``schema.features``."""
    features = fit_features(mixed)
    names = {part.name for part in (*features.numbers, *features.levels)}
    assert names == {"amount", "visits", "plan", "region", "active", "joined", "born", "wait", "price"}
    matrix = features.matrix(mixed)
    assert matrix.trees.shape == (300, 9)
    assert matrix.filled.shape == (300, 11), "two numeric columns have missing values"
    assert all(part.dtype == np.float32 for part in (matrix.trees, matrix.filled, matrix.linear))
    assert np.isnan(matrix.trees).any()
    assert np.isfinite(matrix.filled).all()
    assert np.isfinite(matrix.linear).all()
    assert [features.levels[j - 7].name for j in matrix.categorical] == ["plan", "region"]


def test_the_encoding_is_fitted_on_the_real_rows_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: fit the encoding on all of ``drawn``."""
    real, extra, judged = table(120, 30), table(80, 40, seed=5, gap=50), table(40, 10, seed=6)
    seen: list[np.ndarray] = []

    def spy(rows: TabularDataset) -> object:
        seen.append(rows.feature_hashes())
        return fit_features(rows)

    monkeypatch.setattr("synthgen.quality.downstream.fit_features", spy)
    predict(real, extra, judged, panel=Panel(("logistic",)), weighted=False, seed=0)
    assert len(seen) == 1
    np.testing.assert_array_equal(seen[0], real.feature_hashes())


def alone(train: TabularDataset, judged: TabularDataset, **options: object) -> dict[str, np.ndarray]:
    """The predictions of learners to whose rows nothing was added."""
    return predict(train, train.take(np.arange(0)), judged, **options)  # type: ignore[arg-type]


def test_unknown_rare_and_missing_levels_have_a_place() -> None:
    def rows(values: list[str | None]) -> TabularDataset:
        arrays = {"c": pa.array(values), "x": np.arange(len(values)) * 0.5, "label": [0, 1] * (len(values) // 2)}
        return from_table(pa.table(arrays), label="label")

    common = [f"v{i:03d}" for i in range(70) for _ in range(3)]
    features = fit_features(rows([*common, *common, "v000", None]))
    n = MAX_LEVELS
    matrix = features.matrix(rows(["v000", "v001", "v069", "never seen", None, "v002"]))
    assert matrix.trees[:, 1].tolist() == [0, 1, n, n, n + 1, 2]
    assert matrix.linear.shape[1] == 1 + 32 + 2
    assert (matrix.linear[:, 1:].sum(axis=1) == 1).all()
    assert (matrix.linear[2, 1:] == matrix.linear[3, 1:]).all()


@pytest.mark.parametrize("power", [-30, 0, 30])
def test_the_scale_and_origin_of_a_number_do_not_matter(power: int) -> None:
    x = np.random.default_rng(0).normal(size=100)
    label = [0, 1] * 50

    def trees(values: np.ndarray | pa.Array) -> np.ndarray:
        dataset = from_table(pa.table({"x": values, "label": label}), label="label")
        return fit_features(dataset).matrix(dataset).trees[:, 0]

    np.testing.assert_allclose(trees(x * 2.0**power), trees(x), rtol=1e-5)
    stamps = pa.array(1_700_000_000_000_000_000 + np.arange(100) * 1_000_000_000, pa.timestamp("ns"))
    assert len(np.unique(trees(stamps))) == 100, "seconds stay apart at the size of a nanosecond clock"


def test_one_outlier_does_not_flatten_a_column() -> None:
    x = np.r_[np.random.default_rng(0).normal(size=99), 1e12]
    dataset = from_table(pa.table({"x": x, "label": [0, 1] * 50}), label="label")
    matrix = fit_features(dataset).matrix(dataset)
    assert len(np.unique(matrix.trees)) == 100
    assert matrix.linear.std() == pytest.approx(1, abs=0.01)
    assert np.abs(matrix.linear).max() < 20


def test_the_same_seed_gives_the_same_numbers_on_any_threads() -> None:
    """Mutant: no thread limit inside. (The seed and the learner's name alone make the learner's own seed.)"""
    train, judged = table(300, 60), table(80, 20, seed=1)
    runs = []
    for threads in (1, 4):
        with threadpool_limits(threads):
            runs.append(alone(train, judged, panel=Panel(), weighted=False, seed=3))
    assert list(runs[0]) == list(PANEL)
    for name in PANEL:
        np.testing.assert_array_equal(runs[0][name], runs[1][name])
        np.testing.assert_allclose(runs[0][name].sum(axis=1), 1)
    other = alone(train, judged, panel=Panel(), weighted=False, seed=4)
    assert (other["forest"] != runs[0]["forest"]).any()


class Counting(LogisticRegression):
    """Notes how many threads its fit could have used."""

    threads: list[int]

    def fit(self, x: object, y: np.ndarray, sample_weight: np.ndarray | None = None) -> Counting:
        Counting.threads = [pool["num_threads"] for pool in threadpool_info()]
        return super().fit(np.asarray(x)[:, :1], y, sample_weight)

    def predict_proba(self, x: object) -> np.ndarray:
        return np.asarray(super().predict_proba(np.asarray(x)[:, :1]))


def test_learners_run_on_one_thread() -> None:
    train = table(100, 20)
    with threadpool_limits(2):
        alone(train, train, panel=Panel((), Counting), weighted=False, seed=0)
    assert set(Counting.threads) == {1}


def test_class_weights_move_the_middle() -> None:
    """Mutant: ignore ``weighted``."""
    train, judged = table(600, 30), table(200, 40, seed=1)
    plain, weighted = (alone(train, judged, panel=Panel(), weighted=weighted, seed=0) for weighted in (False, True))
    for name in PANEL:
        assert weighted[name][:, 1].mean() > plain[name][:, 1].mean() + 0.1


def test_thinned_classes_weigh_as_much_as_before() -> None:
    codes = np.repeat([0, 1, 2], [1000, 50, 7])
    rows, weights = thinned(codes, 100, np.random.default_rng(0))
    assert np.bincount(codes[rows]).tolist() == [100, 50, 7]
    np.testing.assert_allclose(np.bincount(codes[rows], weights=weights), [1000, 50, 7])
    assert (np.diff(rows) > 0).all()
    whole = alone(table(2000, 300), table(50, 10), panel=Panel(("logistic",)), weighted=False, seed=0)
    part = alone(table(2000, 300), table(50, 10), panel=Panel(("logistic",), max_rows=600), weighted=False, seed=0)
    assert np.abs(whole["logistic"] - part["logistic"]).max() < 0.2


def test_classes_that_are_absent_get_no_probability() -> None:
    train = several((30, 20, 10))
    only = train.take(train.label_codes != 1)
    found = alone(only, train, panel=Panel(), weighted=True, seed=0)
    for proba in found.values():
        assert proba.shape == (60, 3)
        assert (proba[:, 1] == 0).all()
    single = alone(train.of_class("blue"), train, panel=Panel(), weighted=False, seed=0)
    assert all((proba == [0, 1, 0]).all() for proba in single.values())


class Frames:
    """An estimator that keeps what it was given."""

    given: pd.DataFrame
    labels: np.ndarray
    classes_ = np.array(["stay", "churn"])

    def fit(self, x: pd.DataFrame, y: np.ndarray) -> Frames:
        Frames.given, Frames.labels = x, y
        return self

    def predict_proba(self, x: pd.DataFrame) -> np.ndarray:
        return np.tile([0.75, 0.25], (len(x), 1))


def test_the_users_estimator_gets_a_frame_and_the_labels_themselves(mixed: TabularDataset) -> None:
    """Mutant: hand over class codes, or columns in ``classes_`` order unsorted."""
    found = alone(mixed, mixed.take(np.arange(5)), panel=Panel((), Frames), weighted=True, seed=0)
    assert list(Frames.given) == [column.name for column in mixed.schema.features]
    assert set(Frames.labels) == {"stay", "churn"}
    assert mixed.classes == ("churn", "stay")
    np.testing.assert_array_equal(found["own"], np.tile([0.25, 0.75], (5, 1)))


def make_pipe() -> object:
    """A pipeline: it takes no sample_weight."""
    return make_pipeline(FunctionTransformer(lambda x: x[["x0", "x2"]].to_numpy()), LogisticRegression())


class Broken:
    """Fails when fitted."""

    raised: ClassVar[BaseException] = RuntimeError("out of ideas")

    def fit(self, x: object, y: object) -> None:
        raise self.raised

    def predict_proba(self, x: object) -> None:
        """Never reached."""


class Leaves(Broken):
    """Ends the process when fitted, as a script does."""

    raised = SystemExit(2)


def test_an_estimator_without_sample_weight_joins_and_a_broken_one_is_named() -> None:
    train = table(100, 30)
    found = alone(train, train, panel=Panel((), make_pipe), weighted=True, seed=0)  # type: ignore[arg-type]
    assert found["own"].shape == (100, 2)
    for fails, said in (
        (Broken, "Broken failed: RuntimeError at test_quality"),
        (Leaves, "Leaves failed: SystemExit at test_quality"),
    ):
        with pytest.raises(ConfigError, match=said):
            alone(train, train, panel=Panel((), fails), weighted=False, seed=0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nonsense", "write pkg.mod:make"),
        ("no.such.module:make", "cannot be imported"),
        ("math:nope", "cannot be imported"),
        ("math:pi", "is a float"),
        ("builtins:dict", "needs fit and predict_proba"),
        ("os:system", "'os:system' could not be made by a call without arguments .TypeError: "),
    ],
)
def test_an_estimator_that_cannot_be_had_is_explained(spec: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_estimator(spec)


@pytest.mark.parametrize(("raised", "line"), [("NameError", "lost"), ("SystemExit", "raise SystemExit(2)")])
def test_a_module_that_fails_is_explained(
    raised: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when errors of import alone are caught, or a script's exit ends the run without a word."""
    (tmp_path / f"fails_{raised}.py").write_text(f"{line}\n")
    (tmp_path / f"makes_{raised}.py").write_text(f"def make(*_):\n    {line}\nclass Own:\n    __init__ = make\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=rf"fails_{raised}:make' cannot be imported .{raised}"):
        load_estimator(f"fails_{raised}:make")
    with pytest.raises(ConfigError, match=rf"makes_{raised}:make' could not be made .*{raised}"):
        load_estimator(f"makes_{raised}:make")
    with pytest.raises(ConfigError, match=rf"fails_{raised}:Own' cannot be imported .{raised}"):
        make_engine(f"fails_{raised}:Own")
    with pytest.raises(ConfigError, match=rf"makes_{raised}:Own' could not be made .{raised}"):
        make_engine(f"makes_{raised}:Own")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (int, "the estimator int failed: AttributeError at downstream.py"),
        (os.system, "estimator system could not be made"),
    ],
)
def test_a_factory_that_makes_no_estimator_is_named(make: object, says: str) -> None:
    """Red when what it raises ends as a bug of ours."""
    train = table(100, 30)
    with pytest.raises(ConfigError, match=says):
        alone(train, train, panel=Panel((), make), weighted=True, seed=0)  # type: ignore[arg-type]


def test_an_estimator_is_found_by_name() -> None:
    assert load_estimator("sklearn.linear_model:LogisticRegression") is LogisticRegression
