"""Content hashes: equal rows alike, other rows not, whatever the chunks and encodings."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from synthgen.data.hashing import column_hashes, mix, row_hashes


def hashes(values: pa.Array | pa.ChunkedArray) -> list[int]:
    column = values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values])
    return column_hashes(column).tolist()


@pytest.mark.parametrize(
    "array",
    [
        pa.array(["a", None, "b", "a"]),
        pa.array(["a", None, "b", "a"]).dictionary_encode(),
        pa.array([b"a", None, b"b", b"a"], pa.binary(1)),
        pa.array([1, None, 2, 1], pa.int8()),
        pa.array([1, None, 2, 1]).dictionary_encode(),
        pa.array([0.5, None, 0.25, 0.5], pa.float32()),
        pa.array([True, None, False, True]),
        pa.array([Decimal("1.5"), None, Decimal("2.5"), Decimal("1.5")], pa.decimal256(50, 2)),
        pa.array([5, None, 7, 5], pa.timestamp("ns", "UTC")),
    ],
    ids=lambda array: str(array.type),
)
def test_values_decide_and_chunks_do_not(array: pa.Array) -> None:
    whole = hashes(array)
    assert whole[0] == whole[3]
    assert len(set(whole)) == 3
    for cut in range(5):
        assert hashes(pa.chunked_array([array.slice(0, cut), array.slice(cut)])) == whole
    assert hashes(pa.chunked_array([], array.type)) == []


def test_text_hashes_alike_in_every_encoding() -> None:
    plain = pa.array(["x", "é", None, ""])
    assert hashes(plain) == hashes(plain.cast(pa.large_string())) == hashes(plain.dictionary_encode())
    other = pa.array(["q", "", "é"]).dictionary_encode()
    mixed = pa.chunked_array([plain.dictionary_encode(), other])
    assert hashes(mixed) == hashes(pa.array(["x", "é", None, "", "q", "", "é"]))


def test_a_missing_value_hashes_alike_however_it_is_stored() -> None:
    by_index = pa.DictionaryArray.from_arrays(pa.array([0, None]), pa.array(["a"]))
    by_level = pa.DictionaryArray.from_arrays(pa.array([0, 1]), pa.array(["a", None]))
    assert hashes(by_index) == hashes(by_level) == hashes(pa.array(["a", None]))
    assert hashes(pa.array([float("nan"), None])) == hashes(pa.array([None, None], pa.float64()))
    assert hashes(pa.nulls(2)) == hashes(pa.nulls(2, pa.string()))


def test_negative_zero_is_zero() -> None:
    assert len(set(hashes(pa.array([0.0, -0.0])))) == 1


def test_a_row_knows_which_column_holds_which_value() -> None:
    table = pa.table({"a": [1, 2, 1, 2], "b": [2, 1, 2, 2]})
    rows = row_hashes(table)
    assert rows[0] == rows[2]
    assert len(set(rows.tolist())) == 3
    assert row_hashes(table.rename_columns(["b", "a"]))[0] != rows[0]


def test_hashes_are_the_same_on_every_machine() -> None:
    """Holdouts and published fingerprints depend on these values: they may never change."""
    table = pa.table({"n": [1, -1], "x": [0.5, None], "s": ["a", "é"], "b": [True, False]})
    assert row_hashes(table).tolist() == [5303944141379423513, 720831027006796057]


def test_mix_lets_every_bit_move_about_half_of_the_others() -> None:
    values = np.arange(200, dtype=np.uint64) * np.uint64(7919)
    for bit in range(64):
        changed = mix(values) ^ mix(values ^ np.uint64(1 << bit))
        assert 24 < np.mean([int(word).bit_count() for word in changed]) < 40


def test_rows_are_hashed_in_parts_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Red when a part is left out or hashed on its own; a table without columns has as many hashes as rows."""
    table = pa.table({"x": np.arange(10.0), "c": list("abcabcabca")})
    whole = row_hashes(table)
    monkeypatch.setattr("synthgen.data.hashing._ROWS", 3)
    np.testing.assert_array_equal(row_hashes(table), whole)
    assert len(row_hashes(table.select([]))) == 10
