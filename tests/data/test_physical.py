"""Arrow columns to numbers and back: exact for every type, wherever the values lie in memory."""

from __future__ import annotations

import datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthgen.data.physical import flat, from_physical, is_number, limits, sorted_unique, to_physical
from synthgen.errors import DataError

UNITS = ("s", "ms", "us", "ns")
INTEGERS = (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())
TEMPORAL = (
    pa.date32(),
    pa.date64(),
    pa.time32("s"),
    pa.time32("ms"),
    pa.time64("us"),
    pa.time64("ns"),
    *(pa.timestamp(unit) for unit in UNITS),
    *(pa.timestamp(unit, zone) for unit in UNITS for zone in ("UTC", "America/New_York")),
    *(pa.duration(unit) for unit in UNITS),
)
FLOATS = (pa.float16(), pa.float32(), pa.float64())
DECIMALS = (
    pa.decimal32(9, 2),
    pa.decimal32(5, -2),
    pa.decimal64(18, 18),
    pa.decimal64(18, 0),
    pa.decimal128(18, 4),
    pa.decimal128(38, 10),
    pa.decimal128(12, -3),
    pa.decimal256(76, 5),
    pa.decimal256(40, -4),
)
DAY_MS = 86_400_000
SETTINGS = settings(max_examples=12, deadline=None, database=None, derandomize=True)


def stored(kind: pa.DataType) -> st.SearchStrategy[int]:
    """Every number that the type's memory can hold and that means something."""
    if pa.types.is_boolean(kind):
        return st.integers(0, 1)
    if pa.types.is_integer(kind):
        info = np.iinfo(kind.to_pandas_dtype())
        return st.integers(int(info.min), int(info.max))
    if pa.types.is_decimal(kind):
        digits = min(kind.precision, 18)
        return st.integers(-(10**digits) + 1, 10**digits - 1)
    if pa.types.is_date64(kind):
        return st.integers(-700_000, 2_900_000).map(lambda day: day * DAY_MS)
    if pa.types.is_time(kind):
        return st.integers(0, 86_400 * {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[kind.unit] - 1)
    bits = kind.bit_width
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def array_of(values: list[int | None], kind: pa.DataType) -> pa.Array:
    """An array that was built without the code under test."""
    if pa.types.is_decimal(kind):
        scaled = [None if value is None else Decimal(value).scaleb(-kind.scale) for value in values]
        return pa.array(scaled, kind)
    if pa.types.is_temporal(kind):
        memory = pa.int32() if kind.bit_width == 32 else pa.int64()
        return pa.array(values, memory).view(kind)
    return pa.array(
        [None if value is None else bool(value) for value in values] if kind == pa.bool_() else values, kind
    )


def layouts(array: pa.Array) -> list[pa.Array | pa.ChunkedArray]:
    """The same values as they lie in files, slices and concatenations."""
    padded = pa.concat_arrays([array.slice(0, 1), array, array.slice(0, 1)]).slice(min(1, len(array)), len(array))
    half = len(array) // 2
    return [
        array,
        padded,
        pa.chunked_array([array]),
        pa.chunked_array([array.slice(0, half), array.slice(half)], type=array.type),
        pa.chunked_array([array.slice(0, 0), array], type=array.type),
    ]


@pytest.mark.parametrize("kind", [*INTEGERS, pa.bool_(), *TEMPORAL, *DECIMALS], ids=str)
@given(data=st.data())
@SETTINGS
def test_values_round_trip_exactly(kind: pa.DataType, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.none() | stored(kind), max_size=8))
    array = array_of(values, kind)
    for layout in layouts(array):
        physical = to_physical(layout)
        assert physical.values.dtype == (np.uint64 if pa.types.is_unsigned_integer(kind) else np.int64)
        assert physical.values.tolist() == [value or 0 for value in values]
        assert physical.valid.tolist() == [value is not None for value in values]
        back = from_physical(physical.values, physical.valid, kind)
        back.validate(full=True)
        assert back.type == kind
        assert back.equals(array)


