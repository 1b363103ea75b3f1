"""The committed churn table is what its script makes, and as hard and as awkward as README says."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

import synthgen

DATA = Path(__file__).parents[2] / "examples" / "data"
CHURN = DATA / "churn.parquet"
KINDS = {
    "customer_id": "id",
    "plan": "categorical",
    "region": "categorical",
    "device": "categorical",
    "age": "integer",
    "signup_date": "datetime",
    "contract_end": "datetime",
    "ported_in": "boolean",
    "autopay": "boolean",
    "payment_method": "categorical",
    "abroad": "boolean",
    "monthly_fee": "continuous",
    "last_bill": "continuous",
    "data_gb": "continuous",
    "call_minutes": "integer",
    "late_payments": "integer",
    "support_calls": "integer",
    "satisfaction": "integer",
    "last_login": "datetime",
}


@pytest.fixture(scope="module")
def churn() -> pd.DataFrame:
    return pd.read_parquet(CHURN)


def make_again() -> pd.DataFrame:
    spec = importlib.util.spec_from_file_location("make_churn", DATA / "make_churn.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = module.make_churn()
    assert isinstance(made, pd.DataFrame)
    return made


def test_script_makes_the_committed_values(churn: pd.DataFrame, tmp_path: Path) -> None:
    make_again().to_parquet(tmp_path / "again.parquet", index=False)
    assert pq.read_table(tmp_path / "again.parquet").equals(pq.read_table(CHURN))
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "again.parquet"), churn)


def test_size_and_share(churn: pd.DataFrame) -> None:
    assert CHURN.stat().st_size < 1_000_000
    assert len(churn) == 10_000
    assert churn["churned"].value_counts().to_dict() == {0: 9_700, 1: 300}


def test_columns_are_of_every_kind() -> None:
    dataset = synthgen.load(CHURN, label="churned")
    assert {column.name: column.kind for column in dataset.schema.columns} == KINDS
    assert str(dataset.table.schema.field("last_login").type) == "timestamp[ms, tz=Europe/Paris]"


def test_missing_values_mean_something(churn: pd.DataFrame) -> None:
    missing = churn.isna()
    allowed = {"device", "age", "contract_end", "ported_in", "data_gb", "satisfaction", "last_login"}
    assert set(missing.columns[missing.any()]) == allowed
    assert missing.loc[churn["plan"] == "Business", "age"].all()
    assert missing.loc[churn["plan"] == "Prepaid", "contract_end"].all()
    assert missing.loc[churn["device"] == "keypad", "data_gb"].all()
    recorded = pd.to_datetime(churn["signup_date"]) >= "2017-01-01"
    assert (missing["ported_in"] == ~recorded).all()


def test_values_are_possible(churn: pd.DataFrame) -> None:
    today = pd.Timestamp("2025-06-30", tz="Europe/Paris") + pd.Timedelta(days=1)
    assert (churn["last_bill"] >= churn["monthly_fee"]).all()
    assert ((churn["last_bill"] * 100).round() / 100 == churn["last_bill"]).all()
    assert churn["last_login"].max() < today
    logged = churn.dropna(subset="last_login")
    assert (logged["last_login"].dt.tz_localize(None) >= pd.to_datetime(logged["signup_date"])).all()
    ends = churn["contract_end"].dropna()
    assert (pd.to_datetime(ends) > pd.Timestamp("2025-06-30")).all()


@pytest.mark.slow
def test_a_regularised_forest_finds_a_noisy_signal(churn: pd.DataFrame) -> None:
    features = pd.DataFrame(
        {name: pd.factorize(column, sort=True)[0] for name, column in churn.items() if name not in UNUSED}
    )
    forest = RandomForestClassifier(200, min_samples_leaf=10, random_state=0)
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    score = cross_val_predict(forest, features, churn["churned"], cv=folds, method="predict_proba")[:, 1]
    assert 0.78 < roc_auc_score(churn["churned"], score) < 0.87
    assert 0.15 < average_precision_score(churn["churned"], score) < 0.30
    shuffled = np.random.default_rng(0).permutation(churn["churned"])
    assert roc_auc_score(shuffled, score) < 0.56


UNUSED = {"customer_id", "churned"}
