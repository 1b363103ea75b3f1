"""Rows that another tool wrote, in types of its own: judged where no value differs, refused with the reason else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from road_kit import frame

from synthgen.config import BalanceConfig
from synthgen.data.read import load
from synthgen.errors import DataError
from synthgen.judge import _check_room, _same_label
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


def test_a_holdout_with_values_missing_where_the_input_has_none_is_told():
    """Red when Arrow's own error comes out."""
    whole = pa.table({"a": np.arange(8.0), "y": [0, 1] * 4})
    strict = pa.schema([pa.field("a", pa.float64(), nullable=False), pa.field("y", pa.int64())])
    given = load(whole.cast(strict), label="y")
    held = load(whole.set_column(0, "a", pa.array([None, *np.arange(7.0)])), label="y")
    with pytest.raises(DataError, match="column 'a' has missing values in held"):
        aligned(held, given, name="held.parquet")


def test_what_rows_take_is_told_from_rows_not_from_levels():
    """Red when a category's levels count once a row."""
    text = pa.array([f"{k:030d}" for k in range(100_000)])
    column = pa.DictionaryArray.from_arrays(pa.array(np.arange(1_000, dtype=np.int32)), text)
    few = load(pa.table({"a": column, "b": np.arange(1_000.0), "y": [0, 1] * 500}), label="y")
    _check_room(few, 3_000_000)
    with pytest.raises(DataError, match="draw fewer at a time"):
        _check_room(few, 10**12)
