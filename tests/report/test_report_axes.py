"""Histograms of every type and size of number: shares that sum to one, round axes, few bars."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from synthgen.data.dataset import from_table
from synthgen.report.axes import make_axis
from synthgen.report.overlays import NAME_LETTERS, Overlay, overlay
from synthgen.report.text import clean, compact, percent

N = 200
RNG, EVEN = np.random.default_rng(0), np.arange(N)
COLUMNS = {
    "half": pa.array(RNG.normal(size=N).astype(np.float16)),
    "float": pa.array(RNG.normal(size=N).astype(np.float32)),
    "huge": pa.array(RNG.uniform(-1.7, 1.7, N) * 1e308),
    "tiny": pa.array(RNG.normal(size=N) * 1e-308),
    "wide": pa.array(10.0 ** RNG.uniform(-300, 300, N)),
    "log": pa.array(10.0 ** np.linspace(-3, 3, N)),
    "unsigned": pa.array(RNG.integers(2**63, 2**64, N, dtype=np.uint64)),
    "close": pa.array(2**60 + RNG.integers(0, 10, N)),
    "hair": pa.array(1 + RNG.integers(0, 12, N) * 2.0**-52),
    "neighbours": pa.array(1 + RNG.integers(0, 2, N) * 2.0**-52),
    "very close": pa.array(2**60 + RNG.integers(0, 1500, N)),
    "one value": pa.array([5] * (N - 1) + [None]),
    "one small value": pa.array([1e-9] * (N - 1) + [None]),
    "spike": pa.array(np.where(np.arange(N) < 190, 0.0, RNG.uniform(0, 1e6, N))),
    "missing": pa.array([None if k % 2 else 1.5 + k for k in range(N)]),
    "day": pa.array([dt.date(1, 1, 1), dt.date(9999, 12, 31)] * (N // 2)),
    "eons": pa.array(RNG.integers(-(2**62), 2**62, N), pa.timestamp("s")),
    "moment": pa.array(1_700_000_000 * 10**9 + RNG.integers(0, 1000, N), pa.timestamp("ns", "UTC")),
    "zoned": pa.array(1_700_000_000 * 10**6 + EVEN * 10**12 // N, pa.timestamp("us", "Europe/Paris")),
    "time": pa.array((EVEN * 86_399 // N).astype(np.int32), pa.time32("s")),
    "span": pa.array(EVEN * 10**4 - 10**6, pa.duration("ms")),
    "short span": pa.array(RNG.integers(0, 100, N), pa.duration("ns")),
    "decimal": pa.array([Decimal(int(k)) * 50 + Decimal("0.25") for k in EVEN], pa.decimal128(12, 2)),
    "truth": pa.array(RNG.random(N) < 0.5),
    "text": pa.array(["a", "b", "c", "d"] * (N // 4)),
    "bytes": pa.array([b"\xff\x00", b"x"] * (N // 2)),
    "levels": pa.array(["a", "b", None, "d"] * (N // 4)).dictionary_encode(),
    "numbered": pa.array([1, 2, 3, 4] * (N // 4)).dictionary_encode(),
}


def overlay_of(column: pa.Array, *, real: slice = slice(None), added: slice = slice(None)) -> Overlay:
    dataset = from_table(
        pa.table({"x": column, "k": [0.5, 1.5] * (N // 2), "label": ["a", "b"] * (N // 2)}),
        label="label",
        drop=("k",),
    )
    rows = np.arange(N)
    parts = dataset.take(rows[real]), dataset.take(rows[added])
    columns = [column for column in dataset.schema.columns if column.name == "x"]
    return overlay(*parts, columns)[0]


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS.keys())
@pytest.mark.parametrize("added", [slice(None), slice(0, 0), slice(3, 7)], ids=["all", "none", "few"])
def test_shares_sum_to_one_in_few_bars(column: pa.Array, added: slice) -> None:
    # red when values outside the axis are dropped
    found = overlay_of(column, added=added)
    n_added = len(range(N)[added])
    for side, n in (("real", N), ("added", n_added)):
        if found.bars:
            shares = getattr(found.bars, side)
            assert 1 <= len(shares) <= 30
        else:
            shares = [getattr(level, side) for level in found.levels]
            assert 1 <= len(shares) <= 7
        assert sum(shares) == pytest.approx(1 if n else 0)
    assert 0 <= found.missing_real <= 1


def test_the_same_rows_give_the_same_outline() -> None:
    found = overlay_of(COLUMNS["float"])
    assert found.bars is not None
    assert found.bars.real == found.bars.added


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("zoned", ("2023-11-15", "2023-11-21", "2023-11-27")),
        ("time", ("00:00:00", "12:00:00", "23:59:59")),
        ("span", ("−18 min", "0 min", "18 min")),
        ("decimal", ("0", "5,000", "10,000")),
        ("log", ("0.001", "1", "1,000")),
    ],
)
def test_axes_are_written_as_people_read_them(name: str, labels: tuple[str, str, str]) -> None:
    # red when dates are left in their storage's unit, a decimal's scale is forgotten, or no axis is logarithmic
    bars = overlay_of(COLUMNS[name]).bars
    assert bars is not None
    assert bars.labels == labels


def test_whole_numbers_get_a_bar_each_labelled_under_it() -> None:
    # red when the middle label stands at the bar's edge
    axis = make_axis(np.array([0, 1, 2, 3] * 9), np.array([3.0]), pa.int64())
    assert axis.shares(np.array([0, 3, 3, 7])) == (0.25, 0.0, 0.0, 0.75)
    labels, middle = axis.labels()
    assert labels == ("0", "2", "3")
    assert middle == pytest.approx(2.5 / 4)


def test_one_far_value_neither_stretches_nor_shows_on_the_axis() -> None:
    # red with TAIL = 0: of few rows the outermost one would set the axis
    values = np.r_[np.linspace(0, 10, 40), 123_456.5]
    axis = make_axis(values, np.repeat(values, 5), pa.float64())
    assert axis.edges[-1] <= 20
    assert axis.shares(values)[-1] == pytest.approx(1 / 41)


def test_added_rows_outside_the_real_range_are_seen_there() -> None:
    # red when the axis follows the real rows alone
    real, added = np.linspace(0, 10, 400), np.linspace(8, 13, 400)
    axis = make_axis(real, added, pa.float64())
    shares = axis.shares(added)
    assert axis.edges[0] == 0
    assert axis.edges[-1] >= 13
    assert sum(share for share, edge in zip(shares, axis.edges, strict=False) if edge >= 10.5) > 0.35


def test_rare_levels_are_counted_but_not_named() -> None:
    # red with NAMED_FROM = 1
    column = pa.array(["often"] * 191 + ["five"] * 5 + ["four"] * 4)
    found = overlay_of(column)
    assert [level.name for level in found.levels] == ["often", "five", "1 other"]
    assert found.levels[-1].real == pytest.approx(4 / N)


def test_a_level_that_only_the_added_rows_have_is_among_the_others() -> None:
    # red when levels of either side are named
    column = pa.array(["a"] * 150 + ["b"] * 50)
    found = overlay_of(column, real=slice(0, 150), added=slice(100, 200))
    assert [(level.name, level.real, level.added) for level in found.levels] == [("a", 1.0, 0.5), ("1 other", 0.0, 0.5)]


def test_long_tables_are_read_in_even_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    # red when the first rows stand for all
    monkeypatch.setattr("synthgen.report.overlays.MAX_ROWS", 20)
    found = overlay_of(pa.array(["a"] * 100 + ["b"] * 100))
    assert [level.real for level in found.levels] == [0.5, 0.5]


def test_text_is_cleaned_and_bounded() -> None:
    assert clean("a\u202eb\x00c\u200dd") == "a\ufffdb\ufffdc\u200dd"
    assert clean("x" * 99, NAME_LETTERS) == "x" * (NAME_LETTERS - 1) + "…"
    assert (percent(0.0), percent(0.0004), percent(0.5), percent(1.0)) == ("0 %", "<0.1 %", "50 %", "100 %")
    assert (compact(-0.0), compact(12_345.6), compact(-0.5)) == ("0", "12,346", "−0.5")
