"""Fresh ids: new values of the same form, none seen before, no two alike, none shared between labels."""

from __future__ import annotations

import re
import uuid

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthgen.encode.ids import IdColumn, fit_ids
from synthgen.encode.patterns import FreeForm
from synthgen.encode.unseen import Unseen
from synthgen.errors import EngineError

N = 400


def fresh(ids: IdColumn, n: int = 300, *, seed: int = 0, part: tuple[int, int] = (0, 2)) -> pa.Array:
    return ids.fill(n, name="key", seed=seed, part=part)


def shared(one: pa.Array, other: pa.Array) -> int:
    return pc.sum(pc.is_in(one, value_set=other)).as_py() or 0


RNG = np.random.default_rng(0)
FORMS = {
    "padded": ([f"CUST-{i:05d}" for i in range(N)], r"CUST-\d{5}"),
    "not padded": ([f"user_{i}" for i in range(N)], r"user_(0|[1-9]\d*)"),
    "between": ([f"A{i:06d}/x" for i in range(5, 5 + N)], r"A\d{6}/x"),
    "year and number": ([f"2024-{i:06d}" for i in range(N)], r"2024-\d{6}"),
    "account": ([str(10**9 + int(i)) for i in RNG.choice(8 * 10**9, N, replace=False)], r"[1-9]\d{9}"),
    "plate": (
        sorted({f"{chr(65 + a)}{chr(65 + b)}-{c:02d}-{chr(65 + d)}" for a, b, c, d in RNG.integers(0, 26, (2 * N, 4))}),
        r"[A-Z]{2}-\d{2}-[A-Z]",
    ),
    "uuid4": ([str(uuid.UUID(bytes=RNG.bytes(16), version=4)) for _ in range(N)], None),
    "hex": ([RNG.bytes(10).hex() for _ in range(N)], r"[0-9a-f]{20}"),
    "upper hex": ([RNG.bytes(4).hex().upper() for _ in range(N)], r"[0-9A-F]{8}"),
    "token": (["".join(map(chr, row)) for row in RNG.integers(97, 123, (N, 16))], r"[a-z]{16}"),
    "accents": ([f"é{i:04d}ß" for i in range(N)], r"é\d{4}ß"),
}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()], ids=str)
def test_strings_keep_their_form(name: str, kind: pa.DataType) -> None:
    values, pattern = FORMS[name]
    column = pa.array(values).cast(kind)
    got = fresh(fit_ids(pa.chunked_array([column])))
    assert got.type == kind
    texts = got.to_pylist()
    assert len(set(texts)) == 300
    assert not set(texts) & set(values)
    for text in texts:
        if pattern is None:
            assert uuid.UUID(text).version == 4
            assert uuid.UUID(text).variant == uuid.RFC_4122
        else:
            assert re.fullmatch(pattern, text), text


@pytest.mark.parametrize("name", FORMS)
def test_two_labels_never_share_an_id_and_a_seed_repeats(name: str) -> None:
    ids = fit_ids(pa.chunked_array([pa.array(FORMS[name][0])]))
    for seeds in ((0, 0), (0, 1)):
        one, other = fresh(ids, seed=seeds[0], part=(0, 3)), fresh(ids, seed=seeds[1], part=(2, 3))
        assert shared(one, other) == 0
    assert fresh(ids).equals(fresh(ids))
    assert not fresh(ids).equals(fresh(ids, seed=1))


@pytest.mark.parametrize("name", ["uuid4", "hex", "token", "account"])  # short numbers: labels alone are kept apart
def test_two_seeds_do_not_meet(name: str) -> None:
    ids = fit_ids(pa.chunked_array([pa.array(FORMS[name][0])]))
    assert sum(shared(fresh(ids, seed=a), fresh(ids, seed=b)) for a, b in ((0, 1), (1, 2), (0, 2))) == 0


