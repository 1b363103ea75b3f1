"""Each column of a class, real rows beside added ones, as shares of rows: never a row, never a rare value's name.

May import data and its own room. Histogram edges are rounded and outliers fall into the outermost bars, so that no
single row's value can be read from an axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyarrow import types

from synthgen.data.dataset import TabularDataset
from synthgen.data.physical import flat, is_number, to_physical
from synthgen.data.schema import Column
from synthgen.report.axes import make_axis
from synthgen.report.text import clean

TOP_LEVELS = 6
NAMED_FROM = 5
MAX_ROWS = 50_000
NAME_LETTERS = 32


@dataclass(frozen=True)
class Bars:
    """A histogram: axis labels at the low end, at ``middle`` (share of the width) and at the high end; shares of the
    known rows in each bin."""

    labels: tuple[str, str, str]
    middle: float
    real: tuple[float, ...]
    added: tuple[float, ...]


@dataclass(frozen=True)
class Level:
    """One category with its share of known rows on both sides."""

    name: str
    real: float
    added: float


@dataclass(frozen=True)
class Overlay:
    """One column: ``bars`` for numbers and dates, ``levels`` for categories; both empty where no value is known."""

    column: str
    kind: str
    missing_real: float
    missing_added: float
    bars: Bars | None = None
    levels: tuple[Level, ...] = ()


def overlay(real: TabularDataset, added: TabularDataset, columns: Sequence[Column]) -> tuple[Overlay, ...]:
    """Return the ``columns`` of real rows of a class beside added ones; at most 50,000 evenly spaced rows of each."""
    real, added = _thinned(real), _thinned(added)
    return tuple(_overlay(real.column(c.name), added.column(c.name), c) for c in columns)


def _thinned(dataset: TabularDataset) -> TabularDataset:
    n = len(dataset)
    return dataset if n <= MAX_ROWS else dataset.take(np.linspace(0, n - 1, MAX_ROWS).astype(np.int64))


def _overlay(real: pa.ChunkedArray, added: pa.ChunkedArray, column: Column) -> Overlay:
    name, kind = column.name, column.kind
    if kind in ("categorical", "boolean") or not is_number(column.type):
        levels = _levels(real, added, named_from=1 if kind == "boolean" else NAMED_FROM)
        return Overlay(name, kind, _gap(real, real.null_count), _gap(added, added.null_count), levels=levels)
    mine, theirs = _numbers(real), _numbers(added)
    missing = _gap(real, len(real) - len(mine)), _gap(added, len(added) - len(theirs))
    if not len(mine) + len(theirs):
        return Overlay(name, kind, *missing)
    axis = make_axis(mine, theirs, column.type)
    labels, middle = axis.labels()
    return Overlay(name, kind, *missing, Bars(labels, middle, axis.shares(mine), axis.shares(theirs)))


def _gap(column: pa.ChunkedArray, missing: int) -> float:
    return missing / len(column) if len(column) else 0.0


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    """Known values as float64: decimals as their value, dates and durations in seconds."""
    numbers = to_physical(column)
    values = numbers.values[numbers.valid].astype(np.float64)
    return np.asarray(values * _unit(column.type))


def _unit(kind: pa.DataType) -> float:
    if types.is_decimal(kind):
        return float(10.0**-kind.scale)
    if types.is_date32(kind):
        return 86_400.0
    if types.is_date64(kind):
        return 1e-3
    if types.is_temporal(kind):
        return {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}[kind.unit]
    return 1.0


def _levels(real: pa.ChunkedArray, added: pa.ChunkedArray, *, named_from: int) -> tuple[Level, ...]:
    """Return the commonest levels on either side, then the rest as one; a level is named from five real rows on."""
    mine, theirs = _counted(real), _counted(added)
    n_mine, n_theirs = max(1, sum(mine.values())), max(1, sum(theirs.values()))
    shares = {name: (n / n_mine, theirs.get(name, 0) / n_theirs) for name, n in mine.items() if n >= named_from}
    top = sorted(shares, key=lambda name: (-max(shares[name]), name))[:TOP_LEVELS]
    rows = [Level(clean(name, NAME_LETTERS), *shares[name]) for name in top]
    if others := len({*mine, *theirs} - set(top)):
        named = [sum(side.get(name, 0) for name in top) for side in (mine, theirs)]
        rest = (sum(mine.values()) - named[0]) / n_mine, (sum(theirs.values()) - named[1]) / n_theirs
        rows.append(Level(f"{others} other{'s' if others > 1 else ''}", *rest))
    return tuple(rows)


def _counted(column: pa.ChunkedArray) -> dict[str, int]:
    array = flat(column.unify_dictionaries() if types.is_dictionary(column.type) else column)
    if types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    counted = array.drop_null().value_counts()
    out: dict[str, int] = {}
    for value, n in zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True):
        name = _text(value)
        out[name] = out.get(name, 0) + n
    return out


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.hex()
    return str(value).lower() if isinstance(value, bool) else str(value)
