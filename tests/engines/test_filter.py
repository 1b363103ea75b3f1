"""The filter: what is kept, that copies go, that counts and seeds hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from synthgen.data.dataset import TabularDataset, from_table
from synthgen.encode.base import EncodedTable
from synthgen.engines import load_engine, make_engine, make_raw
from synthgen.engines.belief import Belief
from synthgen.engines.classic import Oversample
from synthgen.engines.filter import Filtered, seen_rows
from synthgen.engines.learners import Bins
from synthgen.errors import ConfigError


def overlapping(n_rest: int = 400, n_own: int = 60) -> TabularDataset:
    rng = np.random.default_rng(0)
    x = np.r_[rng.normal(0, 1, n_rest), rng.normal(1, 1, n_own)]
    noise = rng.normal(size=len(x))
    label = ["no"] * n_rest + ["yes"] * n_own
    return from_table(pa.table({"x": x, "noise": noise, "label": label}), label="label")


class Repeats(Oversample):
    """Real rows that pass for generated ones, except for every ``fresh``-th, whose x is new."""

    fresh = 4

    @property
    def info(self):  # type: ignore[no-untyped-def]
        return make_raw("delta").info

    def sample(self, label, n, *, seed):  # type: ignore[no-untyped-def]
        rows = super().sample(label, n, seed=seed)
        x = rows.table.column("x").to_numpy().copy()
        if self.fresh:
            new = np.arange(n) % self.fresh == 0
            x[new] += np.random.default_rng(seed).random(new.sum()) * 1e-3 + 1e-6
        return TabularDataset(rows.table.set_column(0, "x", pa.array(x)), rows.schema, rows.classes)


def test_what_is_believed_most_is_kept() -> None:
    train = overlapping()
    kept = make_engine("delta-filter").fit(train, seed=0).sample("yes", 200, seed=0)
    free = make_engine("delta").fit(train, seed=0).sample("yes", 200, seed=0)
    filtered = make_engine("delta-filter").fit(train, seed=0)
    assert isinstance(filtered, Filtered)
    assert filtered._belief is not None
    belief = [filtered._belief.of(rows, "yes", seed=0).mean() for rows in (kept, free)]
    assert belief[0] > belief[1] + 0.1
    assert kept.table.column("x").to_numpy().mean() > free.table.column("x").to_numpy().mean() + 0.2


def test_kept_rows_are_exactly_the_most_believed_of_the_overdraw() -> None:
    engine = Filtered(make_raw("copula"), overdraw=3.0).fit(overlapping(), seed=0)
    pool: list[TabularDataset] = []
    inner, sample = engine.inner, engine.inner.sample

    def spy(label, n, *, seed):  # type: ignore[no-untyped-def]
        pool.append(sample(label, n, seed=seed))
        return pool[-1]

    inner.sample = spy  # type: ignore[method-assign]
    rows = engine.sample("yes", 50, seed=0)
    assert [len(part) for part in pool] == [150]
    assert engine._belief is not None
    all_of_them = np.sort(engine._belief.of(pool[0], "yes", seed=0))
    kept = np.sort(engine._belief.of(rows, "yes", seed=0))
    assert kept == pytest.approx(all_of_them[-50:])


def test_keep_mixes_rank_and_chance() -> None:
    train = overlapping()
    means = []
    for keep in (1.0, 0.5, 0.0):
        engine = Filtered(make_raw("delta"), overdraw=3.0, keep=keep).fit(train, seed=0)
        assert engine._belief is not None
        means.append(engine._belief.of(engine.sample("yes", 300, seed=0), "yes", seed=0).mean())
    assert means[0] > means[1] + 0.03 > means[2] + 0.06


def test_kept_rows_come_in_random_order() -> None:
    engine = make_engine("delta-filter").fit(overlapping(), seed=0)
    assert isinstance(engine, Filtered)
    assert engine._belief is not None
    belief = engine._belief.of(engine.sample("yes", 400, seed=0), "yes", seed=0)
    assert abs(np.corrcoef(np.arange(400), belief)[0, 1]) < 0.2


def test_copies_of_real_rows_are_redrawn() -> None:
    train = overlapping()
    engine = Filtered(Repeats(), overdraw=1.0).fit(train, seed=0)
    rows = engine.sample("yes", 40, seed=0)
    assert len(rows) == 40
    assert not np.isin(rows.feature_hashes(), train.feature_hashes()).any()


def test_copies_stay_only_where_nothing_else_comes() -> None:
    train = overlapping()
    repeats = Repeats()
    engine = Filtered(repeats, overdraw=1.0).fit(train, seed=0)
    for fresh, kept in ((0, 60), (40, 60 - 16)):  # every 40th of six draws of 60, 95, 91, 86, 82 and 77 is new
        repeats.fresh = fresh
        rows = engine.sample("yes", 60, seed=0)
        assert len(rows) == 60
        assert np.isin(rows.feature_hashes(), train.feature_hashes()).sum() == kept


def test_equal_rows_are_no_copies_without_numbers_that_tell_rows_apart() -> None:
    rng = np.random.default_rng(0)
    columns = {"a": rng.integers(0, 3, 200), "b": rng.integers(0, 4, 200), "label": [0] * 150 + [1] * 50}
    few = from_table(pa.table(columns), label="label")
    assert len(seen_rows(few)) == 0
    many = from_table(pa.table({**columns, "x": rng.normal(size=200)}), label="label")
    assert len(seen_rows(many)) == 200


def test_large_draws_are_made_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synthgen.engines.filter.CHUNK", 64)
    engine = make_engine("copula-filter").fit(overlapping(), seed=0)
    rows = engine.sample("yes", 150, seed=0)
    assert len(rows) == 150
    assert len(np.unique(rows.feature_hashes())) == 150


def test_a_saved_filter_keeps_what_it_was(tmp_path: Path) -> None:
    engine = Filtered(make_raw("delta"), overdraw=2.5, keep=0.7).fit(overlapping(), seed=0)
    engine.save(tmp_path)
    loaded = load_engine(tmp_path)
    assert isinstance(loaded, Filtered)
    assert (loaded._overdraw, loaded._keep, loaded.info) == (2.5, 0.7, engine.info)
    assert loaded.sample("yes", 80, seed=1).fingerprint() == engine.sample("yes", 80, seed=1).fingerprint()


def test_one_class_alone_is_not_filtered() -> None:
    engine = make_engine("delta-filter").fit(overlapping().of_class("yes"), seed=0)
    assert len(engine.sample("yes", 20, seed=0)) == 20


@pytest.mark.parametrize("option", [{"overdraw": 0.9}, {"overdraw": 1000}, {"keep": -0.1}, {"keep": 1.5}])
def test_options_out_of_range(option: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(option))):
        Filtered(make_raw("delta"), **option)


def test_ids_stay_unique_across_chunks_and_redraws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("synthgen.engines.filter.CHUNK", 8)
    rng = np.random.default_rng(0)
    columns = {"user_id": [f"{k:03d}" for k in range(120)], "x": rng.normal(size=120), "label": [0] * 80 + [1] * 40}
    train = from_table(pa.table(columns), label="label")
    engine = make_engine("delta").fit(train, seed=0)
    engine.save(tmp_path)
    for fitted in (engine, load_engine(tmp_path)):
        ids = fitted.sample(1, 300, seed=0).table.column("user_id").to_pylist()
        assert len(set(ids)) == 300
        assert not set(ids) & set(columns["user_id"])


def test_belief_is_learnt_again_to_the_bit(tmp_path: Path) -> None:
    train = overlapping()
    belief = Belief.fit(train, {"yes": 100}, seed=3)
    belief.save(tmp_path)
    again = Belief.load(tmp_path)
    assert np.array_equal(again.of(train, "yes", seed=0), belief.of(train, "yes", seed=0))
    assert belief.of(train, "yes", seed=0) == pytest.approx(1 - belief.of(train, "no", seed=0))


def test_bins_cut_a_rare_class_as_finely_as_a_common_one() -> None:
    rng = np.random.default_rng(0)
    numeric = np.r_[rng.normal(0, 1, 5000), rng.normal(20, 1, 50)].astype(np.float32)[:, None]
    rows = EncodedTable(numeric, np.zeros((5050, 0), np.int32))
    labels = np.r_[np.zeros(5000, int), np.ones(50, int)]
    bins = Bins.fit(rows, labels)
    assert np.count_nonzero(bins.edges[0] > 10) >= 30
    assert len(bins.edges[0]) < 128
    assert np.array_equal(np.argsort(bins.features(rows)[:, 0], kind="stable") >= 5000, np.arange(5050) >= 5000)


def test_repeated_rows_are_not_copies_to_drop() -> None:
    asked = []

    class Counting(Oversample):
        def sample(self, label, n, *, seed):  # type: ignore[no-untyped-def]
            asked.append(n)
            return super().sample(label, n, seed=seed)

    engine = Filtered(Counting(), overdraw=2.0).fit(overlapping(), seed=0)
    assert len(engine.sample("yes", 50, seed=0)) == 50
    assert asked == [100]
