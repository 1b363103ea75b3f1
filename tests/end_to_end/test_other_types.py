"""Rows that another tool wrote, in types of its own: judged where no value differs, refused with the reason else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from road_kit import frame

from synthgen.config import BalanceConfig
from synthgen.data.read import load
from synthgen.errors import DataError
from synthgen.judge import _same_label
from synthgen.run import aligned, load_holdout


def real() -> pd.DataFrame:
    rows = frame()
    rows["short"] = rows["x"].astype(np.float32)
    rows["day"] = rows["joined"].dt.date
    rows["empty"] = pd.Series([None] * len(rows), dtype="string")
    return rows


def test_a_csv_of_the_same_rows_is_the_same_rows(tmp_path: Path) -> None:
    # red when aligned compares types instead of casting
    real().to_parquet(tmp_path / "real.parquet")
    real().to_csv(tmp_path / "made.csv", index=False)
    ours = load(tmp_path / "real.parquet", label="fraud")
    theirs = _same_label(tmp_path / "made.csv", ours, BalanceConfig(label="fraud"))
    assert theirs.table.schema.types != ours.table.schema.types
    got = aligned(theirs, ours, name="made.csv").table
    assert got.schema.types == ours.table.schema.types
    assert got.to_pylist() == ours.table.to_pylist()


def test_a_holdout_of_other_types_is_read(tmp_path: Path) -> None:
    rows = real()
    rows.iloc[:300].to_parquet(tmp_path / "real.parquet")
    held = rows.iloc[300:].assign(plan=rows["plan"].astype(str), short=rows["short"].astype(float))
    held.to_parquet(tmp_path / "held.parquet")
    ours = load(tmp_path / "real.parquet", label="fraud")
    got = load_holdout(BalanceConfig(holdout_data=str(tmp_path / "held.parquet")), ours)
    assert got.table.schema.equals(ours.table.schema)
    assert len(got) == 100


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"calls": "many"}, "column 'calls' is int64 in the input and string in made.parquet: text cannot stand for a"),
        ({"calls": 1.5}, "column 'calls' is int64 in the input and double in made.parquet: some of its values do not"),
        (
            {"short": 0.1 + 0.2},
            "column 'short' is float in the input and double in made.parquet: 400 of its 400",
        ),
        ({"joined": pd.Timestamp("2024-01-01")}, "a date cannot stand for a moment in a time zone"),
    ],
)
def test_a_type_that_loses_something_is_refused_with_both_and_the_reason(tmp_path: Path, change, says) -> None:
    ours = load(real(), label="fraud")
    real().assign(**change).to_parquet(tmp_path / "made.parquet")
    theirs = _same_label(tmp_path / "made.parquet", ours, BalanceConfig(label="fraud"))
    with pytest.raises(DataError) as caught:
        aligned(theirs, ours, name="made.parquet")
    assert says in str(caught.value)
    assert "make the types alike" in str(caught.value)
