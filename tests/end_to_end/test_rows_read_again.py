"""Rows that a run lets go of, or that another process asks for: read again they are the same, or the run stops."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from road_kit import frame

import synthgen
from synthgen import pipeline
from synthgen.config import make_config
from synthgen.data.dataset import TabularDataset
from synthgen.errors import DataError
from synthgen.job import prepare
from synthgen.quality.gate import Gate
from synthgen.run import Run

N = 240
SOME = np.random.default_rng(0).integers(0, 3, N)
OTHER = np.arange(N) / 7
LABEL = pa.array((["no"] * 4 + ["yes"]) * N)[:N]
PLAIN = {
    **{f"int{bits}": pa.array(SOME, f"int{bits}") for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": pa.array(SOME, f"uint{bits}") for bits in (8, 16, 32, 64)},
    "half": pa.array(SOME.astype(np.float16)),
    "float": pa.array(SOME, pa.float32()),
    "nan": pa.array(np.where(SOME == 0, np.nan, SOME)),
    "double": pa.array(np.where(SOME == 0, None, SOME).tolist(), pa.float64()),
    "bool": pa.array(SOME > 0),
    "string": pa.array(["", "ä", "b"]).take(pa.array(SOME)),
    "large_string": pa.array(["", "ä", "b"], pa.large_string()).take(pa.array(SOME)),
    "binary": pa.array([b"", b"\xff", b"b"]).take(pa.array(SOME)),
    "large_binary": pa.array([b"", b"\xff", b"b"], pa.large_binary()).take(pa.array(SOME)),
    "fixed": pa.array([b"xx", b"yy", b"zz"], pa.binary(2)).take(pa.array(SOME)),
    "date32": pa.array(SOME, pa.int32()).cast(pa.date32()),
    "date64": pa.array(SOME * 86_400_000).cast(pa.date64()),
    "time32 s": pa.array(SOME, pa.int32()).cast(pa.time32("s")),
    "time32 ms": pa.array(SOME, pa.int32()).cast(pa.time32("ms")),
    "time64 us": pa.array(SOME).cast(pa.time64("us")),
    "time64 ns": pa.array(SOME).cast(pa.time64("ns")),
    **{f"timestamp {unit}": pa.array(SOME).cast(pa.timestamp(unit)) for unit in ("s", "ms", "us", "ns")},
    **{f"zoned {unit}": pa.array(SOME).cast(pa.timestamp(unit, "Europe/Berlin")) for unit in ("s", "ms", "us", "ns")},
    **{f"duration {unit}": pa.array(SOME).cast(pa.duration(unit)) for unit in ("s", "ms", "us", "ns")},
    **{
        kind: pa.array([Decimal(int(value)) for value in SOME], getattr(pa, kind)(9, 2))
        for kind in ("decimal32", "decimal64", "decimal128", "decimal256")
        if hasattr(pa, kind)
    },
    "null": pa.nulls(N),
}
SOME_CODES = pa.array(np.where(SOME == 2, None, SOME).tolist(), pa.int8())
LEVELS = {
    "text": pa.array(["b", "a", "never"]),
    "large text": pa.array(["b", "a", "never"], pa.large_string()),
    "bytes": pa.array([b"b", b"a"]),
    "whole": pa.array([3, 1, 2]),
    "double": pa.array([0.5, 1.5]),
    "bool": pa.array([True, False]),
    "moments": pa.array([2, 1]).cast(pa.timestamp("s")),
    "days": pa.array([0, 86_400_000]).cast(pa.date64()),
    "decimals": pa.array([Decimal("1.50"), Decimal("0.25")], pa.decimal128(9, 2)),
    "twice": pa.array(["a", "a", "b"]),
    "none": pa.array(["a", None, "b"]),
}
DICTIONARIES = {
    f"{name} as {code}{' ordered' if ordered else ''}": pa.DictionaryArray.from_arrays(
        SOME_CODES.cast(code), levels, ordered=ordered
    )
    for code, ordered in (("int8", False), ("uint16", True), ("int64", False))
    for name, levels in LEVELS.items()
}


def started(source: object, folder: Path, **options: object) -> Run:
    config = make_config({"label": "label", "engine": "oversample", "check": "holdout", **options})
    return pipeline.start(prepare(source, config), folder)


def again(run: Run) -> tuple[TabularDataset, TabularDataset, TabularDataset]:
    """The run's rows as they were, after it let go of them, and in a process that comes later."""
    before = run.dataset
    run.release()
    after = run.dataset
    assert after is not before
    return before, after, Run.open(run.folder).dataset


@pytest.mark.parametrize("name", [*PLAIN, *DICTIONARIES])
def test_a_table_from_memory_is_read_again_in_its_own_types(name: str, tmp_path: Path) -> None:
    """Red when the run's copy is parquet, which holds some types wider and dictionaries of text alone."""
    column = {**PLAIN, **DICTIONARIES}[name]
    fields = [pa.field("x", column.type, metadata={"unit": "km"}), pa.field("other", pa.float64(), nullable=False)]
    schema = pa.schema([*fields, pa.field("label", pa.string())], metadata={"made": "by hand"})
    before, *later = again(started(pa.table([column, OTHER, LABEL], schema=schema), tmp_path))
    assert str(before.table.column("x").to_pylist()) == str(column.to_pylist())  # of two NaN none equals the other
    for rows in later:
        assert rows.fingerprint() == before.fingerprint()
        assert rows.table.schema.equals(before.table.schema, check_metadata=True)
        assert rows.schema == before.schema


