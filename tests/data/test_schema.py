"""What the columns of a table are: kinds, refusals with a remedy, and a schema that survives JSON."""

from __future__ import annotations

import datetime
import json
import uuid
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from synthgen.data.dataset import TabularDataset
from synthgen.data.schema import ID_MIN_ROWS, TableSchema, check_names, difference, find_label, infer_schema, listed
from synthgen.errors import ConfigError, DataError

N = ID_MIN_ROWS


def kind_of(values: object, *, name: str = "x", **options: list[str]) -> str:
    column = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values)
    table = pa.table({name: column, "label": np.arange(len(column)) % 2})
    return infer_schema(table, label="label", **options).columns[0].kind


def test_every_kind_is_inferred(mixed: TabularDataset) -> None:
    kinds = {column.name: column.kind for column in mixed.schema.columns}
    assert kinds == {
        "amount": "continuous",
        "visits": "integer",
        "plan": "categorical",
        "region": "categorical",
        "active": "boolean",
        "joined": "datetime",
        "born": "datetime",
        "wait": "timedelta",
        "price": "continuous",
        "country": "constant",
        "empty": "constant",
        "customer_id": "id",
    }
    assert [column.name for column in mixed.schema.features] == [
        name for name, kind in kinds.items() if kind not in ("constant", "id")
    ]
    assert mixed.schema.label == "outcome"
    assert mixed.schema.arrow.names == [*kinds, "outcome"]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pa.array([1, 2], pa.uint64()), "integer"),
        (pa.array([1.0, 2.0], pa.float64()).cast(pa.float16()), "continuous"),
        (pa.array([Decimal("1.5"), Decimal(2)], pa.decimal32(5, 2)), "continuous"),
        (pa.array([Decimal("1.5"), Decimal(2)], pa.decimal256(50, 2)), "continuous"),
        (pa.array([b"a", b"b"], pa.binary(1)), "categorical"),
        (pa.array(["a", "b"], pa.large_string()), "categorical"),
        (pa.array([1, 2]).dictionary_encode(), "categorical"),
        ([datetime.time(1), datetime.time(2)], "datetime"),
        ([True, None, False], "boolean"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_less_common_types(values: object, kind: str) -> None:
    assert kind_of(values) == kind


@pytest.mark.parametrize(
    "values",
    [
        [7, 7, 7],
        ["a", "a", "a"],
        [None, None, None],
        pa.array([None, None], pa.dictionary(pa.int8(), pa.string())),
        [float("nan"), float("nan")],
        pa.chunked_array([pa.array([float("nan"), None], pa.float64()), pa.array([float("nan")])]),
        [Decimal("1.5"), Decimal("1.5")],
        pa.array([Decimal("1.5"), Decimal("1.5")], pa.decimal32(5, 2)),
        [True, True],
    ],
    ids=str,
)
def test_one_value_or_none_is_constant(values: object) -> None:
    assert kind_of(values) == "constant"


def test_one_value_with_gaps_is_not_constant() -> None:
    assert kind_of([1.5, None, 1.5]) == "continuous"
    assert kind_of([1.5, float("nan")]) == "continuous"


def test_a_late_change_is_seen() -> None:
    assert kind_of([1] * 1500 + [2]) == "integer"


@pytest.mark.parametrize(
    "name", ["id", "ID", "Id", "user_id", "USER_ID", "id_user", "order-key", "pk", "uuid", "customerId", "customerID"]
)
def test_ids_by_name(name: str) -> None:
    assert kind_of(range(N), name=name) == "id"
    assert kind_of([f"{'ab' * (k % 3)}-{k * k}-{k}" for k in range(N)], name=name) == "id"


@pytest.mark.parametrize("name", ["paid", "valid", "monkey", "width", "idea", "video", "grid"])
def test_words_that_hold_those_letters_are_no_ids(name: str) -> None:
    assert kind_of(range(N), name=name) == "integer"


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "__index_level_0__"])
def test_row_numbers_that_pandas_wrote_are_ids(name: str) -> None:
    assert kind_of(range(N), name=name) == "id"


def test_an_id_is_complete_unique_and_has_a_hundred_rows() -> None:
    assert kind_of(range(N - 1), name="id") == "integer"
    assert kind_of([0, *range(N)], name="id") == "integer"
    assert kind_of([None, *range(N)], name="id") == "integer"
    assert kind_of(np.arange(N) / 2, name="id") == "continuous"


@pytest.mark.parametrize(
    "values",
    [
        [str(uuid.UUID(int=k * 7**40)) for k in range(N)],
        [f"{k * 7919:08X}" for k in range(N)],
        [f"AB-{k:05d}" for k in range(N)],
        [f"{'GHIJ'[k % 4]}{k:03d}-{k % 7}x" for k in range(N)],
        [f"C{k}" for k in range(N)],
        [k.to_bytes(4, "big") for k in range(N)],
    ],
    ids=lambda values: str(values[-1]),
)
def test_ids_by_one_pattern(values: list[object]) -> None:
    assert kind_of(values) == "id"


