"""Levels: rare ones, new ones, dictionaries and views."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from codec_tables import dataset_of, noise, some

from synthgen.data.dataset import TabularDataset
from synthgen.encode.columns import fit_levels
from synthgen.encode.tabular import TabularCodec


@pytest.mark.parametrize(
    "kind", [pa.string_view(), pa.binary_view(), pa.dictionary(pa.int8(), pa.string_view(), ordered=True)], ids=str
)
def test_views_come_back_as_views(kind: pa.DataType) -> None:
    column = pa.array(some(["x", "y", None])).cast(pa.binary() if pa.types.is_binary_view(kind) else pa.string())
    if pa.types.is_dictionary(kind):
        codes = column.dictionary_encode()
        values = codes.dictionary.cast(kind.value_type)
        column = pa.DictionaryArray.from_arrays(codes.indices.cast(kind.index_type), values, ordered=True)
    else:
        column = column.cast(kind)
    fitted = fit_levels(pa.chunked_array([column]), min_rows=5)
    got = fitted.decode(fitted.encode(pa.chunked_array([column]), np.random.default_rng(0)))
    assert got.type == kind
    assert got.to_pylist() == column.to_pylist()


@pytest.mark.parametrize("encoded_as", ["string", "dictionary", "binary"])
def test_rare_levels_are_never_generated(encoded_as: str) -> None:
    values = pa.array(["a"] * 150 + ["b"] * 50 + ["five"] * 5 + ["four"] * 4 + ["one"])
    values = {"string": values, "dictionary": values.dictionary_encode(), "binary": values.cast(pa.binary())}[
        encoded_as
    ]
    dataset = dataset_of({"x": values})
    codec = TabularCodec().fit(dataset)
    assert codec.layout.levels == (3,)
    encoded = codec.encode(dataset, seed=0)
    got = codec.decode(encoded, label="no", seed=0).table.column("x").to_pylist()
    want = values.to_pylist()
    assert got[:205] == want[:205]
    assert set(got[205:]) <= set(want[:205])
    draws = np.stack([codec.encode(dataset, seed=seed).codes[205:, 0] for seed in range(60)])
    share = np.bincount(draws.ravel(), minlength=3) / draws.size
    assert share == pytest.approx([150 / 205, 50 / 205, 5 / 205], abs=0.09)
    assert np.array_equal(encoded.codes, codec.encode(dataset, seed=0).codes)
    generated = codec.decode(noise(codec, 500), label="no", seed=0).table.column("x")
    assert set(generated.unique().to_pylist()) == set(want[:205])


def test_rare_numbers_round_to_a_level_only_where_they_are_few() -> None:
    few = pa.array([0] * 150 + [1] * 85 + [7, 7, 8])
    codec = TabularCodec().fit(dataset_of({"x": few}))
    assert codec.layout.levels == (2,)
    generated = codec.decode(noise(codec, 300), label="no", seed=0).table.column("x")
    assert set(generated.unique().to_pylist()) == {0, 1}
    many = pa.array([0] * 50 + [1, 2, 3, 5, 8, 13, 21, 34])  # codes would leave nothing but the zeros
    assert TabularCodec().fit(dataset_of({"x": many})).layout.n_numeric == 1


def test_all_levels_stay_where_every_one_is_rare() -> None:
    values = pa.array([f"v{i % 20}" for i in range(60)])
    assert TabularCodec().fit(dataset_of({"x": values})).layout.levels == (20,)
    assert TabularCodec(min_level_rows=3).fit(dataset_of({"x": values})).layout.levels == (20,)
    assert TabularCodec(min_level_rows=4).fit(dataset_of({"x": values})).layout.levels == (20,)


def test_levels_that_were_not_fitted_become_known_ones() -> None:
    fitted = dataset_of({"x": pa.array(["a", "b"] * 50), "k": pa.array([0, 10, 20, 30] * 25)})
    other = dataset_of({"x": pa.array(["a", "new"] * 50), "k": pa.array([0, 11, 16, 99] * 25)})
    codec = TabularCodec().fit(fitted)
    got = codec.decode(codec.encode(other, seed=0), label="no", seed=0).table
    assert got.column("x").to_pylist()[::2] == ["a"] * 50
    assert set(got.column("x").to_pylist()[1::2]) == {"a", "b"}
    assert got.column("k").to_pylist() == [0, 10, 20, 30] * 25  # numbers go to the nearest


def test_dictionaries_in_another_order_mean_the_same() -> None:
    colours = pa.array(["blue", "red", "green"])
    fitted = dataset_of({"x": pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, 1] * 30, pa.int8()), colours)})
    turned = pa.DictionaryArray.from_arrays(pa.array([2, 1, 0, 1] * 30, pa.int8()), colours.take(pa.array([2, 1, 0])))
    codec = TabularCodec().fit(fitted)
    got = codec.decode(codec.encode(dataset_of({"x": turned}), seed=0), label="no", seed=0).table.column("x")
    assert got.to_pylist() == fitted.table.column("x").to_pylist()
    assert got.chunk(0).dictionary.equals(colours)
    halves = pa.chunked_array([fitted.table.column("x").chunk(0)[:60], turned[60:]])
    parts = TabularDataset(
        fitted.table.set_column(0, fitted.table.schema.field(0), halves), fitted.schema, fitted.classes
    )
    again = TabularCodec().fit(parts)
    got = again.decode(again.encode(parts, seed=0), label="no", seed=0)
    assert got.table.column("x").to_pylist() == fitted.table.column("x").to_pylist()
