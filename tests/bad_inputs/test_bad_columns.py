"""Rows 23 to 56: numbers, dates, text and objects that a column may hold."""

from __future__ import annotations

import datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from bad_kit import QUICK, SECRET, added, command, frame, handled, noted, refused, rows_of, stored, table

import synthgen
from synthgen.data.read import load

DELTA = ("--engine", "delta", "--holdout", 0)
MANY = 120


def made(place: Path, column: pa.Array | np.ndarray | list, n: int = 40) -> list[object]:
    """Balance with generated rows, everything checked; the values made for the column ``z``."""
    handled(place, stored(place, table(n, n // 5, z=column)), options=DELTA)
    return added(place, "z")


def test_r23_missing_numbers_are_handled_at_their_rate(place: Path) -> None:
    holes = np.where(np.arange(400) % 4 == 0, np.nan, np.random.default_rng(1).normal(size=400))
    missing = [value is None or np.isnan(value) for value in made(place, holes, 400)]
    assert 0.1 < np.mean(missing) < 0.4


@pytest.mark.parametrize(
    "column", [np.full(40, np.nan), pa.nulls(40, pa.float32()), pa.nulls(40)], ids=["nan", "f", "n"]
)
def test_r24_a_column_without_values_stays_empty_with_a_note(place: Path, column: pa.Array | np.ndarray) -> None:
    manifest = handled(place, stored(place, table(z=column)), options=DELTA)
    noted(manifest, "column 'z' has no value in any row")
    assert all(value is None or np.isnan(value) for value in added(place, "z"))


def test_r25_a_text_column_without_values_is_handled(place: Path) -> None:
    assert set(made(place, pa.nulls(40, pa.string()))) == {None}


def test_r26_infinite_numbers_are_refused_by_count_or_missing_when_asked(place: Path) -> None:
    path = stored(place, table(z=np.where(np.arange(40) < 3, -np.inf, np.where(np.arange(40) == 5, np.inf, 1.5))))
    refused(place, path, "column 'z' holds 4 infinite values", "--inf nan", "--drop z")
    out = place / "kept"
    assert command("balance", path, "--out", out, *QUICK, "--inf", "nan", "--json").code == 0
    shards = synthgen.read_shards(out)
    noted(shards.manifest, "column 'z': 4 infinite values were read as missing")
    assert shards.train.origin("real").to_pandas()["z"].isna().sum() == 4


@pytest.mark.parametrize("column", [[1e308, 1.0, -1e308, 2.0] * 10, np.random.default_rng(0).normal(size=40) * 1e300])
@pytest.mark.parametrize("engine", ["delta", "smote"])
def test_r27_numbers_near_the_end_of_a_double_are_handled(place: Path, column: list[float], engine: str) -> None:
    handled(place, stored(place, table(z=column)), options=("--engine", engine, "--holdout", 0))
    assert np.isfinite(np.array(added(place, "z"), dtype=float)).all()


def test_r28_a_tiny_spread_is_handled(place: Path) -> None:
    column = 1000 + 1e-6 * np.random.default_rng(0).normal(size=40)
    values = np.array(made(place, column), dtype=float)
    assert ((values >= column.min()) & (values <= column.max())).all()
    assert values.std() > 1e-8


def test_r29_a_constant_is_handled_exactly(place: Path) -> None:
    assert set(made(place, [0.1 + 0.2] * 40)) == {0.1 + 0.2}


def test_r30_integers_stay_whole_and_in_range(place: Path) -> None:
    values = made(place, np.random.default_rng(0).integers(-50, 900, 40))
    assert all(isinstance(value, int) and -50 <= value < 900 for value in values)


def test_r31_large_ids_are_new_exact_and_noted(place: Path) -> None:
    ids = 2**60 + 1 + 2 * np.random.default_rng(0).permutation(MANY)
    manifest = handled(place, stored(place, table(MANY, 20, z=ids)), options=DELTA)
    noted(manifest, "column 'z' looks like an id")
    fresh = added(place, "z")
    assert len(set(fresh)) == 80
    assert not set(fresh) & set(ids.tolist())


def test_r32_the_largest_unsigned_number_is_handled(place: Path) -> None:
    column = np.array([2**64 - 1, 2**64 - 2, 0, 1] * 10, dtype=np.uint64)
    assert set(made(place, column)) <= set(column.tolist())


def test_r33_small_integers_at_their_limits_are_handled_as_values_that_occur(place: Path) -> None:
    assert set(made(place, np.array([-128, 127, 0, 5] * 10, dtype=np.int8))) <= {-128, 127, 0, 5}


def test_r34_truth_values_are_handled(place: Path) -> None:
    assert set(made(place, [True, False, None, True] * 10)) <= {True, False, None}


def test_r35_nullable_integers_are_handled(place: Path) -> None:
    given = frame(z=pd.array([1, None, 3, 2**53 + 1] * 10, dtype="Int64"))
    handled(place, given)
    assert str(synthgen.read_shards(place / "out").to_pandas()["z"].dtype) == "Int64"


def test_r36_halves_are_handled(place: Path) -> None:
    handled(place, stored(place, table(z=np.linspace(0, 9, 40).astype(np.float16))), options=DELTA)


def test_r37_complex_numbers_are_refused(place: Path) -> None:
    refused(place, frame(z=np.array([1 + 2j] * 40)), "column 'z' of dtype complex128", "convert or drop it")


def test_r38_decimals_keep_their_scale(place: Path) -> None:
    values = made(place, pa.array([Decimal(k).scaleb(-2) for k in range(40)], pa.decimal128(9, 2)))
    assert all(value.as_tuple().exponent == -2 for value in values)


def test_r39_naive_dates_are_handled(place: Path) -> None:
    column = pd.date_range("2024-02-28", periods=40, freq="7h").to_numpy()
    assert all(value.tzinfo is None for value in made(place, column))


def test_r40_zoned_dates_are_handled(place: Path) -> None:
    column = pa.array(pd.date_range("2024-10-26", periods=40, freq="h", tz="Europe/Berlin"))
    assert {str(value.tzinfo) for value in made(place, column)} == {"Europe/Berlin"}


def test_r41_dates_as_categories_are_handled(place: Path) -> None:
    days = [datetime.date(2024, 1, 1 + k % 3) for k in range(40)]
    path = stored(place, table(z=days))
    handled(place, path, options=(*DELTA, "--categorical", "z"))
    assert set(added(place, "z")) <= set(days)


def test_r42_timedeltas_are_handled_and_periods_refused(place: Path) -> None:
    spans = made(place, pd.to_timedelta(np.arange(40), unit="min").to_numpy())
    assert all(isinstance(value, datetime.timedelta | pd.Timedelta) for value in spans)
    refused(place, frame(z=pd.period_range("2020", periods=40, freq="D")), "column 'z'", "period", "cannot be balanced")


def test_r43_the_first_and_the_last_year_are_handled(place: Path) -> None:
    days = [datetime.date(1, 1, 1), datetime.date(9999, 12, 31), None, datetime.date(2024, 2, 29)] * 10
    assert set(made(place, pa.array(days))) <= set(days)
    moments = [datetime.datetime(1, 1, 1), datetime.datetime(9999, 12, 31, 23, 59), None, None] * 10
    assert set(made(place, pa.array(moments, pa.timestamp("us")))) <= set(moments)


def test_r44_undeclared_text_is_categories_and_never_in_an_error(place: Path) -> None:
    assert set(made(place, ["red", "blue", SECRET, "blue"] * 10)) <= {"red", "blue", SECRET}
    refused(place, stored(place, table(200, z=[f"{SECRET} {'wo' * k} rds" for k in range(200)])), "column 'z'")


def test_r45_text_ids_are_new_and_noted_free_text_is_refused(place: Path) -> None:
    ids = [f"CUST-{k:05d}" for k in range(0, 7 * MANY, 7)]
    manifest = handled(place, stored(place, table(MANY, 20, z=ids)), options=DELTA)
    noted(manifest, "column 'z' looks like an id")
    fresh = added(place, "z")
    assert len(set(fresh)) == 80
    assert not set(fresh) & set(ids)
    texts = [f"{SECRET} said {'so ' * (k % 7)}{k}" for k in range(MANY)]
    refused(
        place, stored(place, table(MANY, z=texts)), "column 'z' looks like free text", "--drop z", "--categorical z"
    )


def test_r46_a_million_categories_are_refused_with_an_estimate(place: Path) -> None:
    values = pa.array(np.repeat(np.arange(500_000), 2)).cast(pa.string()).dictionary_encode()
    path = stored(place, table(1_000_000, z=values))
    refused(place, path, "column 'z' has 500,000 categories", "MB", "--drop z")


def test_r47_objects_of_several_types_are_refused_with_the_types(place: Path) -> None:
    given = frame(z=pd.Series([1, "1", 1.0, None] * 10, dtype=object))
    refused(place, given, "column 'z' mixes values of types float, int, str")


def test_r48_numbers_beside_text_are_refused(place: Path) -> None:
    refused(place, frame(z=pd.Series([1, SECRET] * 20, dtype=object)), "column 'z' mixes values of types int, str")


@pytest.mark.parametrize("cell", [[1, 2], {"a": 1}])
def test_r49_lists_and_dicts_are_refused(place: Path, cell: object) -> None:
    refused(place, frame(z=pd.Series([cell] * 40, dtype=object)), "column 'z' holds nested values", "--drop z")


@pytest.mark.parametrize(
    "column",
    [
        pa.array([{"a": 1}] * 40),
        pa.array([[1]] * 40),
        pa.array([[("k", 1)]] * 40, pa.map_(pa.string(), pa.int64())),
    ],
    ids=["struct", "list", "map"],
)
def test_r50_nested_parquet_columns_are_refused_by_name_and_can_be_dropped(place: Path, column: pa.Array) -> None:
    path = stored(place, table(z=column))
    refused(place, path, "column 'z' holds nested values", "--drop z")
    assert command("plan", path, "--drop", "z").code == 0


def test_r51_bytes_are_handled_as_categories(place: Path) -> None:
    assert set(made(place, [b"\x00\xff", b"k"] * 20)) <= {b"\x00\xff", b"k"}


def test_r52_an_unused_level_is_kept_and_not_made(place: Path) -> None:
    given = frame(z=pd.Categorical(["a", "b"] * 20, categories=["never", "b", "a"]))
    given.to_parquet(place / "rows.parquet")
    handled(place, place / "rows.parquet", options=DELTA)
    assert set(added(place, "z")) <= {"a", "b"}
    back = synthgen.read_shards(place / "out").to_pandas()["z"].dtype
    assert list(back.categories) == ["never", "b", "a"]


def test_r53_an_ordered_category_is_handled(place: Path) -> None:
    given = frame(z=pd.Categorical(["low", "high"] * 20, categories=["low", "mid", "high"], ordered=True))
    given.to_parquet(place / "rows.parquet")
    handled(place, place / "rows.parquet", options=DELTA)
    assert synthgen.read_shards(place / "out").to_pandas()["z"].dtype == given["z"].dtype


def test_r54_arrow_dtypes_are_handled_intervals_and_sparse_are_refused(place: Path) -> None:
    handled(place, frame(z=pd.array([1, None] * 20, dtype="int64[pyarrow]")))
    assert str(load(frame(z=pd.array(["a", "b"] * 20, dtype="string[pyarrow]"))).to_pandas()["z"].dtype) == "string"
    refused(place, frame(z=pd.interval_range(0, 40)), "column 'z'", "interval", "cannot be balanced")
    refused(place, frame(z=pd.arrays.SparseArray([0, 1] * 20)), "column 'z' of dtype Sparse", "convert or drop it")


def test_r55_text_that_is_no_unicode_is_refused(place: Path) -> None:
    refused(place, frame(z=[f"{SECRET}\udc80", "b"] * 20), "column 'z' has text that is not valid Unicode", "clean")


def test_r56_sets_are_refused(place: Path) -> None:
    refused(place, frame(z=pd.Series([{1, 2}] * 40, dtype=object)), "column 'z' holds", "cannot be balanced", "drop")


def test_every_handled_column_of_a_frame_comes_back_value_for_value() -> None:
    given = frame(z=pd.array([1, None] * 20, dtype="Int8"))
    result = synthgen.balance(given, label="label", engine="oversample", holdout=0)
    assert result.dataset is not None
    assert rows_of(result.dataset.table.slice(0, 40)) == rows_of(load(given).table)
