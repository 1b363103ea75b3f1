"""Tables from files and frames: what is read comes whole, what cannot be read gets one clear, typed line."""

from __future__ import annotations

import datetime
import random
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from read_kit import SECRET, columns_of, refused, write

from synthgen.data.dataset import TabularDataset
from synthgen.data.read import from_frame, load
from synthgen.errors import SynthgenError


@pytest.fixture
def parquet(tmp_path: Path, mixed: TabularDataset) -> Path:
    path = tmp_path / "rows.parquet"
    pq.write_table(mixed.table, path, row_group_size=64)
    return path


def test_a_parquet_file_comes_back_whole(parquet: Path, mixed: TabularDataset) -> None:
    for source in (parquet, str(parquet)):
        dataset = load(source, label="outcome")
        assert dataset.table.equals(mixed.table)
        assert dataset.fingerprint() == mixed.fingerprint()


def test_row_groups_do_not_matter(tmp_path: Path, mixed: TabularDataset) -> None:
    for size in (1, 7, 300):
        pq.write_table(mixed.table, tmp_path / "rows.parquet", row_group_size=size)
        assert load(tmp_path / "rows.parquet", label="outcome").fingerprint() == mixed.fingerprint()


def test_a_folder_is_its_files_in_order(tmp_path: Path, mixed: TabularDataset) -> None:
    for k in range(3):
        pq.write_table(mixed.table.slice(100 * k, 100), tmp_path / f"part-{k}.parquet")
    for stray in ("_metadata.parquet", ".hidden.parquet", "notes.txt"):
        (tmp_path / stray).write_text("not rows")
    assert load(tmp_path, label="outcome").fingerprint() == mixed.fingerprint()


def test_a_folder_whose_dictionaries_differ_is_read_exactly(tmp_path: Path) -> None:
    for k, values in enumerate((["x", "y"], ["z", "y"])):
        pq.write_table(
            pa.table({"a": pa.array(values).dictionary_encode(), "label": [0, 1]}), tmp_path / f"{k}.parquet"
        )
    dataset = load(tmp_path)
    assert columns_of(dataset) == {"a": ["x", "y", "z", "y"], "label": [0, 1, 0, 1]}
    assert columns_of(dataset.take(np.array([3, 2])))["a"] == ["y", "z"]


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (pa.table({"a": [1], "label": [0], "q": [1]}), "column 'q', which only one"),
        (pa.table({"a": [1]}), "column 'label', which only one"),
        (pa.table({"a": [1.5], "label": [0]}), "column 'a': int64 and double"),
        (pa.table({"label": [0], "a": [1]}), "order"),
        (
            pa.table(
                {"a": [1], "label": [0]}, schema=pa.schema([pa.field("a", pa.int64(), False), ("label", "int64")])
            ),
            "column 'a', which may have missing values",
        ),
    ],
)
def test_a_folder_of_different_tables_names_what_differs(tmp_path: Path, other: pa.Table, says: str) -> None:
    pq.write_table(pa.table({"a": [1, 2], "label": [0, 1]}), tmp_path / "0.parquet")
    pq.write_table(other, tmp_path / "1.parquet")
    refused(tmp_path, "1.parquet", "0.parquet", says, "make them alike")


def test_a_folder_without_parquet_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, str(tmp_path), "holds no .parquet file", "name the folder")


def test_a_missing_file_and_an_unknown_kind_are_refused(tmp_path: Path) -> None:
    refused(tmp_path / "none.csv", "none.csv", "does not exist")
    refused("no\0such.csv", "does not exist")
    refused(write(tmp_path, "x", "rows.xlsx"), "rows.xlsx", ".parquet, .csv, .tsv")


@pytest.mark.parametrize("content", [b"", b"PAR1", b"garbage" * 99, b"PAR1" + b"\xff" * 99 + b"PAR1"])
def test_what_is_no_parquet_is_refused(tmp_path: Path, content: bytes) -> None:
    refused(
        write(tmp_path, content, "rows.parquet"), "rows.parquet cannot be read as parquet", "write or copy it again"
    )