def test_forms_that_run_out_get_longer() -> None:
    ids = fit_ids(pa.chunked_array([pa.array([f"C{i:02d}" for i in range(100)])]))
    assert all(re.fullmatch(r"C\d{3}", text) for text in fresh(ids, 300).to_pylist())
    codes = sorted({f"{chr(97 + a)}{b}{chr(97 + c)}" for a, b, c in RNG.integers(0, 10, (3_000, 3))})
    got = fresh(fit_ids(pa.chunked_array([pa.array(codes)])), 2_000).to_pylist()
    assert len(set(got)) == 2_000
    assert not set(got) & set(codes)
    assert {text[:1] for text in got} <= set("abcdefghijklmnopqrstuvwxyz")


def test_a_form_is_used_to_its_full_width_before_it_gets_longer() -> None:
    got = fresh(fit_ids(pa.chunked_array([pa.array(FORMS["padded"][0])])), 40_000).to_pylist()
    assert all(re.fullmatch(r"CUST-\d{5}", text) for text in got)


def test_characters_that_were_missed_by_chance_are_used_and_others_are_not() -> None:
    rows = RNG.integers(97, 123, (30, 20))
    rows[:, 3] = np.where(rows[:, 3] % 2, ord("x"), ord("y"))
    values = ["".join(map(chr, row)) for row in rows]
    got = fresh(fit_ids(pa.chunked_array([pa.array(values)])), 2_000).to_pylist()
    assert {text[0] for text in got} == set("abcdefghijklmnopqrstuvwxyz") != {text[0] for text in values}
    assert {text[3] for text in got} == {"x", "y"}


def test_freely_drawn_strings_that_come_out_alike_are_drawn_again() -> None:
    bits = np.array([97, 98], dtype=np.uint32)
    form = FreeForm([bits] * 5, np.array([5]), np.ones(1))
    assert len(set(form.draw(32, name="key", seed=0, part=(0, 1)).view("U5").ravel().tolist())) == 32


def test_strings_of_differing_lengths_stay_alike() -> None:
    rng = np.random.default_rng(1)
    values = [rng.bytes(int(size)).hex() for size in rng.integers(9, 14, N)]
    got = fresh(fit_ids(pa.chunked_array([pa.array(values)]))).to_pylist()
    assert {len(text) for text in got} == {18, 20, 22, 24, 26}
    assert all(re.fullmatch(r"[0-9a-f]+", text) for text in got)
    short = [chr(97 + i % 26) * (1 + i // 26) for i in range(80)]
    got = fresh(fit_ids(pa.chunked_array([pa.array(short)]))).to_pylist()
    assert len(set(got)) == 300
    assert not set(got) & set(short)


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary(16)], ids=str)
def test_bytes_come_back_as_bytes(kind: pa.DataType) -> None:
    values = [RNG.bytes(16) for _ in range(N)]
    got = fresh(fit_ids(pa.chunked_array([pa.array(values, type=kind)])))
    assert got.type == kind
    assert len(set(got.to_pylist())) == 300
    assert {len(value) for value in got.to_pylist()} == {16}
    assert not set(got.to_pylist()) & set(values)
    texts = pa.array([b"k-%03d" % i for i in range(N)])
    assert all(re.fullmatch(rb"k-\d{3}", value) for value in fresh(fit_ids(pa.chunked_array([texts])), 200).to_pylist())


INTEGERS = {
    "1 to N": (pa.array(range(1, N + 1)), 1, 2**33),
    "near 2**60": (pa.array(range(2**60, 2**60 + N)), 2**60, 2**60 + 2**33),
    "uint64 top": (pa.array([2**64 - 1 - i for i in range(N)], type=pa.uint64()), 0, 2**64 - 1),
    "int32": (pa.array(range(N), type=pa.int32()), 0, 2**31 - 1),
    "int16": (pa.array(range(N), type=pa.int16()), 0, 2**15 - 1),
    "negative": (pa.array(range(-N, 0)), -(2**63), 2**63 - 1),
    "accounts": (pa.array(10**9 + RNG.choice(8 * 10**9, N, replace=False)), 10**9, 9 * 10**9),
    "snowflakes": (pa.array(RNG.integers(2**61, 2**62, N)), 2**61, 2**62),
}


