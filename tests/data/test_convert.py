"""A column of another file in the type of ours: cast where no value changes, refused with the reason where one does."""

from __future__ import annotations

import datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthgen.data.convert import same_values

DAY = datetime.date(2024, 3, 31)
MOMENT = datetime.datetime(2024, 3, 31, 1, 30)
BERLIN, UTC = pa.timestamp("us", "Europe/Berlin"), pa.timestamp("ns", "UTC")
CATEGORY = pa.dictionary(pa.int8(), pa.string())


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (pa.array([1.5, None, 2.0], pa.float32()), pa.float64()),
        (pa.array([1.5, None, float("nan")], pa.float64()), pa.float32()),
        (pa.array([0.1, 3.4028235e38, -1e-3], pa.float64()), pa.float32()),  # the shortest digits of a float32
        (pa.array([1, None, 300], pa.int64()), pa.int16()),
        (pa.array([1.0, None, 300.0]), pa.int64()),
        (pa.array([1, None, 3], pa.int8()), pa.float64()),
        (pa.array([12.3, None, 0.07]), pa.decimal128(9, 2)),
        (pa.array([Decimal("1.50"), None], pa.decimal128(9, 2)), pa.decimal128(12, 4)),
        (pa.array(["a", None, "b"]), CATEGORY),
        (pa.array(["a", None, "b"]).dictionary_encode(), pa.string()),
        (pa.array(["a", None, "b"]).dictionary_encode(), pa.dictionary(pa.int16(), pa.string(), ordered=True)),
        (pa.array(["a", None]), pa.large_string()),
        (pa.array([b"a", None]), pa.large_binary()),
        (pa.array([DAY, None]), pa.timestamp("ns")),
        (pa.array([datetime.datetime(2024, 3, 31), None], pa.timestamp("s")), pa.date32()),
        (pa.array([MOMENT, None], pa.timestamp("s")), pa.timestamp("us")),
        (pa.array([MOMENT, None], UTC), BERLIN),
        (pa.nulls(3), pa.float64()),
        (pa.nulls(3), CATEGORY),
        (pa.nulls(3, pa.string()), pa.int64()),
    ],
    ids=str,
)
def test_a_type_is_changed_where_no_value_is(column: pa.Array, kind: pa.DataType) -> None:
    got = same_values(pa.chunked_array([column]), kind)
    assert got.type == kind
    got.validate(full=True)
    wanted = column.to_pylist()
    for value, mine in zip(got.to_pylist(), wanted, strict=True):
        if isinstance(mine, float) and mine != mine:
            assert value != value
        elif isinstance(mine, float):
            assert float(value) == pytest.approx(mine, rel=1e-6)
        elif mine is not None and pa.types.is_timestamp(kind) and type(mine) is datetime.date:
            assert value.date() == mine
        elif mine is not None and pa.types.is_date(kind):
            assert value == mine.date()
        else:
            assert value == mine


@pytest.mark.parametrize(
    ("column", "kind", "reason"),
    [
        (pa.array([1.5, 2.0]), pa.int64(), "do not fit"),
        (pa.array([1, 300], pa.int64()), pa.int8(), "do not fit"),
        (pa.array([2**53 + 1, 1], pa.int64()), pa.float64(), "do not fit|would change"),
        (pa.array([0.1 + 0.2, 1.0]), pa.float32(), "1 of its 2 values would change"),
        (pa.array([1.234, 1.0]), pa.decimal128(9, 2), "would change|do not fit"),
        (pa.array(["1", "2"]), pa.int64(), "text cannot stand for a number"),
        (pa.array([1, 2]), pa.string(), "a number cannot stand for text"),
        (pa.array([1, 0]), pa.bool_(), "a number cannot stand for a truth value"),
        (pa.array([MOMENT]), BERLIN, "a date cannot stand for a moment in a time zone"),
        (pa.array([MOMENT]), pa.date32(), "do not fit|would change"),
        (pa.array([[1]]), pa.int64(), "cannot stand for a number"),
        (pa.array([str(k) for k in range(200)]), CATEGORY, "more than .* can count"),
        (pa.array([5]), pa.duration("s"), "a number cannot stand for a span of time"),
    ],
    ids=str,
)
def test_what_would_change_a_value_is_refused_with_the_reason(column: pa.Array, kind: pa.DataType, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        same_values(pa.chunked_array([column]), kind)


@given(st.lists(st.none() | st.just(float("nan")) | st.floats(width=32, allow_nan=False), min_size=1, max_size=20))
@settings(max_examples=60, deadline=None)
def test_floats_written_as_text_come_back_to_the_bit(values: list[float | None]) -> None:
    given = pa.array(values, pa.float32())
    texts = [None if value is None else str(np.float32(value)) for value in values]
    read = pa.array([None if text is None else float(text) for text in texts], pa.float64())
    got = same_values(pa.chunked_array([read]), pa.float32()).combine_chunks()
    assert got.to_numpy(zero_copy_only=False).tobytes() == given.to_numpy(zero_copy_only=False).tobytes()