def test_a_truncated_parquet_is_refused_wherever_it_ends(parquet: Path) -> None:
    whole = parquet.read_bytes()
    for size in [*range(0, len(whole), len(whole) // 30), len(whole) - 1]:
        parquet.write_bytes(whole[:size])
        refused(parquet, "rows.parquet cannot be read as parquet", label="outcome")


def test_flipped_bits_never_escape_as_a_bare_error(parquet: Path) -> None:
    whole, draw = parquet.read_bytes(), random.Random(0)
    said: list[str] = []
    for _ in range(150):
        torn = bytearray(whole)
        torn[draw.randrange(len(torn))] ^= 1 << draw.randrange(8)
        parquet.write_bytes(torn)
        try:
            load(parquet, label="outcome")
        except SynthgenError as error:
            said.append(str(error))
    assert len(said) > 20
    assert not any("\n" in text for text in said)


def test_text_that_is_not_utf8_in_parquet_is_refused(tmp_path: Path) -> None:
    bad = pa.array([b"\xff\xfe", b"b"]).view(pa.string())
    pq.write_table(pa.table({"a": bad, "label": [0, 1]}), tmp_path / "rows.parquet")
    refused(tmp_path / "rows.parquet", "rows.parquet", "UTF8")


def test_an_unused_index_level_stays_metadata(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [0.5, 1.5], "label": [0, 1]}, index=["r", "s"])
    frame.to_parquet(tmp_path / "rows.parquet")
    dataset = load(tmp_path / "rows.parquet")
    assert {column.name: column.kind for column in dataset.schema.columns}["__index_level_0__"] == "id"
    pd.testing.assert_frame_equal(dataset.to_pandas(), frame)
    dropped = load(tmp_path / "rows.parquet", drop=["__index_level_0__"])
    pd.testing.assert_frame_equal(dropped.to_pandas(), frame.reset_index(drop=True))


def test_an_arrow_table_and_a_dataset_are_sources(mixed: TabularDataset) -> None:
    assert load(mixed.table, label="outcome").fingerprint() == mixed.fingerprint()
    assert load(mixed) is mixed
    assert load(mixed, label="outcome") is mixed
    assert load(mixed, label="region", drop=["amount"]).label == "region"
    assert "amount" not in load(mixed, drop=["amount"]).table.schema.names
    refused(mixed, "'zzz' is not in the table", label="zzz")


def frame(**columns: object) -> pd.DataFrame:
    return pd.DataFrame({**columns, "label": [0, 1, 0]})


@pytest.mark.parametrize(
    "column",
    [
        pd.array([1, None, 3], dtype="Int64"),
        pd.array([1.5, None, 3], dtype="Float32"),
        pd.array([True, None, False], dtype="boolean"),
        pd.array(["a", None, "b"], dtype="string"),
        pd.array([1, 2, 3], dtype="int64[pyarrow]"),
        pd.Categorical(["b", "a", None], categories=["z", "b", "a"]),
        pd.Categorical(["b", "a", "b"], categories=["z", "b", "a"], ordered=True),
        pd.Categorical([2, 1, 2]),
        pd.to_datetime(["2020-03-29 00:30", None, "2020-10-25 01:30"]).tz_localize("Europe/Berlin"),
        pd.to_datetime(["2020-03-29", None, "2020-10-25"]).as_unit("s"),
        pd.to_timedelta([1, None, 3], unit="h"),
        np.array([1.5, np.nan, 3], dtype=np.float16),
        np.array([2**64 - 1, 0, 1], dtype=np.uint64),
        np.array(["a", None, "b"], dtype=object),
        np.array([Decimal("1.5"), None, Decimal("2.25")], dtype=object),
        np.array([datetime.date(2020, 1, 1), None, datetime.date(1, 1, 1)], dtype=object),
    ],
    ids=lambda column: str(column.dtype),
)
def test_frames_come_back_with_their_dtypes(column: object) -> None:
    given = frame(x=column)
    pd.testing.assert_frame_equal(load(given).to_pandas(), given)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([1, SECRET, None], "types int, str; convert"),
        ([1, "1", 1.0], "types float, int, str; convert"),
        ([True, 1, None], "types bool, int; convert"),
        ([b"x", SECRET, None], "types bytes, str; convert"),
        ([datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1, 5), None], "types date, datetime; convert"),
        ([SECRET, ["a"], None], "types list, str; convert"),
        ([complex(1, 2), 1, 2], "holds complex, int, which cannot be balanced"),
        ([object(), object(), None], "holds object, which cannot be balanced"),
        ([10**30, 1, 2], "of dtype object holds int, which cannot"),
        ([SECRET + "\udc80", "a", "b"], "not valid Unicode"),
        ([[1], [2], None], "nested values"),
        ([{"a": 1}, {"a": 2}, None], "nested values"),
    ],
)
def test_objects_that_do_not_fit_together_name_their_column(values: list[object], says: str) -> None:
    refused(frame(fine=[1, 2, 3], odd=pd.Series(values, dtype=object)), "column 'odd'", says)