def test_a_frame_is_read_again_without_what_was_asked_at_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Red when --drop is asked of the run's copy, where the column is gone; or when another folder is looked in."""
    rows = frame().assign(days=pd.Categorical(np.arange(400) % 3), junk=1.5, label=frame()["fraud"])
    rows.loc[3, "x"] = np.inf
    rows["label"] = rows["label"].astype("Int64").mask(rows.index == 5)
    options = {"drop": ("junk", "fraud"), "categorical": ("calls",), "inf": "nan", "drop_unlabelled": True}
    monkeypatch.chdir(tmp_path)
    before, *later = again(started(rows, Path("run"), **options))
    monkeypatch.chdir("/")
    for got in (*later, Run.open(tmp_path / "run").dataset):
        assert len(got) == 399
        assert "junk" not in got.table.schema.names
        assert got.fingerprint() == before.fingerprint()
        assert got.notes == before.notes
        assert len(got.notes) == 2


def test_a_large_frame_is_checked_and_balanced_after_it_was_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Red when a run's own copy is not what it began with."""
    monkeypatch.setattr(pipeline, "Gate", partial(Gate, learners=("logistic",), repeats=1, resamples=400))
    monkeypatch.setattr("synthgen.quality.seen.most_seen", lambda n_classes, *, least: 100)
    released = []
    release = Run.release
    monkeypatch.setattr(Run, "release", lambda run: released.append(release(run)))
    rows = frame().assign(days=pd.Categorical(np.arange(400) % 3), junk=1.5)
    options = {"label": "fraud", "drop": ("junk",), "engine": "oversample", "check": "holdout", "ship": "all"}
    result = synthgen.balance(rows, jobs=1, gate="report-only", **options)
    assert released
    assert result.dataset is not None
    assert result.dataset.counts() == {0: 340, 1: 340}
    pd.testing.assert_frame_equal(result.dataset.to_pandas().head(400), rows.drop(columns="junk"))


@pytest.mark.parametrize("levels", ["none", "twice", "whole", "moments"])
def test_categories_that_parquet_does_not_hold_are_balanced_and_published(levels: str, tmp_path: Path) -> None:
    """Red when a null, or an entry that is there twice, stays in a dictionary."""
    column = DICTIONARIES[f"{levels} as int8"]
    table = pa.table({"x": column, "other": OTHER, "label": LABEL})
    result = synthgen.balance(table, label="label", engine="delta", holdout=0, out=tmp_path / "out")
    assert result.published
    real = synthgen.read_shards(tmp_path / "out").train.origin("real").to_arrow()
    rows = dict(zip(OTHER.tolist(), column.to_pylist(), strict=True))
    assert dict(zip(real["other"].to_pylist(), real["x"].to_pylist(), strict=True)) == rows


def test_an_entry_that_is_there_twice_is_one_category() -> None:
    """Red when a dictionary stays as it came: pandas asks for categories that differ."""
    rows = synthgen.load(pa.table({"x": DICTIONARIES["twice as uint16 ordered"], "other": OTHER, "label": LABEL}))
    kind = rows.to_pandas()["x"].dtype
    assert isinstance(kind, pd.CategoricalDtype)
    assert kind.categories.tolist() == ["a", "b"]
    assert kind.ordered
    assert rows.table.schema.field("x").type == DICTIONARIES["twice as uint16 ordered"].type


def test_a_label_whose_category_is_no_value_is_missing() -> None:
    """Red when a null in the dictionary is a value to --drop-unlabelled."""
    label = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, None] * 60), pa.array(["p", None, "q"]))
    rows = synthgen.load(pa.table({"x": OTHER, "label": label}), label="label", drop_unlabelled=True)
    assert rows.counts() == {"p": 60, "q": 60}
    assert rows.table.column("label").chunk(0).dictionary.to_pylist() == ["p", "q"]
    with pytest.raises(DataError, match="missing in 120 of 240 rows"):
        synthgen.load(pa.table({"x": OTHER, "label": label}), label="label")


def test_a_holdout_that_changed_since_the_run_began_is_refused(tmp_path: Path) -> None:
    """Red when the fingerprint is not compared, or the rows are read again while they are in memory."""
    rows, path = frame().assign(label=frame()["fraud"]), tmp_path / "held.parquet"
    held = rows.assign(x=rows["x"] + 1e-3)
    held.to_parquet(path)
    own = {"holdout_data": str(path), "check": None, "holdout": None}
    first, second = (started(rows, tmp_path / "run", **own) for _ in range(2))
    before = Run.open(tmp_path / "run").holdout
    assert before is not None
    held.assign(x=0.5).to_parquet(path)
    for run in (first, second):
        assert run.holdout is not None
        assert run.holdout.fingerprint() == before.fingerprint()
        run.release()
    for run in (first, second, Run.open(tmp_path / "run")):
        with pytest.raises(DataError, match=rf"^held.parquet changed since run {run.record.run_id} began; start again"):
            _ = run.holdout
