"""Parquet shards: names, order, exact types in pandas and Arrow, full dictionaries, the same bytes every time."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shards_kit import FailAt, Killed

from synthgen.errors import ConfigError, DataError, PublishError
from synthgen.shards.parquet import without_footer, write_shards

RUN = "0123456789ab"


def frame_of(n: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "amount": rng.normal(size=n),
            "visits": pd.array([None if i % 7 == 0 else i for i in range(n)], dtype="Int64"),
            "plan": pd.Categorical(np.array(["b", "a"])[rng.integers(0, 2, n)], categories=["z", "b", "a", "q"]),
            "grade": pd.Categorical(["low", "high", None] * (n // 3), categories=["low", "mid", "high"], ordered=True),
            "ok": pd.array([True, None] * (n // 2), dtype="boolean"),
            "name": pd.array(["é", None, "x"] * (n // 3), dtype="string"),
            "when": pd.date_range("2024-03-30", periods=n, freq="h", tz="Europe/Berlin"),
            "plain": pd.date_range("2024-03-30", periods=n, freq="D"),
            "took": pd.to_timedelta(np.arange(n), unit="s"),
            "small": np.arange(n, dtype=np.int8),
            "fraud": np.arange(n) % 10 == 0,
        },
        index=pd.Index([f"id{i}" for i in range(n)], name="customer"),
    )


def table_of(frame: pd.DataFrame) -> pa.Table:
    table = pa.Table.from_pandas(frame)
    fields = [field.with_metadata({"unit": f"of {field.name}"}) for field in table.schema]
    metadata = {**table.schema.metadata, b"huggingface": json.dumps({"info": {"features": {}}}).encode()}
    return table.cast(pa.schema(fields, metadata=metadata))


def test_names_rows_and_hashes_are_those_of_the_entries(tmp_path: Path) -> None:
    table = pa.table({"x": range(10)})
    entries = write_shards(
        table, tmp_path / "train", prefix="synthetic", seed=0, run_id=RUN, root=tmp_path, rows_per_file=4
    )
    assert [entry.path for entry in entries] == [f"train/synthetic-0000{i}-of-00003.parquet" for i in range(3)]
    assert sorted((tmp_path / "train").iterdir()) == [tmp_path / entry.path for entry in entries]
    assert [entry.rows for entry in entries] == [3, 3, 4]
    for entry in entries:
        data = (tmp_path / entry.path).read_bytes()
        assert (entry.size_bytes, entry.sha256) == (len(data), hashlib.sha256(data).hexdigest())
        assert pq.ParquetFile(tmp_path / entry.path).metadata.num_rows == entry.rows
        assert (entry.origin, entry.digital_source_type) == ("synthetic", "trainedAlgorithmicMedia")
    assert sorted(pq.read_table(tmp_path / "train")["x"].to_pylist()) == list(range(10))


@pytest.mark.parametrize(("prefix", "origin"), [("real", "real"), ("repeated", "repeated"), ("part", "real")])
def test_the_footer_tells_the_origin(tmp_path: Path, prefix: str, origin: str) -> None:
    (entry,) = write_shards(pa.table({"x": [1]}), tmp_path, prefix=prefix, seed=0, run_id=RUN, footer={"engine": "e"})
    footer = json.loads(pq.ParquetFile(tmp_path / entry.path).metadata.metadata[b"synthgen"])
    assert footer == {"origin": origin, "run_id": RUN, "engine": "e"}
    assert (entry.origin, entry.digital_source_type) == (origin, None)


def test_the_footer_of_synthetic_rows_says_how_they_were_made(tmp_path: Path) -> None:
    (entry,) = write_shards(pa.table({"x": [1]}), tmp_path, prefix="synthetic", seed=0, run_id=RUN)
    footer = json.loads(pq.ParquetFile(tmp_path / entry.path).metadata.metadata[b"synthgen"])
    assert footer["digital_source_type"] == "trainedAlgorithmicMedia"


def test_the_schema_is_the_input_s_with_all_metadata(tmp_path: Path) -> None:
    pq.write_table(table_of(frame_of()), tmp_path / "input.parquet")
    table = pq.read_table(tmp_path / "input.parquet")
    assert table.schema.metadata.keys() == {b"pandas", b"huggingface"}
    entries = write_shards(table, tmp_path / "out", prefix="real", seed=0, run_id=RUN, rows_per_file=25)
    for entry in entries:
        assert pq.read_schema(tmp_path / "out" / entry.path).equals(table.schema, check_metadata=True)


def test_our_footer_key_is_never_the_schema_s(tmp_path: Path) -> None:
    table = pa.table({"x": [1]}).replace_schema_metadata({"synthgen": "of an earlier balancing", "mine": "kept"})
    (entry,) = write_shards(table, tmp_path, prefix="real", seed=0, run_id=RUN)
    assert pq.read_schema(tmp_path / entry.path).metadata == {b"mine": b"kept"}
    assert without_footer(pq.read_table(tmp_path / entry.path)).schema.metadata == {b"mine": b"kept"}
    (entry,) = write_shards(pa.table({"x": [1]}), tmp_path, prefix="real", seed=0, run_id=RUN)
    assert without_footer(pq.read_table(tmp_path / entry.path)).schema.metadata is None


def test_pandas_reads_the_folder_with_the_dtypes_of_the_input(tmp_path: Path) -> None:
    frame = frame_of()
    pq.write_table(table_of(frame), tmp_path / "input.parquet")
    expected = pd.read_parquet(tmp_path / "input.parquet")
    table = pq.read_table(tmp_path / "input.parquet")
    made = table.filter(pa.array(expected["plan"].eq("a").to_numpy()))  # rows of one level, and not all grades
    for prefix, rows in (("real", table), ("synthetic", made), ("repeated", table.slice(3, 1))):
        write_shards(rows, tmp_path / "train", prefix=prefix, seed=0, run_id=RUN, rows_per_file=17, like=table)
    read = pd.read_parquet(tmp_path / "train")
    pd.testing.assert_series_equal(read.dtypes, expected.dtypes)
    assert read.index.name == "customer"
    for column in ("plan", "grade"):
        assert list(read[column].cat.categories) == list(frame[column].cat.categories)
        assert read[column].cat.ordered == frame[column].cat.ordered
    real = pd.concat(pd.read_parquet(path) for path in sorted((tmp_path / "train").glob("real-*")))
    pd.testing.assert_frame_equal(real.sort_values("small"), expected)


def test_a_range_index_and_odd_index_names_are_kept_apart_from_the_columns(tmp_path: Path) -> None:
    for name, index in (("range", pd.RangeIndex(5, 65)), ("unnamed", pd.Index(np.arange(60) * 2)), ("level", None)):
        frame = frame_of().reset_index(drop=True)
        frame.index = frame.index if index is None else index
        pq.write_table(pa.Table.from_pandas(frame), tmp_path / f"{name}.parquet")
        table = pq.read_table(tmp_path / f"{name}.parquet")
        for prefix in ("real", "synthetic"):
            write_shards(table, tmp_path / name, prefix=prefix, seed=0, run_id=RUN, rows_per_file=50)
        read, expected = pd.read_parquet(tmp_path / name), pd.read_parquet(tmp_path / f"{name}.parquet")
        assert list(read.columns) == list(expected.columns)
        pd.testing.assert_series_equal(read.dtypes, expected.dtypes)


def test_the_same_table_and_seed_give_the_same_bytes_however_it_is_chunked(tmp_path: Path) -> None:
    table = table_of(frame_of())
    chunked = pa.concat_tables([table.slice(0, 7), table.slice(7, 1), table.slice(8)])
    assert chunked["plan"].num_chunks == 3
    written = [
        write_shards(given, tmp_path / str(k), prefix="real", seed=seed, run_id=RUN, rows_per_file=40)
        for k, (given, seed) in enumerate([(table, 1), (chunked, 1), (table, 2)])
    ]
    assert written[0] == written[1]
    assert written[0] != written[2]


def test_rows_are_shuffled_across_classes(tmp_path: Path) -> None:
    table = pa.table({"fraud": [False] * 500 + [True] * 500})
    entries = write_shards(table, tmp_path, prefix="real", seed=0, run_id=RUN, rows_per_file=250)
    for entry in entries:
        fraud = pq.read_table(tmp_path / entry.path)["fraud"].to_numpy()
        assert 75 < fraud.sum() < 175
        runs = np.diff(np.flatnonzero(np.diff(fraud.astype(int))))
        assert runs.max() < 25


def test_dictionaries_of_chunks_and_parts_become_one(tmp_path: Path) -> None:
    first, second = pa.array(["b", None, "a"]).dictionary_encode(), pa.array(["c", "a"]).dictionary_encode()
    table = pa.table({"k": pa.chunked_array([first, second])})
    write_shards(table, tmp_path, prefix="real", seed=0, run_id=RUN, rows_per_file=2)
    made = pa.table({"k": pa.array(["a"]).dictionary_encode()})
    write_shards(made, tmp_path, prefix="synthetic", seed=0, run_id=RUN, like=table)
    for path in tmp_path.iterdir():
        for chunk in pq.read_table(path)["k"].chunks:
            assert chunk.dictionary.to_pylist() == ["b", "a", "c"]
    assert sorted(map(str, pq.read_table(tmp_path)["k"].to_pylist())) == ["None", "a", "a", "a", "b", "c"]


def test_dictionaries_with_null_levels_no_levels_and_many_rows(tmp_path: Path) -> None:
    odd = pa.DictionaryArray.from_arrays(pa.array([0, 1, None], pa.int8()), pa.array(["a", None]))
    empty = pa.DictionaryArray.from_arrays(pa.array([None] * 3, pa.int8()), pa.array([], pa.string()))
    write_shards(pa.table({"odd": odd, "empty": empty}), tmp_path / "odd", prefix="real", seed=0, run_id=RUN)
    read = pq.read_table(tmp_path / "odd")
    assert sorted(map(str, read["odd"].to_pylist())) == ["None", "None", "a"]
    assert read["empty"].to_pylist() == [None] * 3
    levels = pa.array([f"{i:>60}" for i in range(40_000)])  # more than a dictionary page, several row groups
    codes = pa.array(np.random.default_rng(0).integers(5, 40_000, 140_000), pa.int32())
    table = pa.table({"k": pa.DictionaryArray.from_arrays(codes, levels)})
    write_shards(table, tmp_path / "many", prefix="real", seed=0, run_id=RUN)
    assert all(chunk.dictionary.equals(levels) for chunk in pq.read_table(tmp_path / "many")["k"].chunks)


def test_a_level_that_the_real_rows_lack_is_refused(tmp_path: Path) -> None:
    table, made = (pa.table({"k": pa.array(values).dictionary_encode()}) for values in (["a"], ["a", "b"]))
    with pytest.raises(DataError, match="column 'k' has levels"):
        write_shards(made, tmp_path, prefix="synthetic", seed=0, run_id=RUN, like=table)
    write_shards(made.slice(0, 1), tmp_path, prefix="synthetic", seed=0, run_id=RUN, like=table)


def test_a_provenance_column_is_added_only_when_asked_for(tmp_path: Path) -> None:
    features = {"info": {"features": {"x": {"dtype": "int64", "_type": "Value"}}}}
    table = pa.table({"x": [1, 2]}).replace_schema_metadata({"huggingface": json.dumps(features)})
    write_shards(table, tmp_path, prefix="real", seed=0, run_id=RUN, provenance_column="origin")
    write_shards(table, tmp_path, prefix="synthetic", seed=0, run_id=RUN, provenance_column="origin")
    read = pd.read_parquet(tmp_path)
    assert read["origin"].tolist() == ["real", "real", "synthetic", "synthetic"]
    described = json.loads(pq.read_schema(next(tmp_path.iterdir())).metadata[b"huggingface"])
    assert list(described["info"]["features"]) == ["x", "origin"]
    with pytest.raises(ConfigError, match="'x' is a column of the data"):
        write_shards(table, tmp_path, prefix="real", seed=0, run_id=RUN, provenance_column="x")


def test_no_rows_no_file_and_files_of_an_earlier_attempt_go(tmp_path: Path) -> None:
    table = pa.table({"x": range(9)})
    write_shards(table, tmp_path, prefix="real", seed=0, run_id=RUN, rows_per_file=3)
    write_shards(table, tmp_path, prefix="real", seed=0, run_id=RUN, rows_per_file=5)
    assert write_shards(table.slice(0, 0), tmp_path, prefix="synthetic", seed=0, run_id=RUN) == []
    assert {path.name for path in tmp_path.iterdir()} == {f"real-0000{i}-of-00002.parquet" for i in range(2)}
    with pytest.raises(ConfigError, match="rows_per_file is 0"):
        write_shards(table, tmp_path, prefix="real", seed=0, run_id=RUN, rows_per_file=0)


def test_a_type_that_parquet_cannot_hold_is_named(tmp_path: Path) -> None:
    table = pa.table({"x": [1], "gap": pa.array([(1, 2, 3)], pa.month_day_nano_interval())})
    with pytest.raises(DataError, match=r"column 'gap' of type month_day_nano_interval .*--drop"):
        write_shards(table, tmp_path, prefix="real", seed=0, run_id=RUN)


@pytest.mark.parametrize(("fault", "error"), [("ENOSPC", PublishError), ("kill", Killed)])
def test_a_fault_inside_a_large_file_comes_out(tmp_path: Path, fault: str, error: type[BaseException]) -> None:
    table = pa.table({"x": np.random.default_rng(0).normal(size=400_000)})  # more than one write
    files = FailAt(4, fault)
    with pytest.raises(error):
        write_shards(table, tmp_path, prefix="real", seed=0, run_id=RUN, rows_per_file=400_000, files=files)
    assert files.failed[0] == "write"


def test_shards_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = set()
    monkeypatch.setattr(os, "fsync", lambda handle: synced.add(os.fstat(handle).st_ino))
    write_shards(pa.table({"x": range(9)}), tmp_path, prefix="real", seed=0, run_id=RUN, rows_per_file=3)
    assert {path.stat().st_ino for path in tmp_path.iterdir()} <= synced