@pytest.mark.parametrize(
    "values", [[1, 1.5, None], [Decimal("1.5"), 2, None], [np.int64(1), 2.5, 3], ["a", None, np.nan]]
)
def test_objects_of_one_family_are_fine(values: list[object]) -> None:
    assert len(load(frame(x=pd.Series(values, dtype=object)))) == 3


@pytest.mark.parametrize(
    "column",
    [
        pd.arrays.SparseArray([0, 0, 1]),
        np.array([1 + 2j, 2, 3]),
        pd.period_range("2020", periods=3),
        pd.interval_range(0, 3),
    ],
    ids=lambda column: str(column.dtype),
)
def test_dtypes_that_cannot_be_balanced_name_their_column(column: object) -> None:
    refused(frame(fine=[1, 2, 3], odd=column), "column 'odd'", "cannot be balanced", "drop")


def test_a_label_of_mixed_types_lists_them() -> None:
    given = pd.DataFrame({"x": [1, 2], "label": pd.Series([0, "1"], dtype=object)})
    refused(given, "column 'label' mixes values of types int, str")


def test_column_names_must_be_plain_and_unique() -> None:
    multi = pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")])
    refused(pd.DataFrame([[1, 2]], columns=multi), "MultiIndex; flatten them")
    refused(pd.DataFrame([[1, 2, 0]], columns=["a", "a", "label"]), "more than once: 'a'")
    refused(pd.DataFrame([[1, 2, 0]], columns=["1", 1, "label"]), "more than once: '1'")
    refused(pd.DataFrame({"\udc80": [1, 2], "label": [0, 1]}), "column '\\udc80'", "not valid Unicode")


def test_whole_number_names_are_text_inside_and_come_back() -> None:
    given = pd.DataFrame([[1.5, 0], [2.5, 1], [3.5, 1]], columns=[10, 20])
    dataset = load(given, label="20")
    assert dataset.table.schema.names == ["10", "20"]
    pd.testing.assert_frame_equal(dataset.to_pandas(), given)
    pd.testing.assert_frame_equal(dataset.take(np.array([2])).to_pandas(), given.iloc[[2]].reset_index(drop=True))


def test_the_index_of_a_frame_is_left_out() -> None:
    given = pd.DataFrame({"x": [1, 2], "label": [0, 1]}, index=["r", "r"])
    assert from_frame(given).schema.names == ["x", "label"]
    pd.testing.assert_frame_equal(load(given).to_pandas(), given.reset_index(drop=True))


@pytest.mark.parametrize("make", [lambda: [1, 2], lambda: pd.Series([1]), lambda: np.zeros((2, 2)), lambda: None])
def test_other_objects_are_refused_by_type(make: Callable[[], object]) -> None:
    source = make()
    refused(source, "expected a path, a DataFrame or an Arrow table", type(source).__name__)


def test_the_source_is_not_changed(mixed_table) -> None:
    table = mixed_table(50)
    given = table.to_pandas()
    copy = given.copy(deep=True)
    load(given, label="outcome", drop=["amount"])
    pd.testing.assert_frame_equal(given, copy)