@pytest.mark.parametrize("name", INTEGERS)
def test_integers_are_new_exact_and_in_range(name: str) -> None:
    column, low, high = INTEGERS[name]
    ids = fit_ids(pa.chunked_array([column]))
    one, other = fresh(ids, seed=4), fresh(ids, seed=5, part=(1, 2))
    for got in (one, other):
        assert got.type == column.type
        assert len(got.unique()) == 300
        assert shared(got, column) == 0
        assert low <= pc.min(got).as_py() <= pc.max(got).as_py() <= high
    assert shared(one, other) == 0


def test_integers_past_a_double_are_not_rounded() -> None:
    got = fresh(fit_ids(pa.chunked_array([pa.array(RNG.integers(2**61, 2**62, N) | 1)]))).to_pylist()
    assert sum(value % 2**9 != 0 for value in got) > 250
    assert len({value % 2 for value in got}) == 1  # all fitted ones are odd, and so are the new


def test_counted_up_ids_do_not_fill_the_gaps_that_held_out_rows_left() -> None:
    for kind in (pa.int16(), pa.int64()):
        column = pa.array(RNG.permutation(5_000)[:4_000], type=kind)
        got = fresh(fit_ids(pa.chunked_array([column])), 5_000)
        assert pc.min(got).as_py() >= 5_500  # nor do they start where the next real one would


def test_narrow_types_fill_up_and_then_refuse() -> None:
    ids = fit_ids(pa.chunked_array([pa.array(range(100), type=pa.int8())]))
    assert sorted(fresh(ids, 14, part=(0, 2)).to_pylist() + fresh(ids, 14, part=(1, 2)).to_pylist()) == [
        *range(100, 128)
    ]
    with pytest.raises(EngineError, match=r"id column 'key' has room for 14 .* 15 were asked for; .*--drop key"):
        fresh(ids, 15)


def test_pandas_indexes_of_other_types() -> None:
    hours = pa.array(range(0, 3_600_000_000 * N, 3_600_000_000)).view(pa.timestamp("us"))
    got = fresh(fit_ids(pa.chunked_array([hours])))
    assert got.type == hours.type
    assert shared(got, hours) == 0
    assert np.all(got.view(pa.int64()).to_numpy() % 3_600_000_000 == 0)
    days = pa.array(range(N), type=pa.int32()).view(pa.date32())
    assert max(fresh(fit_ids(pa.chunked_array([days]))).to_pylist()).year < 9999
    for floats in (np.arange(N) / 10, RNG.normal(size=N)):
        got = fresh(fit_ids(pa.chunked_array([pa.array(floats)])))
        assert len(got.unique()) == 300
        assert shared(got, pa.array(floats)) == 0
    names = pa.array(["a", "b", None] * 20).dictionary_encode()
    got = fresh(fit_ids(pa.chunked_array([names])))
    assert got.type == names.type
    assert set(got.to_pylist()) == {"a", "b"}
    gaps = pa.array([*range(50), None, 7])
    assert fresh(fit_ids(pa.chunked_array([gaps]))).null_count == 0


@given(
    st.integers(1, 400).flatmap(
        lambda size: st.tuples(st.just(size), st.sets(st.integers(0, size - 1), min_size=1), st.integers(1, size + 5))
    ),
    st.integers(1, 4),
    st.integers(0, 5),
)
@settings(max_examples=150, deadline=None)
def test_every_free_point_is_given_out_once(lattice: tuple[int, set[int], int], parts: int, seed: int) -> None:
    size, taken, edge = lattice
    unseen = Unseen.fit(np.array(sorted(taken), dtype=np.uint64), size=size, edges=[edge, edge + 7])
    room = (size - len(taken)) // parts
    got = [unseen.draw(room, name="key", seed=seed + part, part=(part, parts)) for part in range(parts)]
    points = np.concatenate(got).tolist()
    assert len(points) == len(set(points)) == room * parts
    assert set(points) <= set(range(size)) - taken
    with pytest.raises(EngineError):
        unseen.draw(room + 1, name="key", seed=seed, part=(0, parts))
