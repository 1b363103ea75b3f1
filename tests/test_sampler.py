"""Balancer: imbalanced-learn's contract, and the types of a real training frame."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from imblearn.over_sampling import RandomOverSampler
from imblearn.pipeline import make_pipeline
from imblearn.utils.estimator_checks import estimator_checks_generator as imblearn_checks
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator as sklearn_checks

from synthgen import Balancer
from synthgen.errors import ConfigError, DataError


def mixed_frame(n: int = 240, rare: int = 30) -> tuple[pd.DataFrame, pd.Series]:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "amount": np.where(rng.random(n) < 0.1, np.nan, rng.lognormal(size=n).round(2)),
            "calls": pd.array(rng.integers(0, 30, n), dtype="Int64"),
            "plan": pd.Categorical(rng.choice(["a", "b"], n), categories=["z", "b", "a"], ordered=True),
            "city": rng.choice(["Rome", "Oslo", None], n),
            "joined": pd.date_range("2024-03-30", periods=n, freq="7h", tz="Europe/Berlin"),
            "active": rng.random(n) < 0.5,
            "small": rng.normal(size=n).astype(np.float32),
        },
        index=np.arange(n) * 3,
    )
    frame.loc[frame.index[:7], "calls"] = pd.NA
    label = pd.Series(np.where(np.arange(n) < rare, "churn", "stay"), name="outcome", index=frame.index)
    order = rng.permutation(n)
    return frame.iloc[order], label.iloc[order]


def _named(generator) -> list:
    checks = [check for _, check in generator(Balancer(engine="delta", random_state=0))]
    return [pytest.param(check, id=getattr(check, "func", check).__name__) for check in checks]


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("check", _named(imblearn_checks))
def test_imbalanced_learn_contract(check):
    check(Balancer(engine="delta", random_state=0))


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("check", _named(sklearn_checks))
def test_scikit_learn_contract(check):
    check(Balancer(engine="delta", random_state=0))


@pytest.mark.parametrize("engine", ["delta", "smote", "oversample", "copula"])
def test_a_frame_keeps_everything(engine):
    frame, label = mixed_frame()
    before = frame.copy()
    sampler = Balancer(engine=engine, random_state=0)
    rows, labels = sampler.fit_resample(frame, label)
    pd.testing.assert_frame_equal(frame, before)
    pd.testing.assert_frame_equal(rows.iloc[: len(frame)], frame.reset_index(drop=True))
    assert (rows.dtypes == frame.dtypes).all()
    assert labels.name == "outcome"
    assert labels.value_counts().to_dict() == {"churn": 210, "stay": 210}
    assert sampler.sample_mask_.sum() == 180
    assert not sampler.sample_mask_[: len(frame)].any()
    added = rows[sampler.sample_mask_]
    assert added["calls"].isna().any()
    assert added["plan"].isin(["a", "b"]).all()
    assert added["joined"].between(frame["joined"].min(), frame["joined"].max()).all()


def test_the_network_engine_on_a_frame():
    frame, label = mixed_frame()
    sampler = Balancer(engine="cwgan-gp", engine_options={"steps": 20}, random_state=0)
    rows, labels = sampler.fit_resample(frame, label)
    assert (rows.dtypes == frame.dtypes).all()
    assert (labels == "churn").sum() == 210


def test_the_same_seed_gives_the_same_rows_and_another_others():
    frame, label = mixed_frame()
    one, two, other = (Balancer(engine="copula", random_state=seed).fit_resample(frame, label)[0] for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(one, two)
    assert not one.equals(other)


@pytest.mark.parametrize("engine", ["oversample", "delta"])
@pytest.mark.parametrize("rare", [120, 30])
def test_the_index_counts_from_zero_as_imbalanced_learn_s(engine, rare):
    """Red when a frame that gets no rows keeps the index that it came with."""
    frame, label = mixed_frame(rare=rare)
    rows, labels = Balancer(engine=engine, random_state=0).fit_resample(frame, label)
    theirs, their_labels = RandomOverSampler(random_state=0).fit_resample(frame, label)
    pd.testing.assert_index_equal(rows.index, theirs.index)
    pd.testing.assert_index_equal(labels.index, their_labels.index)
    assert not np.shares_memory(rows["small"].to_numpy(), frame["small"].to_numpy())


def test_strategies_give_exact_counts():
    frame, label = mixed_frame()
    rows = {}
    for strategy in ("minority", 0.5, {"churn": 55}):
        _, labels = Balancer(engine="delta", sampling_strategy=strategy, random_state=0).fit_resample(frame, label)
        rows[str(strategy)] = int((labels == "churn").sum())
    assert rows == {"minority": 210, "0.5": 105, "{'churn': 55}": 55}


def test_tuned_adds_at_most_an_even_balance():
    frame, label = mixed_frame()
    sampler = Balancer(engine="delta", sampling_strategy="tuned", random_state=0)
    _, labels = sampler.fit_resample(frame, label)
    assert 30 <= (labels == "churn").sum() <= 210
    assert sampler.sampling_strategy == "tuned"


def test_arrays_stay_arrays_of_their_type():
    X, y = load_breast_cancer(return_X_y=True)
    keep = np.r_[np.flatnonzero(y == 1), np.flatnonzero(y == 0)[:40]]
    rows, labels = Balancer(engine="copula", random_state=0).fit_resample(X[keep].astype(np.float32), y[keep])
    assert isinstance(rows, np.ndarray)
    assert rows.dtype == np.float32
    assert np.bincount(labels).tolist() == [357, 357]
    np.testing.assert_array_equal(rows[: len(keep)], X[keep].astype(np.float32))


def test_in_a_pipeline_only_training_folds_are_resampled():
    X, y = load_breast_cancer(return_X_y=True)
    keep = np.r_[np.flatnonzero(y == 1), np.flatnonzero(y == 0)[:40]]
    model = make_pipeline(Balancer(engine="delta", random_state=0), StandardScaler(), LogisticRegression())
    scores = cross_val_score(model, X[keep], y[keep], cv=3, scoring="roc_auc")
    assert scores.min() > 0.9


def test_unknown_engine_names_those_there_are():
    frame, label = mixed_frame()
    with pytest.raises(ConfigError, match="cwgan-gp"):
        Balancer(engine="cwgan_gp").fit_resample(frame, label)


def test_arrays_of_objects_keep_their_cells():
    X = np.array([[k * 1.5, "ab"[k % 2], None if k % 7 == 0 else k] for k in range(60)], dtype=object)
    y = np.array(["stay"] * 50 + ["churn"] * 10)
    rows, labels = Balancer(engine="delta", random_state=0).fit_resample(X, y)
    assert rows.dtype == object
    np.testing.assert_array_equal(rows[:60], X)
    assert {type(value) for value in rows[60:, 2]} <= {int, type(None)}
    assert set(rows[60:, 1]) <= {"a", "b"}
    assert (labels == "churn").sum() == 50


def test_arrays_of_text_are_categories():
    X = np.array([["a", "x"], ["b", "y"]] * 30)
    rows, _ = Balancer(engine="smote", random_state=0).fit_resample(X, np.arange(60) % 5 == 0)
    assert rows.dtype == X.dtype
    assert set(rows[60:, 0]) <= {"a", "b"}


def _refused(frame: pd.DataFrame) -> str:
    with pytest.raises(DataError) as caught:
        Balancer(engine="delta", random_state=0).fit_resample(frame, np.arange(len(frame)) % 5 == 0)
    assert "--" not in str(caught.value)
    return str(caught.value)


def test_errors_speak_of_arguments_not_of_options():
    texts = [f"word {'so ' * (k % 7)}{k}" for k in range(120)]
    assert "leave it out of X, or give it the dtype 'category'" in _refused(pd.DataFrame({"t": texts}))
    assert "leave the column out of X" in _refused(pd.DataFrame({"a": [np.inf, *range(59)]}))
    assert "leave it out of X" in _refused(pd.DataFrame({"a b": [[1]] * 60, "c": 1}))
    assert "more than once: 'a'" in _refused(pd.DataFrame(np.zeros((60, 2)), columns=["a", "a"]))
    columns = pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")])
    assert "MultiIndex" in _refused(pd.DataFrame(np.zeros((60, 2)), columns=columns))


def test_what_the_plan_notes_is_logged_with_the_caller_s_labels(caplog):
    X = np.random.default_rng(0).normal(size=(60, 3))
    Balancer(engine="delta", random_state=0).fit_resample(X, np.array(["stay"] * 58 + ["churn"] * 2))
    (note,) = caplog.messages
    assert note == "class 'churn' has 2 rows only: its 56 rows by delta stay close to them"


def test_a_column_s_name_is_left_as_it_is_in_messages():
    # red when a class's number is looked for inside quotes
    frame = pd.DataFrame({"class 9": [1.0, np.inf] * 10, "x": range(20)})
    with pytest.raises(DataError, match="'class 9'"):
        Balancer(engine="oversample").fit_resample(frame, np.array(["no"] * 14 + ["yes"] * 6))


@pytest.mark.parametrize("shape", [(8, 8), (8, 6, 1), (8, 8, 3)])
def test_images_come_back_first_and_even(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 256, (60, *shape), dtype=np.uint8), np.array(["a"] * 45 + ["b"] * 15)
    sampler = Balancer(random_state=0, engine_options={"flips": True})
    X_res, y_res = sampler.fit_resample(X, y)
    assert (X_res.shape, X_res.dtype) == ((90, *shape), np.uint8)
    assert np.array_equal(X_res[:60], X)
    assert np.array_equal(y_res[:60], y)
    assert np.array_equal(sampler.sample_mask_, np.arange(90) >= 60)
    assert (y_res[60:] == "b").all()
    again, _ = Balancer(random_state=0, engine_options={"flips": True}).fit_resample(X, y)
    assert np.array_equal(again, X_res)
    assert not np.array_equal(Balancer(random_state=0).fit_resample(X, y)[0], X_res)


def test_a_sparse_column_stays_sparse() -> None:
    frame, y = mixed_frame()
    frame["seldom"] = pd.arrays.SparseArray(np.arange(len(frame)) % 7 == 0, fill_value=False)
    more, _ = Balancer(engine="oversample", random_state=0).fit_resample(frame, y)
    assert more.dtypes.equals(frame.dtypes)


def test_images_of_another_type_are_refused_in_one_line() -> None:
    y = np.array([0] * 15 + [1] * 5)
    for X, says in (
        (np.zeros((20, 8, 8)), "images are of type float64; give them as uint8"),
        (np.zeros((20, 8, 8, 4), np.uint8), "the images have 4 channels"),
        (np.zeros((20, 8, 8, 2), np.uint8), r"images are of shape .* \(N, H, W, C\) with C 1 or 3$"),
    ):
        with pytest.raises(DataError, match=says):
            Balancer().fit_resample(X, y)
    with pytest.raises(ConfigError, match="engine 'delta' is for tables"):
        Balancer(engine="delta").fit_resample(np.zeros((20, 8, 8), np.uint8), y)
