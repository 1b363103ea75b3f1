"""What a reader of the result should know about a table that can be balanced, but may not be what its owner thinks.

May import data.dataset, data.split's bound on duplicates, numpy and pyarrow. Notes name columns and classes, no cells.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from synthgen.data.dataset import TabularDataset, text_of
from synthgen.data.kinds import Dataset
from synthgen.data.physical import flat, is_number, sorted_unique, to_physical
from synthgen.data.schema import Column, Label, index_columns
from synthgen.data.split import MAX_DUPLICATES

LOOKED_AT = 200_000
WIDE = 1_000
LEAK = 0.99
_LEAK_ROWS = 20
_FEW_LEVELS = 50
_FEW_VALUES = 10
_FEW_SHARE = 0.1


def notes_of(dataset: Dataset) -> tuple[str, ...]:
    """Return one line per thing worth knowing: how it was read, labels that look alike, empty and id columns,
    a feature that gives the label away, repeated rows, few combinations, width.

    At most 200,000 rows, evenly spread, are looked at. Of images, how they were read.
    """
    if not isinstance(dataset, TabularDataset):
        return dataset.notes
    step = -(-len(dataset) // LOOKED_AT)
    rows = dataset if step <= 1 else dataset.take(np.arange(0, len(dataset), step))
    found = (*dataset.notes, *_labels(dataset), *_columns(dataset), *_leaks(rows), *_repeats(rows))
    return tuple(found)


def _labels(dataset: TabularDataset) -> Iterator[str]:
    kind = dataset.schema.arrow.field(dataset.label).type
    if types.is_floating(kind):
        yield f"label column {dataset.label!r} is stored as {kind}; 1 and 1.0 are one class"
    seen: dict[str, Label] = {}
    for label in dataset.classes:
        if not isinstance(label, str):
            continue
        folded = " ".join(unicodedata.normalize("NFC", label).casefold().split())
        twin = seen.setdefault(folded, label)
        if twin == label:
            continue
        composed = {unicodedata.normalize("NFC", str(text)) for text in (twin, label)}
        how = "in how their accents are stored (NFC, NFD)" if len(composed) == 1 else "in case or spaces"
        yield f"classes {twin!r} and {label!r} differ only {how}; if they are one class, make them alike first"


def _columns(dataset: TabularDataset) -> Iterator[str]:
    index = index_columns(dataset.schema.arrow)
    for column in dataset.schema.columns:
        values = dataset.table.column(column.name)
        if column.kind == "constant" and not _valid(values).any():
            yield f"column {column.name!r} has no value in any row; it stays empty"
        if column.kind == "id" and column.name not in index:
            yield f"column {column.name!r} looks like an id: generated rows get new values of the same form"
    if len(dataset.schema.columns) > WIDE:
        yield (
            f"the table has {len(dataset.schema.columns):,} columns; time and memory grow with them: "
            "leave out what no model uses with --drop"
        )


def _valid(column: pa.ChunkedArray) -> np.ndarray:
    """(N,) bool: where a value is; NaN is none."""
    valid = np.asarray(column.is_valid())
    return to_physical(column).valid if types.is_floating(column.type) else valid


def _leaks(rows: TabularDataset) -> Iterator[str]:
    codes, n_classes = rows.label_codes, len(rows.classes)
    counts = np.bincount(codes, minlength=n_classes)
    judged = [k for k in np.argsort(counts)[:20] if _LEAK_ROWS <= counts[k] <= len(rows) - _LEAK_ROWS]
    for column in rows.schema.features if judged else ():
        values, ordered = _ranks(rows.table.column(column.name))
        n_levels = int(values.max()) + 1
        if not ordered and n_levels > _FEW_LEVELS:
            continue
        every = np.bincount(values, minlength=n_levels)
        for k in judged:
            own = np.bincount(values[codes == k], minlength=n_levels)
            found = _auc(own, every - own, ordered=ordered)
            if found > LEAK:
                yield (
                    f"column {column.name!r} alone tells class {text_of(rows.classes[k])!r} apart (AUC {found:.3f}): "
                    "if it is known only after the label is, leave it out with --drop"
                )
                break


def _ranks(column: pa.ChunkedArray) -> tuple[np.ndarray, bool]:
    """(N,) ranks of the values, missing ones first; whether the order means anything."""
    ordered = is_number(column.type) and not types.is_boolean(column.type)
    if ordered:
        physical = to_physical(column)
        _, ranks = np.unique(physical.values, return_inverse=True)
        return np.where(physical.valid, ranks + 1, 0), True
    coded = flat(column)
    if not types.is_dictionary(column.type):
        coded = pc.dictionary_encode(coded)
    codes = pc.fill_null(coded.indices.cast(pa.int64()), -1)
    return np.asarray(codes.to_numpy(zero_copy_only=False)) + 1, False


def _auc(own: np.ndarray, rest: np.ndarray, *, ordered: bool) -> float:
    """Area under the curve of a column's values, or of each level's share of the class; ties count half."""
    order = np.arange(len(own)) if ordered else np.argsort(own / np.maximum(1, own + rest), kind="stable")
    own, rest = own[order].astype(float), rest[order].astype(float)
    below = np.cumsum(rest) - rest
    area = float((own * (below + rest / 2)).sum() / (own.sum() * rest.sum()))
    return max(area, 1 - area)


def _repeats(rows: TabularDataset) -> Iterator[str]:
    n = len(rows)
    distinct = len(sorted_unique(rows.feature_hashes()))
    discrete = all(_discrete(column, rows) for column in rows.schema.features)
    if rows.schema.features and discrete and distinct <= _FEW_SHARE * n:
        yield (
            f"all features are categories and take {distinct} combinations in {n} rows: generated rows repeat real "
            "ones whatever makes them, and figures on copies say little about privacy"
        )
    elif 1 - distinct / n > MAX_DUPLICATES:
        share = 1 - distinct / n
        yield f"{share:.0%} of the rows have the features of another row; --group keeps those of one origin together"


def _discrete(column: Column, rows: TabularDataset) -> bool:
    if column.kind in ("categorical", "boolean"):
        return True
    return len(sorted_unique(to_physical(rows.table.column(column.name)).values)) <= _FEW_VALUES
