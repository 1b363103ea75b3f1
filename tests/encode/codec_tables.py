"""Small tables of every type, and the noise that a model might give: what the codec tests share."""

from __future__ import annotations

import datetime as dt
import decimal

import numpy as np
import pyarrow as pa

from synthgen.data.dataset import TabularDataset, from_table
from synthgen.encode.base import EncodedTable
from synthgen.encode.tabular import TabularCodec

N = 240
RNG = np.random.default_rng(7)
HOLES = RNG.random(N) < 0.15


def some(values: list[object], size: int = N) -> list[object]:
    return [values[i] for i in np.random.default_rng(1).integers(0, len(values), size)]


def holes(values: list[object]) -> list[object]:
    return [None if hole else value for value, hole in zip(values, HOLES, strict=True)]


def _columns() -> dict[str, pa.Array]:
    start = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    moments = [start + dt.timedelta(seconds=int(s)) for s in RNG.integers(0, 10**8, N)]
    naive = [moment.replace(tzinfo=None) for moment in moments]
    decimals = [decimal.Decimal(int(i)) / 100 for i in RNG.integers(-10_000, 10_000, N)]
    colours = pa.array(["blue", "red", "never used", "green"])
    picks = pa.array(np.random.default_rng(3).choice([1, 3, 0], N), type=pa.int8(), mask=HOLES)
    columns = {
        "double": pa.array(RNG.normal(size=N)),
        "double with holes": pa.array(holes(RNG.normal(size=N).tolist())),
        "nan": pa.array(np.where(HOLES, np.nan, RNG.normal(size=N))),
        "float": pa.array(RNG.normal(size=N).astype(np.float32)),
        "half": pa.array(RNG.normal(size=N).astype(np.float16)),
        "nan codes": pa.array(np.where(HOLES, np.nan, np.arange(N) % 3)),
        "half codes": pa.array(np.array(some([0.5, 1.5]), dtype=np.float16)),
        "few numbers with holes": pa.array(holes(some([0, 10, 20]))),
        "bool": pa.array(some([True, False])),
        "bool with holes": pa.array(holes(some([True, False]))),
        "string": pa.array(some(["x", "y", "Zürich", ""])),
        "string with holes": pa.array(holes(some(["x", "y"]))),
        "large_string": pa.array(some(["x", "y"]), type=pa.large_string()),
        "binary": pa.array(some([b"x", b"\x00y"])),
        "large_binary": pa.array(some([b"x", b"\xffy"]), type=pa.large_binary()),
        "fixed binary": pa.array(some([b"xx", b"yy"]), type=pa.binary(2)),
        "dictionary": pa.DictionaryArray.from_arrays(picks, colours),
        "ordered": pa.DictionaryArray.from_arrays(picks, colours, ordered=True),
        "dictionary of ints": pa.array(some([30, 10])).dictionary_encode(),
        "date32": pa.array([moment.date() for moment in moments]),
        "date64": pa.array([moment.date() for moment in moments], type=pa.date64()),
        "time32": pa.array([moment.time() for moment in moments], type=pa.time32("s")),
        "time64": pa.array(holes([moment.time() for moment in moments]), type=pa.time64("us")),
        "timedelta": pa.array(
            [dt.timedelta(seconds=int(s)) for s in RNG.integers(0, 10**6, N)], type=pa.duration("ms")
        ),
        "decimal": pa.array(decimals, type=pa.decimal128(10, 2)),
        "wide decimal": pa.array(holes(list(decimals)), type=pa.decimal256(40, 3)),
        "constant": pa.array([3.5] * N),
        "constant string": pa.array(["one"] * N),
        "all missing": pa.nulls(N, pa.float32()),
        "null": pa.nulls(N),
        "missing dictionary": pa.DictionaryArray.from_arrays(pa.nulls(N, pa.int8()), colours),
        "constant nan": pa.array([np.nan] * N),
    }
    for narrow in ("decimal32", "decimal64"):
        if hasattr(pa, narrow):
            columns[narrow] = pa.array(holes(list(decimals)), type=getattr(pa, narrow)(7, 2))
    for bits in (8, 16, 32, 64):  # every value twice: unique integers past 2**53 are ids
        signed = RNG.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), N // 2)
        columns[f"int{bits}"] = pa.array(np.tile(signed, 2), type=f"int{bits}")
        columns[f"uint{bits}"] = pa.array([2**bits - 1 - i % (N // 2) for i in range(N)], type=f"uint{bits}")
    for unit in ("s", "ms", "us", "ns"):
        columns[f"timestamp {unit}"] = pa.array(naive, type=pa.timestamp(unit))
        columns[f"zoned {unit}"] = pa.array(holes(list(moments)), type=pa.timestamp(unit, "America/New_York"))
    return columns


COLUMNS = _columns()


def dataset_of(columns: dict[str, pa.Array], label: pa.Array | None = None) -> TabularDataset:
    n = len(next(iter(columns.values())))
    label = pa.array((["no"] * 4 + ["yes"]) * n)[:n] if label is None else label
    fields = [
        pa.field(name, array.type, nullable=name != "nan", metadata={"unit": "km"}) for name, array in columns.items()
    ]
    schema = pa.schema([*fields, pa.field("label", label.type)], metadata={"made": "by hand"})
    return from_table(pa.table([*columns.values(), label], schema=schema), label="label")


def same_cells(one: pa.ChunkedArray, other: pa.ChunkedArray) -> bool:
    """Equal, NaN counted as equal to NaN."""
    if one.type != other.type:
        return False
    if pa.types.is_floating(one.type) and one.null_count == 0:
        a, b = (column.cast(pa.float64()).to_numpy() for column in (one, other))
        return bool(np.array_equal(a, b, equal_nan=True)) and other.null_count == 0
    return bool(one.equals(other))


def noise(codec: TabularCodec, n: int, seed: int = 0) -> EncodedTable:
    rng, layout = np.random.default_rng(seed), codec.layout
    codes = [rng.integers(0, size, n) for size in layout.levels]
    stacked = np.stack(codes, axis=1) if codes else np.empty((n, 0))
    return EncodedTable(rng.normal(size=(n, layout.n_numeric)).astype(np.float32), stacked.astype(np.int32))