@pytest.mark.parametrize("kind", FLOATS, ids=str)
@given(data=st.data())
@SETTINGS
def test_floats_round_trip_exactly_and_nan_counts_as_missing(kind: pa.DataType, data: st.DataObject) -> None:
    finite = st.floats(width=kind.bit_width, allow_nan=True)
    values = data.draw(st.lists(st.none() | finite, max_size=8))
    array = pa.array([None if v is None else np.float16(v) if kind == pa.float16() else v for v in values], kind)
    wanted = [None if value is None or np.isnan(value) else value for value in values]
    for layout in layouts(array):
        physical = to_physical(layout)
        assert physical.values.dtype == np.float64
        assert physical.valid.tolist() == [value is not None for value in wanted]
        back = from_physical(physical.values, physical.valid, kind)
        assert back.type == kind
        assert back.to_pylist() == wanted


@pytest.mark.parametrize("kind", [*INTEGERS, pa.bool_(), *TEMPORAL, *DECIMALS, *FLOATS], ids=str)
def test_columns_without_values_round_trip(kind: pa.DataType) -> None:
    for column in (pa.array([], kind), pa.chunked_array([], kind), pa.nulls(3, kind)):
        physical = to_physical(column)
        assert len(physical.values) == len(physical.valid) == len(column)
        assert not physical.values.any()
        assert from_physical(physical.values, physical.valid, kind).equals(flat(column))


@pytest.mark.parametrize(
    "kind",
    [pa.decimal128(38, 0), pa.decimal128(38, 38), pa.decimal256(76, 0), pa.decimal256(76, 70)],
    ids=str,
)
def test_decimals_beyond_eighteen_digits_are_refused(kind: pa.DataType) -> None:
    widest = Decimal(f"{'9' * kind.precision}E-{kind.scale}")
    with pytest.raises(DataError, match=r"decimal\d+\(.*more than 18 digits; cast it to double"):
        to_physical(pa.array([widest], kind))


def test_decimals_up_to_the_ends_of_64_bits_are_exact() -> None:
    ends = pa.array([Decimal(2**63 - 1), Decimal(-(2**63))], pa.decimal128(38, 0))
    physical = to_physical(ends)
    assert physical.values.tolist() == [2**63 - 1, -(2**63)]
    assert from_physical(physical.values, physical.valid, ends.type).equals(ends)
    with pytest.raises(DataError, match="18 digits"):
        to_physical(pa.array([Decimal(2**63)], pa.decimal128(38, 0)))


@pytest.mark.parametrize("kind", [pa.string(), pa.binary(), pa.list_(pa.int64()), pa.null()], ids=str)
def test_what_is_no_number_is_refused(kind: pa.DataType) -> None:
    assert not is_number(kind)
    with pytest.raises(DataError, match="holds no numbers"):
        to_physical(pa.nulls(2, kind))


def test_the_physical_unit_is_the_type_s_own() -> None:
    moment = pa.array([datetime.datetime(1970, 1, 1, 0, 0, 1)], pa.timestamp("ms"))
    assert to_physical(moment).values.tolist() == [1_000]
    assert to_physical(pa.array([Decimal("12.30")], pa.decimal128(5, 2))).values.tolist() == [1_230]


def test_limits_are_those_of_integer_types_alone() -> None:
    assert limits(pa.int8()) == (-128, 127)
    assert limits(pa.uint64()) == (0, 2**64 - 1)
    assert limits(pa.float32()) is None
    assert limits(pa.date32()) is None


@given(values=st.lists(st.none() | st.integers(-3, 3) | st.floats(allow_infinity=True, allow_nan=True)))
def test_distinct_values_are_counted_as_numpy_counts_them(values: list[float | None]) -> None:
    column = to_physical(pa.array([None if value is None else float(value) for value in values], pa.float64()))
    distinct, counts = column.distinct()
    expected, times = np.unique(column.values[column.valid], return_counts=True)
    assert np.array_equal(distinct, expected)
    assert np.array_equal(counts, times)
    assert counts.sum() == column.valid.sum()


@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 5), max_size=50))
def test_sorted_unique_is_numpys_unique_and_leaves_what_it_is_given(values: list[int]) -> None:
    given_values = np.array(values, dtype=np.uint64)
    found = sorted_unique(given_values)
    assert found.dtype == np.uint64
    assert found.tolist() == np.unique(given_values).tolist()
    assert given_values.tolist() == values
