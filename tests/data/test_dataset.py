"""Datasets: classes, rows taken and joined, fingerprints, and what the label column may be."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthgen.data.dataset import TabularDataset, from_table, quoted, text_of
from synthgen.errors import ConfigError, DataError


def labelled(label: object, **columns: object) -> TabularDataset:
    label = label if isinstance(label, pa.Array | pa.ChunkedArray) else pa.array(label)
    return from_table(pa.table({**(columns or {"x": range(len(label))}), "label": label}), label="label")


def rows_of(dataset: TabularDataset) -> list[dict[str, object]]:
    return dataset.to_arrow().to_pylist()


def test_counts_name_every_class_and_stay_under_take() -> None:
    dataset = labelled(["b", "a", "b", "c"])
    assert dataset.classes == ("a", "b", "c")
    assert dataset.counts() == {"a": 1, "b": 2, "c": 1}
    part = dataset.take(np.array([0]))
    assert part.classes == ("a", "b", "c")
    assert part.counts() == {"a": 0, "b": 1, "c": 0}
    assert part.label_codes.tolist() == [1]
    assert part.label_codes.dtype == np.int32


@given(data=st.data())
@settings(max_examples=50, deadline=None, database=None, derandomize=True)
def test_take_is_numpy_s_take(data: st.DataObject) -> None:
    n = data.draw(st.integers(2, 12))
    dataset = labelled([0, 1] * n)
    whole = np.arange(2 * n)
    rows = np.array(data.draw(st.lists(st.integers(0, 2 * n - 1), max_size=20)), dtype=np.int64)
    assert dataset.take(rows).table.column("x").to_pylist() == whole[rows].tolist()
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=2 * n, max_size=2 * n)))
    taken = dataset.take(mask)
    assert taken.table.column("x").to_pylist() == whole[mask].tolist()
    assert len(taken) == mask.sum()


def test_no_rows_are_a_dataset_too(mixed: TabularDataset) -> None:
    for nothing in (np.array([]), np.array([], dtype=np.int64), np.zeros(len(mixed), dtype=bool)):
        empty = mixed.take(nothing)
        assert len(empty) == 0
        assert empty.counts() == {"churn": 0, "stay": 0}
        assert empty.label_codes.shape == (0,)
        assert empty.feature_hashes().shape == (0,)
        assert empty.to_torch()[0].shape == (0, len(mixed.schema.features))
        assert empty.to_pandas().empty
        assert empty.table.schema.equals(mixed.table.schema, check_metadata=True)
        assert mixed.concat(empty).fingerprint() == mixed.fingerprint()
        assert empty.concat(mixed).fingerprint() == mixed.fingerprint()


def test_rows_of_one_class() -> None:
    dataset = labelled(["b", "a", "b"])
    assert rows_of(dataset.of_class("b")) == [{"x": 0, "label": "b"}, {"x": 2, "label": "b"}]
    with pytest.raises(ConfigError, match="class 'z' does not occur; classes are: a, b"):
        dataset.of_class("z")


def test_concat_keeps_order_schema_and_classes(mixed: TabularDataset) -> None:
    one, two = mixed.take(np.arange(100)), mixed.take(np.arange(100, 300))
    assert rows_of(one.concat(two)) == rows_of(mixed)
    assert one.concat(two).fingerprint() == mixed.fingerprint()
    assert len(one.concat(two, one)) == 400
    assert one.concat().classes == mixed.classes


def test_concat_finds_labels_by_value_not_by_code() -> None:
    dataset = labelled(["a", "b", "c"]).concat(labelled(["c", "b", "b"]))
    assert dataset.counts() == {"a": 1, "b": 3, "c": 2}


def test_concat_refuses_other_columns_and_classes() -> None:
    dataset = labelled([0, 1])
    with pytest.raises(DataError, match="differ in column 'x': int64 and double"):
        dataset.concat(labelled([0, 1], x=[0.5, 1.5]))
    with pytest.raises(DataError, match="differ in column 'q'"):
        dataset.concat(labelled([0, 1], x=[1, 2], q=[1, 2]))
    with pytest.raises(DataError, match="class that is not known here: 7"):
        dataset.concat(labelled([0, 7]))


def test_dictionaries_of_their_own_are_joined_exactly() -> None:
    def encoded(values: list[str | None]) -> pa.Array:
        return pa.array(values).dictionary_encode()

    one = labelled(encoded(["p", "q", "p"]), x=encoded(["a", None, "b"]))
    two = labelled(encoded(["q", "p", "q"]), x=encoded(["c", "b", None]))
    both = one.concat(two)
    assert rows_of(both) == rows_of(one) + rows_of(two)
    assert both.counts() == {"p": 3, "q": 3}
    assert rows_of(both.take(np.array([3, 0, 5]))) == [rows_of(both)[k] for k in (3, 0, 5)]
    assert both.table.schema.equals(one.table.schema)
    assert both.to_pandas()["x"].tolist()[3:5] == ["c", "b"]
    plain = pa.table({name: both.table.column(name).cast(pa.string()) for name in ("x", "label")})
    assert both.feature_hashes().tolist() == from_table(plain, label="label").feature_hashes().tolist()


def test_dictionaries_that_outgrow_their_index_are_refused() -> None:
    def encoded(prefix: str) -> pa.Array:
        levels = pa.array([f"{prefix}{'x' * k}" for k in range(100)])
        return pa.DictionaryArray.from_arrays(pa.array(range(100), pa.int8()), levels)

    one, two = (labelled([0, 1] * 50, x=encoded(prefix)) for prefix in "ab")
    with pytest.raises(DataError, match=r"column 'x' has more different values than its type .*int8.* store it as"):
        one.concat(two)
    with pytest.raises(DataError, match="column 'x'"):
        from_table(pa.concat_tables([one.table, two.table]), label="label")


def test_a_fingerprint_knows_neither_chunks_nor_encoded_order(mixed_table) -> None:
    table = mixed_table(120)
    dataset = from_table(table, label="outcome")
    pieces = pa.concat_tables([table.slice(k, 7) for k in range(0, 120, 7)])
    assert from_table(pieces, label="outcome").fingerprint() == dataset.fingerprint()
    levels = pa.array(["unused", "south", "north"])
    codes = pa.array([{"south": 1, "north": 2}[value] for value in table.column("region").to_pylist()], pa.int32())
    other = table.set_column(3, "region", pa.DictionaryArray.from_arrays(codes, levels))
    assert from_table(other, label="outcome").fingerprint() == dataset.fingerprint()


def test_a_fingerprint_changes_with_every_value_and_with_order(mixed_table) -> None:
    table = mixed_table(120)
    prints = {from_table(table, label="outcome").fingerprint()}
    for at, name in enumerate(table.schema.names):
        if name in ("country", "empty"):
            continue
        rows = np.arange(120)
        column = table.column(name).to_pylist()
        rows[5] = next(k for k in range(120) if column[k] is not None and column[k] != column[5])
        changed = table.set_column(at, name, table.column(name).take(pa.array(rows)))
        prints.add(from_table(changed, label="outcome").fingerprint())
    prints.add(from_table(table.take(pa.array([1, 0, *range(2, 120)])), label="outcome").fingerprint())
    prints.add(from_table(table.slice(1), label="outcome").fingerprint())
    prints.add(from_table(table, label="outcome", categorical=["visits"]).fingerprint())
    prints.add(from_table(table.rename_columns(["sum", *table.schema.names[1:]]), label="outcome").fingerprint())
    assert len(prints) == 1 + 11 + 4


def test_feature_hashes_leave_ids_constants_and_the_label_out(mixed_table) -> None:
    table = mixed_table(150)
    dataset = from_table(table, label="outcome")
    shuffled = table.column("customer_id").take(pa.array(np.arange(150)[::-1]))
    other = table.set_column(table.schema.names.index("customer_id"), "customer_id", shuffled)
    flipped = pa.array(["stay" if value == "churn" else "churn" for value in table.column("outcome").to_pylist()])
    other = other.set_column(table.schema.names.index("outcome"), "outcome", flipped)
    assert from_table(other, label="outcome").feature_hashes().tolist() == dataset.feature_hashes().tolist()
    assert len(set(dataset.feature_hashes().tolist())) == 150


@pytest.mark.parametrize(
    ("label", "classes"),
    [
        (["b", "a"], ("a", "b")),
        (["10", "9", "01", "1"], ("01", "1", "10", "9")),
        ([1, 0], (0, 1)),
        (pa.array([2**63, 1], pa.uint64()), (1, 2**63)),
        ([True, False], (False, True)),
        ([2.0, 1.0], (1.0, 2.0)),
        (pa.array([2.0, 1.0]).cast(pa.float16()), (1.0, 2.0)),
        ([1.0, -0.0, 0.0], (0.0, 1.0)),
        (pa.array([-0.0, 0.0, 1.0]).cast(pa.float16()), (0.0, 1.0)),
        (pa.array([-0.0, 0.0, 1.0], pa.float32()), (0.0, 1.0)),
        (pa.DictionaryArray.from_arrays(pa.array([0, 1, 2]), pa.array([-0.0, 0.0, 1.0])), (0.0, 1.0)),
        ([Decimal(1), Decimal(0)], (0, 1)),
        (pa.array([Decimal("1.00"), Decimal(0)], pa.decimal256(50, 2)), (0, 1)),
        (pa.array([Decimal("1.00"), Decimal(0)], pa.decimal32(5, 2)), (0, 1)),
        (pa.array(["b", "a"], pa.large_string()), ("a", "b")),
        (pa.array(["b", "a"]).dictionary_encode(), ("a", "b")),
        (pa.array([3, 1]).dictionary_encode(), (1, 3)),
        (pa.chunked_array([pa.array(["b"]).dictionary_encode(), pa.array(["a"]).dictionary_encode()]), ("a", "b")),
    ],
    ids=lambda value: str(getattr(value, "type", value))[:40],
)
def test_what_a_label_may_be(label: object, classes: tuple[object, ...]) -> None:
    dataset = labelled(label)
    assert dataset.classes == classes
    assert [*map(repr, dataset.classes)] == [*map(repr, classes)]  # the type too, and the sign of nought
    values = dataset.table.column("label").to_pylist()
    assert [dataset.classes[code] for code in dataset.label_codes] == values
    assert sum(dataset.counts().values()) == len(values)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (["a", None, "b"], "missing in 1 of 3 rows; remove"),
        ([0.0, float("nan"), 1.0, None], "missing in 2 of 4 rows; remove"),
        (pa.nulls(2), "missing in 2 of 2 rows; remove"),
        (pa.array(["a", None]).dictionary_encode(), "missing in 1 of 2 rows; remove"),
        ([0.5, 1.0, 2.0], r"continuous \(3 different values\); bin it, or choose another --label"),
        ([1.0, float("inf")], "continuous"),
        ([Decimal("0.5"), Decimal(1)], "continuous"),
        (["a", "a"], "one class only, 'a'; .*choose another --label"),
        ([3], "one class only, 3"),
        (list(range(1_001)), "1001 classes, more than the 1000 .*choose another --label"),
        ([b"a", b"b"], "type binary .*choose another --label"),
        (pa.array([b"a", b"b"], pa.binary(1)), "a label is text, a whole number or a boolean"),
        (pa.array([b"a", b"b"], pa.large_binary()), "a label is text"),
        (pa.array([1, 2], pa.date32()), "type date32.*a label is text"),
        (pa.array([1, 2], pa.duration("s")), "a label is text"),
        ([[1], [2]], "a label is text"),
    ],
    ids=lambda value: str(getattr(value, "type", value))[:30],
)
def test_what_a_label_may_not_be(label: object, message: str) -> None:
    with pytest.raises(DataError, match=f"label column 'label' .*{message}") as caught:
        labelled(label)
    assert "\n" not in str(caught.value)


def test_a_thousand_classes_are_allowed() -> None:
    assert len(labelled(list(range(1_000))).classes) == 1_000


def test_labels_outside_the_classes_are_an_error_not_a_code() -> None:
    dataset = labelled([0, 1, 5])
    narrowed = TabularDataset(dataset.table, dataset.schema, (0, 1))
    with pytest.raises(DataError, match="label column 'label' has 1 rows of none of the known classes"):
        _ = narrowed.label_codes


def test_an_empty_table_is_refused() -> None:
    with pytest.raises(DataError, match="empty: 0 rows"):
        from_table(pa.table({"x": pa.array([], pa.int64()), "label": pa.array([], pa.string())}), label="label")


def test_dropped_columns_are_gone_and_metadata_stays() -> None:
    table = pa.table({"x": [1, 2], "q": [3, 4], "label": [0, 1]}).replace_schema_metadata({"source": "crm"})
    dataset = from_table(table, label="label", drop=iter(["q"]))
    assert dataset.table.schema.names == ["x", "label"]
    assert dataset.table.schema.metadata == {b"source": b"crm"}


def test_to_pandas_gives_the_frame_s_own_dtypes() -> None:
    frame = pd.DataFrame(
        {
            "int": pd.array([1, None, 3], dtype="Int16"),
            "flag": pd.array([True, None, False], dtype="boolean"),
            "text": pd.array(["a", None, "b"], dtype="string"),
            "level": pd.Categorical(["lo", "hi", None], categories=["lo", "mid", "hi"], ordered=True),
            "when": pd.to_datetime(["2020-01-01", None, "2021-06-01"]).tz_localize("Europe/Berlin"),
            "gap": pd.to_timedelta([1, 2, None], unit="s"),
            "small": np.array([1, 2, 3], dtype=np.uint8),
            "label": [0, 1, 0],
        }
    )
    dataset = from_table(pa.Table.from_pandas(frame, preserve_index=False), label="label")
    pd.testing.assert_frame_equal(dataset.to_pandas(), frame)
    pd.testing.assert_frame_equal(dataset.take(np.array([2, 0])).to_pandas(), frame.iloc[[2, 0]].reset_index(drop=True))


def test_to_torch_gives_numbers_codes_and_nan() -> None:
    dataset = labelled(
        pa.array(["no", "yes", "no"]),
        number=pa.array([1.5, None, 3.5]),
        price=pa.array([Decimal("12.30"), None, Decimal("0.05")], pa.decimal128(6, 2)),
        flag=pa.array([True, False, None]),
        text=pa.array(["b", None, "a"]),
        level=pa.DictionaryArray.from_arrays(pa.array([2, 0, None]), pa.array(["lo", "mid", "hi"])),
    )
    features, labels = dataset.to_torch()
    expected = np.array([[1.5, 12.3, 1, 1, 2], [np.nan, np.nan, 0, np.nan, 0], [3.5, 0.05, np.nan, 0, np.nan]])
    np.testing.assert_array_equal(features.numpy(), expected.astype(np.float32))
    assert str(features.dtype) == "torch.float32"
    assert labels.tolist() == [0, 1, 0]
    assert str(labels.dtype) == "torch.int64"


def test_codes_of_a_categorical_column_do_not_depend_on_the_rows() -> None:
    level = pa.DictionaryArray.from_arrays(pa.array([2, 0, 1, 2]), pa.array(["lo", "mid", "hi"]))
    dataset = labelled([0, 1, 0, 1], level=level)
    assert dataset.take(np.array([3, 2])).to_torch()[0].ravel().tolist() == [2.0, 1.0]


@pytest.mark.parametrize(
    ("label", "text"),
    [(True, "true"), (False, "false"), (1, "1"), (1.0, "1"), (-0.0, "0"), (1.5, "1.5"), ("1.0", "1.0")],
)
def test_labels_as_users_write_them(label: object, text: str) -> None:
    assert text_of(label) == text
    assert quoted(label) == (repr(text) if isinstance(label, str) else text)


@pytest.mark.parametrize("rows", [[-1], [7], [0, 9], [True] * 3])
def test_only_rows_that_are_there_can_be_taken(rows: list[int]) -> None:
    dataset = from_table(pa.table({"x": np.arange(7.0), "label": [0, 1, 0, 1, 0, 1, 0]}), label="label")
    for some in (dataset, dataset.take(np.arange(7))):
        with pytest.raises(IndexError):
            some.take(np.array(rows))
