"""Delta and copula: what their rows owe to the class and to the rest, bounded memory, small classes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from synthgen.data.dataset import TabularDataset, from_table
from synthgen.encode.base import EncodedTable
from synthgen.engines import make_raw
from synthgen.engines.base import FitContext
from synthgen.engines.neighbours import nearest
from synthgen.engines.pool import Pool, bounded, dense
from synthgen.engines.quantile import Copula, Delta, _neighbours, rest_of
from synthgen.errors import TooFewRows


def sloped(n_rest: int, n_own: int, *, seed: int = 0) -> TabularDataset:
    """x and y follow each other closely in the rest; the class lies higher, its rows few."""
    rng = np.random.default_rng(seed)
    x = np.r_[rng.normal(0, 1, n_rest), rng.normal(1.5, 0.4, n_own)]
    y = x + rng.normal(0, 0.1, len(x))
    colour = np.where(rng.random(len(x)) < 0.5, "red", "blue")
    label = np.r_[np.zeros(n_rest, int), np.ones(n_own, int)]
    return from_table(pa.table({"x": x, "y": y, "colour": colour, "label": label}), label="label")


def numbers(rows: TabularDataset, *names: str) -> np.ndarray:
    return np.stack([rows.table.column(name).to_numpy() for name in names], axis=1)


@pytest.mark.parametrize("name", ["delta", "copula"])
def test_dependence_is_kept_from_few_rows(name: str) -> None:
    rows = make_raw(name).fit(sloped(2000, 12), seed=0).sample(1, 500, seed=0)
    x, y = numbers(rows, "x", "y").T
    assert np.corrcoef(x, y)[0, 1] > 0.75
    assert x.mean() == pytest.approx(1.5, abs=0.4)


def test_independent_loses_dependence_and_keeps_marginals() -> None:
    rows = make_raw("independent").fit(sloped(500, 200), seed=0).sample(1, 2000, seed=0)
    x, y = numbers(rows, "x", "y").T
    assert abs(np.corrcoef(x, y)[0, 1]) < 0.15
    assert x.mean() == pytest.approx(1.5, abs=0.15)


def test_delta_is_a_seed_plus_a_difference_of_neighbours() -> None:
    train = sloped(300, 6)
    engine = Delta().fit(train, seed=0)
    pool = engine._pool
    assert pool is not None
    own = pool.own(1, engine="delta")
    z = pool.encoded.numeric.astype(np.float64)
    rest = rest_of(pool, own)
    made = engine._prepare(pool, own)(40, np.random.default_rng(0)).numeric
    # every row must be z_seed + z_b - z_a for some seed and some pair of the rest
    for row in made:
        need = (row - z[own])[:, None, :] + z[rest][None]  # what z_b would have to be, for each seed and a
        distance = np.abs(need[:, :, None, :] - z[rest][None, None]).max(axis=-1)
        assert distance.min() < 1e-5


def test_delta_moves_by_small_steps() -> None:
    train = sloped(2000, 30)
    engine = Delta().fit(train, seed=0)
    pool = engine._pool
    assert pool is not None
    own = pool.own(1, engine="delta")
    made = engine._prepare(pool, own)(500, np.random.default_rng(0)).numeric
    nearest = np.linalg.norm(made[:, None] - pool.encoded.numeric[own][None], axis=-1).min(axis=1)
    assert 0 < np.median(nearest) < 0.3


def test_delta_takes_differences_within_one_class() -> None:
    """Two classes lie on top of each other: half of the nearest rows are of the other one."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=410)
    label = ["a"] * 200 + ["b"] * 200 + ["c"] * 10
    engine = Delta().fit(from_table(pa.table({"x": x, "label": label}), label="label"), seed=0)
    pool = engine._pool
    assert pool is not None
    own = pool.own("c", engine="delta")
    rest = rest_of(pool, own)
    around, near = _neighbours(pool, own, rest)
    used = np.unique(around)
    classes = pool.labels[rest]
    assert (classes[near[used]] == classes[used][:, None]).all()
    assert (near[used] != used[:, None]).all()


def test_delta_takes_the_category_of_the_second_where_neighbours_disagree() -> None:
    train = sloped(400, 10)
    engine = Delta().fit(train, seed=0)
    pool = engine._pool
    assert pool is not None
    own = pool.own(1, engine="delta")
    flipped = EncodedTable(numeric=pool.encoded.numeric, codes=pool.encoded.codes.copy())
    flipped.codes[:] = 0  # all neighbours agree: the seed's category must stay
    flipped.codes[own] = 1
    agreed = Pool(pool.codec, flipped, pool.labels, pool.classes)
    made = Delta()._prepare(agreed, own)(200, np.random.default_rng(0))
    assert (made.codes == 1).all()


def test_copula_keeps_mean_and_spread_of_the_class() -> None:
    train = sloped(1500, 150)
    engine = Copula().fit(train, seed=0)
    pool = engine._pool
    assert pool is not None
    own = pool.own(1, engine="copula")
    z = pool.encoded.numeric[own]
    made = engine._prepare(pool, own)(20_000, np.random.default_rng(0)).numeric
    assert made.mean(axis=0) == pytest.approx(z.mean(axis=0), abs=0.05)
    assert made.std(axis=0) == pytest.approx(z.std(axis=0), rel=0.15)


def test_copula_takes_the_row_s_own_categories() -> None:
    train = sloped(500, 60)
    rows = Copula().fit(train, seed=0).sample(1, 4000, seed=0)
    share = np.mean(np.array(rows.table.column("colour").to_pylist()) == "red")
    real = np.mean(np.array(train.of_class(1).table.column("colour").to_pylist()) == "red")
    assert share == pytest.approx(real, abs=0.03)