def test_ids_by_size() -> None:
    edge = 2**53
    assert kind_of([edge - k for k in range(N)]) == "integer"
    assert kind_of([edge + 1 - k for k in range(N)]) == "id"
    assert kind_of([-edge - 1 + k for k in range(N)]) == "id"
    assert kind_of(pa.array([2**64 - 1 - k for k in range(N)], pa.uint64())) == "id"


def test_pandas_index_columns_are_row_names() -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0], "label": [0, 1]}, index=pd.Index(["r", "r"], name="who"))
    schema = infer_schema(pa.Table.from_pandas(frame), label="label")
    assert {column.name: column.kind for column in schema.columns} == {"x": "continuous", "who": "id"}


@pytest.mark.parametrize("metadata", [b"{", b"[]", b'{"index_columns": null}', b'{"index_columns": [{"kind": 1}, 2]}'])
def test_broken_pandas_metadata_is_ignored(metadata: bytes) -> None:
    table = pa.table({"x": [1.5, 2.5], "label": [0, 1]}).replace_schema_metadata({b"pandas": metadata})
    assert infer_schema(table, label="label").columns[0].kind == "continuous"


def test_free_text_is_refused_with_the_way_out() -> None:
    texts = [f"{'so ' * (k % 7)}said customer {k} {'!' * (k % 3)}" for k in range(2 * N)]
    with pytest.raises(DataError, match=r"'note' looks like free text.*200 different.*--drop note") as caught:
        kind_of(texts, name="note")
    assert "customer 7" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert kind_of(texts, name="note", categorical=["note"]) == "categorical"
    assert infer_schema(
        pa.table({"note": texts, "x": range(2 * N), "label": [0, 1] * N}), label="label", drop=["note"]
    ).arrow.names == ["x", "label"]


def test_repeated_text_is_categories() -> None:
    assert kind_of([f"city {'x' * (k % N)}" for k in range(3 * N)]) == "categorical"


@pytest.mark.parametrize(
    ("column", "what"),
    [
        (pa.array([[1], [2]]), "nested values"),
        (pa.array([{"a": 1}, {"a": 2}]), "nested values"),
        (pa.array([[("k", 1)], []], pa.map_(pa.string(), pa.int64())), "nested values"),
        (pa.DictionaryArray.from_arrays([0, 1], pa.array([[1], [2]])), "nested values"),
        (pa.nulls(2, pa.month_day_nano_interval()), "month_day_nano_interval"),
        (pa.nulls(2, pa.uuid()), "uuid"),
        (pa.array(["a", "b"], pa.string_view()), "cast it to string"),
        (
            pa.DictionaryArray.from_arrays([0, 1], pa.array([1, 2], pa.float16())),
            "categories of type halffloat.*cast it",
        ),
        (pa.DictionaryArray.from_arrays([0, 0], pa.nulls(1)), "categories of type null"),
        *(
            (pa.DictionaryArray.from_arrays([0, 1], pa.array([1, 2], getattr(pa, kind)(9, 0))), f"of type {kind}")
            for kind in ("decimal32", "decimal64")
            if hasattr(pa, kind)
        ),
    ],
    ids=lambda value: str(getattr(value, "type", value))[:30],
)
def test_unsupported_types_are_refused_with_the_way_out(column: pa.Array, what: str) -> None:
    with pytest.raises(DataError, match=rf"column 'payload' holds .*{what}.*--drop payload"):
        kind_of(column, name="payload")
    with pytest.raises(DataError, match=r"column 'pay\\nload' holds .*--drop 'pay\\nload'$"):
        kind_of(column, name="pay\nload")


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64()], ids=str)
def test_infinite_values_are_counted_and_refused(kind: pa.DataType) -> None:
    values = pa.array([1.0, float("inf"), float("-inf"), None, float("nan")]).cast(kind)
    with pytest.raises(DataError, match=r"column 'rate' holds 2 infinite values.*--drop rate"):
        kind_of(values, name="rate")


def test_decimals_that_are_too_long_name_their_column() -> None:
    wide = pa.array([Decimal(10**30), Decimal(1)], pa.decimal128(38, 0))
    with pytest.raises(DataError, match=r"column 'total' of type decimal128.*more than 18 digits.*--drop total"):
        kind_of(wide, name="total")


def test_names_that_occur_twice_are_listed() -> None:
    with pytest.raises(DataError, match="more than once: 'a', 'b'; rename"):
        check_names(["a", "b", "c", "b", "a"])
    with pytest.raises(DataError, match="more than once: 'a'"):
        infer_schema(pa.table([[1], [2], [0]], names=["a", "a", "label"]), label="label")


