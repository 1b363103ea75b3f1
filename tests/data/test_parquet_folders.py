"""Folders of parquet files: hive keys become columns, names are not trusted, drift is shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from read_kit import columns_of, refused

import synthgen
from synthgen.data import parquet
from synthgen.data.read import load, read_table
from synthgen.errors import DataError


def part(folder: Path, name: str, rows: pa.Table | None = None) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"x": [1.5, 2.5]}) if rows is None else rows, path)


def test_the_keys_of_a_hive_folder_become_columns(tmp_path: Path) -> None:
    for year, fraud in ((2023, "yes"), (2023, "no"), (2024, "no")):
        part(tmp_path, f"year={year}/fraud={fraud}/part-0.parquet")
    for stray in ("_SUCCESS", "year=2023/.hidden.parquet", "_delta_log/part-0.parquet", "notes/read.me"):
        (tmp_path / stray).parent.mkdir(exist_ok=True)
        (tmp_path / stray).write_text("no rows")
    dataset = load(tmp_path, label="fraud")
    assert dataset.counts() == {"no": 4, "yes": 2}
    assert dataset.table.schema.names == ["x", "year", "fraud"]
    assert dataset.table.schema.field("year").type == pa.int64()
    assert columns_of(dataset)["year"] == [2023, 2023, 2023, 2023, 2024, 2024]
    assert len(dataset.to_pandas()) == 6


def test_a_hive_folder_can_be_balanced(tmp_path: Path) -> None:
    for fraud, n in ((0, 30), (1, 6)):
        part(
            tmp_path, f"in/fraud={fraud}/part-0.parquet", pa.table({"x": np.arange(n) / 2, "c": ["u", "v"] * (n // 2)})
        )
    result = synthgen.balance(tmp_path / "in", label="fraud", engine="delta", holdout=0, out=tmp_path / "out")
    assert result.counts["1"].synthetic == 24
    assert synthgen.read_shards(tmp_path / "out").to_arrow().schema.names == ["x", "c", "fraud"]


def test_keys_are_spelled_out_and_may_be_missing(tmp_path: Path) -> None:
    for place in ("city=S%C3%A3o%20Paulo", "city=__HIVE_DEFAULT_PARTITION__", "city=07"):
        part(tmp_path, f"{place}/part-0.parquet", pa.table({"x": [1, 2], "label": [0, 1]}))
    assert set(columns_of(load(tmp_path))["city"]) == {"São Paulo", None, "07"}


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("a=1/p.parquet", "b=1/p.parquet"), ("b=1/p.parquet lies under b= and a=1/p.parquet under a=",)),
        (("a=1/p.parquet", "p.parquet"), ("p.parquet lies under no key",)),
        (("x=1/p.parquet",), ("column 'x' is in x=1/p.parquet and in the names of the folders",)),
        (("a=1/a=2/p.parquet",), ("the folder 'a=2'", "rename it")),
        (("a%00=1/p.parquet",), ("no key=value that could be a column",)),
        ((f"a={'1' * 220}/p.parquet",), ("no key=value that could be a column",)),
    ],
)
def test_keys_that_cannot_be_columns_are_refused(tmp_path: Path, names: tuple[str, ...], says: tuple[str, ...]) -> None:
    for name in names:
        part(tmp_path, name)
    refused(tmp_path, *says)


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    part(tmp_path, "elsewhere/p.parquet")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a=1").symlink_to(tmp_path / "elsewhere")
    refused(tmp_path / "in", "a=1 is a link", "copy the rows there")


def test_a_link_to_no_rows_is_no_partition(tmp_path: Path) -> None:
    part(tmp_path, "a=1/p.parquet", pa.table({"x": [1, 2], "label": [0, 1]}))
    (tmp_path / "a=1" / "b=2").symlink_to(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    (tmp_path / "a=2").symlink_to(tmp_path / "empty")
    assert len(load(tmp_path)) == 2


def test_every_file_that_is_read_alone_is_read_in_a_folder(tmp_path: Path) -> None:
    rows = pa.table({"x": [1.5, 2.5], "label": [0, 1]})
    for name in ("a.parquet", "B.PARQUET", "d.pq", "E.Pq"):
        part(tmp_path, name, rows)
        assert len(load(tmp_path / name)) == 2
    assert len(load(tmp_path)) == len(read_table(tmp_path)) == 8
    (tmp_path / "a.parquet").unlink()
    assert len(load(tmp_path)) == 6


@pytest.mark.parametrize("name", ["sub/c.parquet", "sub/deeper/C.PQ", "k=v/sub/c.parquet"])
def test_files_in_other_folders_are_not_lost_in_silence(tmp_path: Path, name: str) -> None:
    part(tmp_path, "k=v/a.parquet" if "=" in name else "a.parquet")
    part(tmp_path, name)
    part(tmp_path, f"{name}.d/p.parquet")
    said = refused(tmp_path, "a.parquet, and 2 more of such files in folders below that would not be read")
    assert f"such as {name}; move them beside the others, or elsewhere" in said
    with pytest.raises(DataError, match="2 more of such files"):
        read_table(tmp_path)


def test_a_folder_of_folders_alone_names_none_of_them(tmp_path: Path) -> None:
    part(tmp_path, "sub/c.parquet")
    refused(tmp_path, "holds no .parquet file; name the folder that does, or a file")


def test_drift_names_file_column_and_both_types(tmp_path: Path) -> None:
    part(tmp_path, "day=1/part-0.parquet")
    part(tmp_path, "day=2/part-0.parquet", pa.table({"x": ["a", "b"]}))
    refused(tmp_path, "day=2/part-0.parquet and day=1/part-0.parquet differ in column 'x': double and string")


def test_a_file_under_the_cap_is_read_however_long_its_texts_are(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(parquet, "_BATCH_BYTES", 5_000)
    rows = pa.table({"x": ["A" * 1_000, "b"] * 50, "label": ["p", "q"] * 50})
    part(tmp_path, "rows.parquet", rows)
    table = parquet.read_parquet(tmp_path / "rows.parquet")
    assert table.equals(rows)
    assert max(len(chunk) for chunk in table.column("x").chunks) == 5


def test_text_that_unfolds_past_the_cap_is_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(parquet, "MIN_CAP_BYTES", 10_000)
    monkeypatch.setattr(parquet, "MAX_UNFOLD", 1)
    part(tmp_path, "rows.parquet", pa.table({"x": ["A" * 1_000] * 500, "label": ["p", "q"] * 250}))
    refused(tmp_path / "rows.parquet", "rows.parquet claims 500 rows", "without dictionaries")


def test_of_shards_the_real_rows_alone_are_read(tmp_path: Path) -> None:
    rows = pa.table({"x": np.random.default_rng(0).random(60), "label": ["a"] * 45 + ["b"] * 15})
    synthgen.balance(rows, out=tmp_path / "out", engine="oversample", holdout=0)
    train = tmp_path / "out" / "current" / "train"
    again = load(train)
    assert again.counts() == {"a": 45, "b": 15}
    assert again.notes == (
        "repeated-00000-of-00001.parquet left out: rows that a run of synthgen added to the real ones",
    )
    assert len(read_table(train, real=False)) == 90
    assert len(read_table(train / "real-00000-of-00001.parquet")) == 60


@pytest.mark.parametrize(("engine", "origin"), [("oversample", "repeated"), ("delta", "synthetic")])
def test_added_rows_alone_are_not_read_as_real(tmp_path: Path, engine: str, origin: str) -> None:
    rows = pa.table({"x": np.random.default_rng(0).random(60), "label": ["a"] * 45 + ["b"] * 15})
    synthgen.balance(rows, out=tmp_path / "out", engine=engine, holdout=0)
    train = tmp_path / "out" / "current" / "train"
    (train / "real-00000-of-00001.parquet").unlink()
    file = (train / f"{origin}-00000-of-00001.parquet").rename(train / "mine.PQ")
    for source, name in ((train, str(train)), (file, "mine.PQ")):
        refused(source, f"{name} holds no real row: all are synthetic or repeated", "SYNTHETIC to 'synthgen check'")
        with pytest.raises(DataError, match="holds no real row"):
            read_table(source)
        assert len(read_table(source, real=False)) == 30


@pytest.mark.parametrize("said", ["[" * 100_000, "[]", "{}", '{"origin": ["synthetic"]}', "no json"])
def test_a_stranger_s_footer_says_nothing(tmp_path: Path, said: str) -> None:
    rows = pa.table({"x": [1.5, 2.5], "label": [0, 1]}).replace_schema_metadata({parquet.FOOTER_KEY: said})
    part(tmp_path, "rows.parquet", rows)
    assert len(load(tmp_path / "rows.parquet")) == len(load(tmp_path)) == 2
