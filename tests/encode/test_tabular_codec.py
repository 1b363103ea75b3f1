"""The table codec: exact schemas, missing cells, labels, save and load, determinism."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from codec_tables import COLUMNS, HOLES, N, dataset_of, holes, noise, same_cells
from hypothesis import given, settings
from hypothesis import strategies as st

from synthgen.data.dataset import TabularDataset
from synthgen.encode.base import EncodedTable
from synthgen.encode.tabular import TabularCodec
from synthgen.errors import ConfigError, DataError, EngineError, TooFewRows


@pytest.mark.parametrize("numeric", ["quantile", "standard"])
@pytest.mark.parametrize("name", COLUMNS)
def test_every_type_comes_back(name: str, numeric: str) -> None:
    dataset = dataset_of({name: COLUMNS[name], "other": COLUMNS["double"]})
    codec = TabularCodec(numeric).fit(dataset)
    got = codec.decode(codec.encode(dataset, seed=0), label="yes", seed=0)
    assert got.table.schema.equals(dataset.table.schema, check_metadata=True)
    assert got.schema is dataset.schema
    got.table.validate(full=True)
    ours, theirs = got.table.column(name), dataset.table.column(name)
    if name == "missing dictionary":
        assert ours.null_count == N
    else:
        assert same_cells(ours, theirs)
    if pa.types.is_dictionary(ours.type):
        assert ours.chunk(0).dictionary.equals(theirs.chunk(0).dictionary)


@pytest.mark.parametrize("name", COLUMNS)
def test_every_type_can_be_generated(name: str) -> None:
    dataset = dataset_of({name: COLUMNS[name]})
    codec = TabularCodec().fit(dataset)
    for n in (0, 1, 500):
        got = codec.decode(noise(codec, n), label="no", seed=3)
        assert len(got) == n
        assert got.table.schema.equals(dataset.table.schema, check_metadata=True)
        got.table.validate(full=True)
        assert got.label_codes.tolist() == [0] * n
    if name == "nan":
        assert got.table.column(name).null_count == 0
        assert np.isnan(got.table.column(name).to_numpy()).mean() == pytest.approx(0.5, abs=0.1)


def test_the_layout_counts_scores_and_levels() -> None:
    names = ["double", "double with holes", "few numbers with holes", "bool", "string with holes", "dictionary"]
    dataset = dataset_of({name: COLUMNS[name] for name in [*names, "constant", "all missing"]})
    codec = TabularCodec().fit(dataset)
    assert codec.layout.n_numeric == 2
    assert codec.layout.levels == (2, 4, 2, 3, 4)
    encoded = codec.encode(dataset, seed=0)
    assert encoded.numeric.shape == (N, 2)
    assert encoded.numeric.dtype == np.float32
    assert encoded.codes.shape == (N, 5)
    assert encoded.codes.dtype == np.int32
    assert np.array_equal(encoded.codes[:, 0] == 1, HOLES)
    assert np.all(encoded.numeric[HOLES, 1] == 0)
    assert len(encoded) == N
    part = encoded.take(np.array([3, 1]))
    assert np.array_equal(part.codes, encoded.codes[[3, 1]])
    assert np.array_equal(encoded.take(HOLES).numeric, encoded.numeric[HOLES])


def test_numbers_are_codes_up_to_ten_values_and_scores_from_eleven() -> None:
    for distinct, scores in ((1, 0), (10, 0), (11, 1)):
        values = pa.array(np.arange(N) % distinct * 1.5 if distinct > 1 else holes([2.5] * N))
        layout = TabularCodec().fit(dataset_of({"x": values})).layout
        assert layout.n_numeric == scores


def test_levels_keep_their_order() -> None:
    entries = pa.array(["m", "z", "unused", "a"])
    codes = pa.array([0, 1, 3, 0] * 60, type=pa.int8())
    words, numbers = pa.array(["m", "z", "a", "m"] * 60), pa.array([2, 9, -1, 2] * 60)
    dataset = dataset_of({"d": pa.DictionaryArray.from_arrays(codes, entries), "w": words, "n": numbers})
    encoded = TabularCodec().fit(dataset).encode(dataset, seed=0).codes
    assert encoded[:4].T.tolist() == [[0, 1, 2, 0], [1, 2, 0, 1], [1, 2, 0, 1]]


def test_columns_are_drawn_apart() -> None:
    ties = pa.array(np.repeat(np.arange(12.0), 200))
    dataset = dataset_of({"one": ties, "other": ties})
    scores = TabularCodec().fit(dataset).encode(dataset, seed=0).numeric
    within = scores.reshape(12, 200, 2) - scores.reshape(12, 200, 2).mean(axis=1, keepdims=True)
    assert abs(np.corrcoef(within.reshape(-1, 2), rowvar=False)[0, 1]) < 0.1


def test_missing_rates_are_kept() -> None:
    names = ["double with holes", "string with holes", "few numbers with holes", "bool with holes", "dictionary"]
    dataset = dataset_of({name: COLUMNS[name] for name in names})
    codec = TabularCodec().fit(dataset)
    got = codec.decode(codec.encode(dataset, seed=0).take(np.arange(N)[::-1]), label="no", seed=0)
    for name in names:
        assert np.array_equal(np.asarray(got.table.column(name).is_null())[::-1], HOLES)


def test_no_missing_level_where_nothing_was_missing() -> None:
    fitted, other = dataset_of({"x": COLUMNS["string"]}), dataset_of({"x": COLUMNS["string with holes"]})
    codec = TabularCodec().fit(fitted)
    assert codec.layout.levels == (4,)
    got = codec.decode(codec.encode(other, seed=0), label="no", seed=0)
    assert got.table.column("x").null_count == 0


LABELS = {
    "string": pa.array(["a", "b"] * 60),
    "large_string": pa.array(["a", "b"] * 60, type=pa.large_string()),
    "int8": pa.array([0, 1] * 60, type=pa.int8()),
    "uint64": pa.array([5, 2**63 + 1] * 60, type=pa.uint64()),
    "float": pa.array([0.0, 1.0] * 60, type=pa.float32()),
    "bool": pa.array([False, True] * 60),
    "dictionary": pa.DictionaryArray.from_arrays(pa.array([2, 0] * 60, pa.int16()), pa.array(["b", "unused", "a"])),
}


@pytest.mark.parametrize("name", LABELS)
def test_the_label_column_has_the_label_in_its_own_type(name: str, tmp_path: Path) -> None:
    dataset = dataset_of({"x": COLUMNS["double"][:120]}, LABELS[name])
    codec = TabularCodec().fit(dataset)
    codec.save(tmp_path)
    for reader in (codec, TabularCodec.load(tmp_path)):
        for at, label in enumerate(dataset.classes):
            got = reader.decode(noise(codec, 5), label=label, seed=0)
            assert got.table.schema.equals(dataset.table.schema, check_metadata=True)
            assert got.classes == dataset.classes
            assert got.label_codes.tolist() == [at] * 5
            if name == "dictionary":
                assert got.table.column("label").chunk(0).dictionary.to_pylist() == ["b", "unused", "a"]
    assert got.concat(dataset).counts()[label] == 65
    absent = TabularCodec().fit(dataset.of_class(dataset.classes[0]))
    assert absent.decode(noise(codec, 2), label=label, seed=0).label_codes.tolist() == [1, 1]


def test_a_class_that_the_dictionary_lacks_can_still_be_a_label() -> None:
    dataset = dataset_of({"x": COLUMNS["double"][:120]}, LABELS["dictionary"])
    short = pa.DictionaryArray.from_arrays(pa.array([0] * 120, pa.int16()), pa.array(["b"]))
    table = dataset.table.set_column(1, dataset.table.schema.field(1), short)
    codec = TabularCodec().fit(TabularDataset(table, dataset.schema, dataset.classes))
    assert codec.decode(noise(codec, 3), label="a", seed=0).table.column("label").to_pylist() == ["a"] * 3


def test_ids_are_fresh_and_apart_between_labels() -> None:
    columns = {"x": COLUMNS["double"], "row_id": pa.array(range(N)), "key": pa.array([f"K{i:04d}" for i in range(N)])}
    dataset = dataset_of(columns)
    codec = TabularCodec().fit(dataset)
    assert codec.layout.width == 1
    yes, no = (codec.decode(noise(codec, 400), label=label, seed=0).table for label in ("yes", "no"))
    for name in ("row_id", "key"):
        values = [set(table.column(name).to_pylist()) for table in (yes, no, dataset.table)]
        assert len(set.union(*values)) == 400 + 400 + N


@pytest.mark.parametrize("numeric", ["quantile", "standard"])
def test_a_loaded_codec_gives_the_same_bits(numeric: str, tmp_path: Path) -> None:
    columns = {
        **COLUMNS,
        "row_id": pa.array(range(N)),
        "uid": pa.array([f"{i:04x}-{i * 7919 % 997:03d}" for i in range(N)]),
    }
    dataset = dataset_of(columns)
    codec = TabularCodec(numeric, min_level_rows=3).fit(dataset)
    for folder in ("one", "two"):
        codec.save(tmp_path / folder)
    for file in ("codec.json", "codec.npz"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    json.loads((tmp_path / "one" / "codec.json").read_text())
    with np.load(tmp_path / "one" / "codec.npz", allow_pickle=False) as arrays:
        assert not any(arrays[key].dtype.hasobject for key in arrays.files)
    loaded = TabularCodec.load(tmp_path / "one")
    assert (loaded.numeric, loaded.min_level_rows, loaded.layout) == (numeric, 3, codec.layout)
    ours, theirs = codec.encode(dataset, seed=4), loaded.encode(dataset, seed=4)
    assert ours.numeric.tobytes() == theirs.numeric.tobytes()
    assert ours.codes.tobytes() == theirs.codes.tobytes()
    for encoded in (ours, noise(codec, 300)):
        one, two = (each.decode(encoded, label="yes", seed=9) for each in (codec, loaded))
        assert one.table.schema.equals(two.table.schema, check_metadata=True)
        for name in one.table.column_names:
            if name != "constant nan":  # nothing to compare
                assert same_cells(one.table.column(name), two.table.column(name)), name
    loaded.save(tmp_path / "three")
    assert (tmp_path / "one" / "codec.npz").read_bytes() == (tmp_path / "three" / "codec.npz").read_bytes()


def test_encoding_depends_on_content_order_and_seed_alone() -> None:
    dataset = dataset_of({name: COLUMNS[name] for name in ("double", "int8", "string", "dictionary", "date32")})
    codec = TabularCodec().fit(dataset)
    cut = pa.concat_tables([dataset.table.slice(0, 17), dataset.table.slice(17, 100), dataset.table.slice(117)])
    parts = TabularDataset(cut, dataset.schema, dataset.classes)
    one, two = codec.encode(dataset, seed=1), TabularCodec().fit(parts).encode(parts, seed=1)
    assert one.numeric.tobytes() == two.numeric.tobytes()
    assert one.codes.tobytes() == two.codes.tobytes()
    assert one.numeric.tobytes() != codec.encode(dataset, seed=2).numeric.tobytes()
    fewer = dataset_of({name: COLUMNS[name] for name in ("int8", "string")})
    alone = TabularCodec().fit(fewer).encode(fewer, seed=1)
    assert alone.numeric.tobytes() == np.ascontiguousarray(one.numeric[:, 1:2]).tobytes()


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    dataset = dataset_of({"x": COLUMNS["double"], "s": COLUMNS["string"]})
    codec = TabularCodec().fit(dataset)
    good = noise(codec, 4)
    with pytest.raises(EngineError, match="not fitted"):
        TabularCodec().encode(dataset, seed=0)
    with pytest.raises(TooFewRows, match="0 rows"):
        TabularCodec().fit(dataset.take(np.array([], dtype=int)))
    with pytest.raises(ConfigError, match=r"label 'maybe' is not one of 'no', 'yes'"):
        codec.decode(good, label="maybe", seed=0)
    for numeric in (np.nan, np.inf):
        with pytest.raises(EngineError, match="not finite"):
            codec.decode(EncodedTable(np.full_like(good.numeric, numeric), good.codes), label="no", seed=0)
    for code in (-1, 4):
        with pytest.raises(EngineError, match="no level"):
            codec.decode(EncodedTable(good.numeric, np.full_like(good.codes, code)), label="no", seed=0)
    with pytest.raises(EngineError, match="another codec"):
        codec.decode(EncodedTable(good.numeric[:, :0], good.codes), label="no", seed=0)
    with pytest.raises(DataError, match=r"'x' \(string\) where 'x' \(double\)"):
        codec.encode(dataset_of({"x": COLUMNS["string"], "s": COLUMNS["string"]}), seed=0)
    with pytest.raises(ConfigError, match="'ranks'"):
        TabularCodec("ranks")  # type: ignore[arg-type]
    assert len(codec.encode(dataset.take(np.array([], dtype=int)), seed=0)) == 0


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    codec = TabularCodec().fit(dataset_of({"x": COLUMNS["double"], "s": COLUMNS["string"]}))
    codec.save(tmp_path)
    arrays, described = (tmp_path / "codec.npz").read_bytes(), (tmp_path / "codec.json").read_text()
    (tmp_path / "codec.npz").write_bytes(arrays[:-100])
    with pytest.raises(DataError, match="holds no codec"):
        TabularCodec.load(tmp_path)
    np.savez(tmp_path / "codec.npz", **{"label.levels": np.array([print], dtype=object)})
    with pytest.raises(DataError, match="pickle"):
        TabularCodec.load(tmp_path)
    (tmp_path / "codec.npz").write_bytes(arrays)
    (tmp_path / "codec.json").write_text(described.replace('"format": 1', '"format": 99'))
    with pytest.raises(DataError, match="format 99"):
        TabularCodec.load(tmp_path)
    with pytest.raises(DataError, match="holds no codec"):
        TabularCodec.load(tmp_path / "nowhere")


cell = st.one_of(st.none(), st.sampled_from(["a", "b", "c"]))
number = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.just(0))
measure = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False), st.just(0.0))


@given(st.lists(st.tuples(cell, number, measure, st.booleans()), min_size=12, max_size=60), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_any_table_decodes_to_its_own_values(rows: list[tuple[object, ...]], seed: int) -> None:
    words, whole, floats, flags = (list(column) for column in zip(*rows, strict=True))
    columns = {
        "words": pa.array(words, type=pa.string()),
        "whole": pa.array(whole, type=pa.int64()),
        "floats": pa.array([value if value is None else value + 0.0 for value in floats], type=pa.float64()),
        "flags": pa.array(flags),
    }
    dataset = dataset_of(columns)
    codec = TabularCodec(min_level_rows=1).fit(dataset)
    got = codec.decode(codec.encode(dataset, seed=seed), label="yes", seed=seed).table
    for name in columns:
        assert got.column(name).to_pylist() == dataset.table.column(name).to_pylist()