def test_only_the_label_is_too_little() -> None:
    table = pa.table({"x": [1, 2], "label": [0, 1]})
    with pytest.raises(DataError, match="only the label column 'label'"):
        infer_schema(table.select(["label"]), label="label")
    with pytest.raises(DataError, match="only the label column 'label'"):
        infer_schema(table, label="label", drop=["x"])


@pytest.mark.parametrize("option", ["drop", "categorical"])
def test_options_must_name_columns(option: str) -> None:
    table = pa.table({"x": [1, 2], "label": [0, 1]})
    with pytest.raises(ConfigError, match=f"--{option} names 'z', which is not a column; columns are: x, label"):
        infer_schema(table, label="label", **{option: ["z"]})


def test_the_label_can_be_neither_missing_nor_dropped() -> None:
    table = pa.table({"x": [1, 2], "label": [0, 1]})
    with pytest.raises(ConfigError, match="'label' cannot be dropped"):
        infer_schema(table, label="label", drop=["label"])
    with pytest.raises(DataError, match="'lebal' is not in the table; did you mean 'label'"):
        infer_schema(table, label="lebal")


def test_categorical_overrides_numbers_but_not_constants() -> None:
    assert kind_of([1, 2, 3], categorical=["x"]) == "categorical"
    assert kind_of(pa.array([1.5, 2.5]), categorical=["x"]) == "categorical"
    assert kind_of([1, 1, 1], categorical=["x"]) == "constant"


@pytest.mark.parametrize("name", ["label", "Target", "CLASS", "y", "Y"])
def test_the_usual_label_names_are_found(name: str) -> None:
    assert find_label(["a", name, "b"], None) == name


def test_a_label_that_is_named_wins() -> None:
    assert find_label(["label", "fraud"], "fraud") == "fraud"


def test_several_or_no_candidates_are_listed() -> None:
    with pytest.raises(ConfigError, match=r"label of f\.csv: y, Target; choose one with --label"):
        find_label(["a", "y", "Target"], None, source="f.csv")
    with pytest.raises(ConfigError, match=r"no column of the table is named .*--label: a, b"):
        find_label(["a", "b"], None)


def test_a_wrong_label_gets_close_matches_and_the_columns() -> None:
    with pytest.raises(DataError, match=r"'is_fruad' is not in t; did you mean 'is_fraud'.*columns are: a, is_fraud"):
        find_label(["a", "is_fraud"], "is_fruad", source="t")
    with pytest.raises(DataError, match="'zzz' is not in t; columns are: a"):
        find_label(["a"], "zzz", source="t")


def test_long_lists_of_columns_are_cut() -> None:
    names = [f"c{k}" for k in range(5_000)]
    assert listed(names).endswith("c29, ...")
    assert listed(names[:30]).endswith("c29")
    with pytest.raises(DataError) as caught:
        find_label(names, "q")
    assert len(str(caught.value)) < 400


def test_a_schema_round_trips_through_json(mixed_table) -> None:
    table = mixed_table(150)
    field = table.schema.field("amount").with_metadata({"unit": "EUR"})
    table = table.cast(table.schema.set(0, field)).replace_schema_metadata({"source": "crm", b"\xff": b"\x00"})
    schema = infer_schema(table, label="outcome", drop=["visits"], categorical=["price"])
    back = TableSchema.from_json(json.loads(json.dumps(schema.to_json())))
    assert back == schema
    assert back.arrow.equals(schema.arrow, check_metadata=True)
    assert back.arrow.field("amount").metadata == {b"unit": b"EUR"}
    assert back.arrow.metadata == {b"source": b"crm", b"\xff": b"\x00"}
    assert [column.name for column in back.columns] == [column.name for column in schema.columns]


def test_nullability_is_kept() -> None:
    exact = pa.schema([pa.field("x", pa.int64(), nullable=False), pa.field("label", pa.int8())])
    schema = infer_schema(pa.table({"x": [1, 2], "label": [0, 1]}, schema=exact), label="label")
    assert schema.columns[0].nullable is False
    assert TableSchema.from_json(schema.to_json()).columns[0].nullable is False


def test_differences_are_told_in_words() -> None:
    def schema(**fields: pa.DataType) -> pa.Schema:
        return pa.schema(list(fields.items()))

    one = schema(a=pa.int64(), b=pa.string())
    assert "column 'b', which only one" in difference(one, schema(a=pa.int64()))
    assert difference(one, schema(a=pa.int8(), b=pa.string())) == "column 'a': int64 and int8"
    assert "order" in difference(one, schema(b=pa.string(), a=pa.int64()))
    strict = pa.schema([pa.field("a", pa.int64(), nullable=False), ("b", pa.string())])
    assert "column 'a', which may have missing values in only one" in difference(one, strict)