@pytest.mark.parametrize(("name", "rows"), [("delta", 1), ("copula", 4), ("smote", 1)])
def test_class_below_min_rows_is_refused(name: str, rows: int) -> None:
    engine = make_raw(name).fit(sloped(60, rows), seed=0)
    with pytest.raises(TooFewRows, match=f"class 1 has {rows} training rows, engine '{name}' needs"):
        engine.sample(1, 5, seed=0)


def test_kept_rows_are_bounded_and_the_wanted_class_is_whole() -> None:
    train = sloped(5000, 40)
    rows = bounded(train, {1: 100}, rest=300, own=1000, seed=0)
    kept = train.take(rows).counts()
    assert kept[1] == 40
    assert 280 <= kept[0] <= 300
    assert (np.diff(rows) > 0).all()
    few = train.take(bounded(train, {1: 100}, rest=300, own=25, seed=0)).counts()
    assert 25 <= few[1] <= 30
    assert not np.array_equal(rows, bounded(train, {1: 100}, rest=300, own=1000, seed=1))


def test_the_rest_is_bounded_when_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synthgen.engines.quantile.MAX_REST", 50)
    engine = Delta().fit(sloped(400, 10), seed=0)
    pool = engine._pool
    assert pool is not None
    assert 100 <= len(pool.labels) <= 110
    assert len(rest_of(pool, pool.own(1, engine="delta"))) == 50
    assert len(engine.sample(1, 30, seed=0)) == 30


def test_one_class_alone_moves_by_its_own_differences() -> None:
    train = sloped(200, 30).of_class(1)
    rows = Delta().fit(train, seed=0, context=FitContext()).sample(1, 50, seed=0)
    assert rows.counts() == {0: 0, 1: 50}


def test_queries_in_chunks_equal_one_query(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    points, queries = rng.normal(size=(500, 20)), rng.normal(size=(90, 20))
    whole = nearest(points, queries, 7)
    monkeypatch.setattr("synthgen.engines.neighbours.CHUNK", 16)
    assert np.array_equal(whole, nearest(points, queries, 7))
    assert whole[0, 0] == np.linalg.norm(points - queries[0], axis=1).argmin()


def test_levels_lie_equally_far_apart() -> None:
    codes = np.arange(100, dtype=np.int32)[:, None]
    few = dense(EncodedTable(np.zeros((3, 0), np.float32), codes[:3]), (3,))
    assert np.linalg.norm(few[0] - few[1]) == pytest.approx(2**0.5)
    many = dense(EncodedTable(np.zeros((100, 0), np.float32), codes), (100,))
    assert many.shape == (100, 16)
    gaps = np.linalg.norm(many[:, None] - many[None], axis=-1)[np.triu_indices(100, 1)]
    assert gaps.mean() == pytest.approx(2**0.5, abs=0.05)
    assert gaps.min() > 0.5


def gappy(n_rest: int = 900, n_own: int = 150) -> TabularDataset:
    """Half of the numbers are missing; those of the class that are there lie about 3."""
    rng = np.random.default_rng(0)
    label = np.r_[np.zeros(n_rest, int), np.ones(n_own, int)]
    x = pa.array(rng.normal(3.0 * label, 1.0), mask=rng.random(len(label)) < 0.5)
    return from_table(pa.table({"x": x, "y": rng.normal(size=len(label)), "label": label}), label="label")


@pytest.mark.parametrize("name", ["delta", "copula", "independent"])
def test_missing_numbers_do_not_pull_the_others(name: str) -> None:
    train = gappy()
    real = train.of_class(1).table.column("x").drop_null().to_numpy()
    rows = make_raw(name).fit(train, seed=0).sample(1, 3000, seed=0).table.column("x")
    made = rows.drop_null().to_numpy()
    assert rows.null_count / len(rows) == pytest.approx(0.5, abs=0.1)
    assert made.mean() == pytest.approx(real.mean(), abs=0.2)
    assert made.std() == pytest.approx(real.std(), rel=0.25)


def test_scores_of_missing_numbers_are_told_from_others() -> None:
    pool = Delta().fit(gappy(), seed=0)._pool
    assert pool is not None
    flags = pool.encoded.codes[:, 0]
    assert np.array_equal(pool.encoded.numeric[:, 0] == 0, flags == 1)
    assert (pool.encoded.numeric[:, 1] != 0).all()


def test_delta_keeps_the_seed_s_number_where_a_neighbour_has_none() -> None:
    train = sloped(400, 10)
    engine = Delta().fit(train, seed=0)
    pool = engine._pool
    assert pool is not None
    own = pool.own(1, engine="delta")
    z = pool.encoded.numeric.copy()
    z[:, 1] *= 50  # neighbours by the second number; of the first, every second row of the rest lacks one
    z[::2, 0] = 0.0
    z[own, 0] = 0.25
    gaps = Pool(pool.codec, EncodedTable(z, pool.encoded.codes), pool.labels, pool.classes)
    engine._pool = gaps
    around, near = _neighbours(gaps, own, rest_of(gaps, own))
    lacks = z[rest_of(gaps, own)][:, 0] == 0
    either = lacks[around][:, :, None] | lacks[near[around]]
    made = engine._prepare(gaps, own)(20_000, np.random.default_rng(0)).numeric[:, 0]
    assert np.mean(made == 0.25) == pytest.approx(either.mean(), abs=0.02)
    assert either.mean() > np.mean(lacks[around][:, :, None] & lacks[near[around]]) + 0.05
    z[own, 0] = 0.0  # the seeds lack theirs: the second's stands in
    made = engine._prepare(gaps, own)(500, np.random.default_rng(0)).numeric[:, 0]
    assert np.isin(made, z[:, 0]).all()
