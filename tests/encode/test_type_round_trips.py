"""Every type that a table may hold, drawn at random: decoded to itself, and balanced without a changed value."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from codec_tables import dataset_of, noise, same_cells
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import synthgen
from synthgen.data.dataset import from_table
from synthgen.data.read import from_frame, load
from synthgen.encode.tabular import TabularCodec
from synthgen.errors import DataError

SETTINGS = settings(max_examples=12, deadline=None, derandomize=True, database=None)
BERLIN = "Europe/Berlin"
CLOCKS = [dt.datetime(2024, 3, 31, tzinfo=dt.UTC), dt.datetime(2024, 10, 27, tzinfo=dt.UTC)]
WORDS = st.sampled_from(["", "a", "ä", "long word", "0", "NA"])
near_a_clock_change = st.builds(
    lambda clock, minutes: clock + dt.timedelta(minutes=minutes), st.sampled_from(CLOCKS), st.integers(0, 300)
)


def whole(low: int, high: int) -> st.SearchStrategy[int]:
    return st.integers(low, high) | st.sampled_from([low, high])


def decimals(digits: int, scale: int) -> st.SearchStrategy[Decimal]:
    return st.integers(-(10**digits) + 1, 10**digits - 1).map(lambda value: Decimal(value).scaleb(-scale))


KINDS: dict[str, tuple[pa.DataType, st.SearchStrategy[object]]] = {
    **{f"int{b}": (getattr(pa, f"int{b}")(), whole(-(2 ** (b - 1)), 2 ** (b - 1) - 1)) for b in (8, 16, 32, 64)},
    **{f"uint{b}": (getattr(pa, f"uint{b}")(), whole(0, 2**b - 1)) for b in (8, 16, 32, 64)},
    "half": (pa.float16(), st.floats(width=16, allow_nan=False, allow_infinity=False).map(np.float16)),
    "float": (pa.float32(), st.floats(width=32, allow_nan=False, allow_infinity=False)),
    "double": (pa.float64(), st.floats(allow_nan=False, allow_infinity=False)),
    "bool": (pa.bool_(), st.booleans()),
    "decimal128": (pa.decimal128(20, 6), decimals(18, 6)),
    "decimal256": (pa.decimal256(60, 4), decimals(18, 4)),
    **{f"timedelta {unit}": (pa.duration(unit), st.integers(-(10**12), 10**12)) for unit in ("s", "ms", "us", "ns")},
    "zoned": (pa.timestamp("us", BERLIN), near_a_clock_change),
    "naive": (pa.timestamp("ns"), near_a_clock_change.map(lambda moment: moment.replace(tzinfo=None))),
    "date": (pa.date32(), st.dates()),
    "time": (pa.time64("us"), st.times()),
    "text": (pa.string(), WORDS),
    "large text": (pa.large_string(), WORDS),
    "bytes": (pa.binary(), WORDS.map(str.encode)),
    "category": (pa.dictionary(pa.int8(), pa.string()), WORDS),
    "ordered": (pa.dictionary(pa.int16(), pa.string(), ordered=True), WORDS),
    "numbers as categories": (pa.dictionary(pa.int32(), pa.int64()), st.integers(0, 5)),
}


def array_of(values: list[object], kind: pa.DataType) -> pa.Array:
    if not pa.types.is_dictionary(kind):
        return pa.array(values, kind)
    plain = pa.array(values, kind.value_type)
    unused = pa.array(["never"] if kind.value_type == "string" else [-9])
    levels = pa.concat_arrays([plain.drop_null().unique(), unused])
    codes = [None if value is None else levels.to_pylist().index(value) for value in values]
    return pa.DictionaryArray.from_arrays(pa.array(codes, kind.index_type), levels, ordered=kind.ordered)


@pytest.mark.parametrize("name", KINDS)
@given(data=st.data())
@SETTINGS
def test_a_column_decodes_to_itself_and_is_generated_in_its_type(name: str, data: st.DataObject) -> None:
    kind, values = KINDS[name]
    drawn = data.draw(st.lists(st.none() | values, min_size=10, max_size=30))
    dataset = dataset_of({"x": array_of(drawn, kind), "other": pa.array(np.arange(len(drawn)) / 7)})
    codec = TabularCodec(min_level_rows=1).fit(dataset)
    got = codec.decode(codec.encode(dataset, seed=0), label="yes", seed=0)
    assert got.table.schema.equals(dataset.table.schema, check_metadata=True)
    got.table.validate(full=True)
    assert same_cells(got.table.column("x"), dataset.table.column("x"))
    made = codec.decode(noise(codec, 20), label="no", seed=1).table.column("x")
    made.validate(full=True)
    assert made.type == kind
    if not pa.types.is_dictionary(kind):
        return
    assert set(made.to_pylist()) <= {*drawn, None}
    assert made.combine_chunks().dictionary.equals(dataset.table.column("x").combine_chunks().dictionary)


@given(st.lists(st.tuples(*(st.none() | values for _, values in KINDS.values())), min_size=8, max_size=14))
@settings(max_examples=5, phases=[Phase.generate], deadline=None, derandomize=True, database=None)
def test_balance_keeps_the_real_rows_value_for_value(rows: list[tuple[object, ...]]) -> None:
    columns = {name: array_of([row[k] for row in rows], KINDS[name][0]) for k, name in enumerate(KINDS)}
    table = pa.table({**columns, "vary": range(len(rows)), "label": ["p"] * (len(rows) - 3) + ["q"] * 3})
    result = synthgen.balance(table, label="label", engine="delta", holdout=0)
    assert result.dataset is not None
    got = result.dataset.table
    assert got.schema.equals(table.schema, check_metadata=True)
    got.validate(full=True)
    for name in columns:
        assert same_cells(got.column(name).slice(0, len(rows)), pa.chunked_array([columns[name]])), name


NULLABLE = {
    **{f"{sign}{bits}": whole(0, 2 ** (bits - 1) - 1) for sign in ("Int", "UInt") for bits in (8, 16, 32, 64)},
    "Float32": st.floats(width=32, allow_nan=False, allow_infinity=False),
    "Float64": st.floats(allow_nan=False, allow_infinity=False),
    "boolean": st.booleans(),
    "string": WORDS,
    "string[pyarrow]": WORDS,
    "int64[pyarrow]": st.integers(-(2**63), 2**63 - 1),
}


@pytest.mark.parametrize("dtype", NULLABLE)
@given(data=st.data())
@SETTINGS
def test_nullable_pandas_types_come_back(dtype: str, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.none() | NULLABLE[dtype], min_size=6, max_size=12))
    frame = pd.DataFrame({"x": pd.array(values, dtype=dtype)}).assign(label=np.arange(len(values)) % 3 == 0)
    back = load(frame, label="label").to_pandas()
    assert str(back["x"].dtype) == str(frame["x"].dtype)
    assert back["x"].isna().tolist() == [value is None for value in values]
    assert [None if pd.isna(value) else value for value in back["x"]] == values


@pytest.mark.parametrize("power", [-30, -6, 3, 12, 200])
def test_a_column_scaled_by_a_power_of_ten_is_normalised_alike(power: int) -> None:
    base = np.random.default_rng(0).lognormal(size=200).round(3)
    label = pa.array(np.where(np.arange(200) < 40, "yes", "no"))
    scores = []
    for factor in (1.0, 10.0**power):
        dataset = dataset_of({"x": pa.array(base * factor)}, label)
        codec = TabularCodec().fit(dataset)
        scores.append(codec.encode(dataset, seed=0).numeric)
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-5)


@pytest.mark.parametrize("engine", ["delta", "copula", "smote"])
def test_values_of_fewer_than_five_rows_are_never_generated(engine: str) -> None:
    n = 300
    words = np.resize(["often", "common"], n).astype(object)
    words[:4], words[60:64], words[100:105] = "rare of the class", "rare of the rest", "five"
    table = pa.table(
        {"w": words, "x": np.random.default_rng(0).normal(size=n), "label": (np.arange(n) < 60).astype(int)}
    )
    result = synthgen.balance(table, label="label", engine=engine, holdout=0)
    assert result.dataset is not None
    made = set(result.dataset.table.column("w").slice(n).to_pylist())
    assert made <= {"often", "common", "five"}


def test_ids_are_fresh_by_the_definition() -> None:
    n, rng = 120, np.random.default_rng(0)
    columns = {
        "user_id": rng.permutation(n) * 3,
        "code": [f"K-{k:04d}" for k in rng.permutation(n)],
        "large": 2**53 + 1 + rng.permutation(n),
        "uuid": [bytes(rng.bytes(16)).hex() for _ in range(n)],
    }
    plain = {"count": rng.permutation(n) * 3, "user_id_of_99": np.arange(n) // 2}
    label = (np.arange(n) < 20).astype(int)
    table = pa.table({**columns, **plain, "label": label})
    kinds = {column.name: column.kind for column in from_table(table, label="label").schema.columns}
    assert {name: kinds[name] for name in columns} == dict.fromkeys(columns, "id")
    assert {name: kinds[name] for name in plain} == dict.fromkeys(plain, "integer")
    few = from_table(table.slice(0, 99), label="label")
    assert next(column.kind for column in few.schema.columns if column.name == "user_id") == "integer"
    result = synthgen.balance(table, label="label", engine="delta", holdout=0)
    assert result.dataset is not None
    for name in columns:
        values = result.dataset.table.column(name).to_pylist()
        assert len(set(values)) == len(values) == 200


def test_a_frame_of_every_nullable_kind_is_one_arrow_schema() -> None:
    frame = pd.DataFrame({name: pd.array([None, None], dtype=name) for name in NULLABLE})
    assert from_frame(frame).num_columns == len(NULLABLE)


def test_decimals_of_negative_scale_are_refused_because_parquet_holds_none() -> None:
    table = pa.table({"x": pa.array([Decimal(1000)] * 9 + [Decimal(2000)], pa.decimal128(9, -3)), "label": [0, 1] * 5})
    with pytest.raises(DataError, match=r"column 'x' is of type decimal128.* negative scale; cast it"):
        synthgen.balance(table, label="label", engine="oversample", holdout=0)


@pytest.mark.parametrize("engine", ["delta", "cwgan-gp", "auto"])
def test_a_table_of_constants_has_nothing_to_learn_and_can_be_repeated(engine: str) -> None:
    columns = {"one": ["a"] * 60, "none": pa.nulls(60, pa.int32())}
    table = pa.table({**columns, "label": (np.arange(60) < 24).astype(int)})
    with pytest.raises(DataError, match=r"no column to learn from: one \(constant\), none \(constant\)"):
        synthgen.balance(table, label="label", engine=engine, holdout=0)
    result = synthgen.balance(table, label="label", engine="oversample", holdout=0)
    assert result.dataset is not None
    assert result.dataset.counts() == {0: 36, 1: 36}


@pytest.mark.parametrize("engine", ["delta", "copula", "smote"])
def test_a_part_whose_columns_are_constant_can_be_drawn_from(engine: str) -> None:
    # red when PoolEngine.sample asks for neighbours in a space without a dimension
    table = pa.table({"one": ["a"] * 60, "label": (np.arange(60) < 24).astype(int)})
    fitted = synthgen.make_engine(engine).fit(from_table(table, label="label"), seed=0)
    assert fitted.sample(1, 7, seed=0).table.column("one").to_pylist() == ["a"] * 7
