"""Rows taught by a panel: what it believes, which rows are seeds, how they move."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from synthgen.data.dataset import TabularDataset, from_table
from synthgen.data.layout import TableLayout
from synthgen.encode.base import EncodedTable
from synthgen.engines import load_engine, make_engine, make_raw, save_engine, taught, teacher
from synthgen.engines.contract import mixed_table
from synthgen.engines.taught import POWER, Taught, _held, _moves, _others
from synthgen.errors import EngineError


def hidden_positives(n_rest: int = 600, n_own: int = 40, n_alike: int = 60) -> TabularDataset:
    """Rows of the class around 2, most others around -1, and some others that look like the class."""
    rng = np.random.default_rng(0)
    centre = np.r_[np.full(n_rest, -1.0), np.full(n_alike, 2.0), np.full(n_own, 2.0)]
    label = ["no"] * (n_rest + n_alike) + ["yes"] * n_own
    x, y = (centre + 0.6 * rng.normal(size=len(centre)) for _ in range(2))
    return from_table(pa.table({"x": x, "y": y, "label": label}), label="label")


def fitted(train: TabularDataset) -> Taught:
    engine = make_raw("taught").fit(train, seed=0)
    assert isinstance(engine, Taught)
    return engine


def test_rows_that_could_be_of_the_class_are_believed_whatever_their_label() -> None:
    train = hidden_positives()
    engine = fitted(train)
    assert engine._beliefs is not None
    believed = engine._beliefs[:, train.classes.index("yes")]
    far, alike, own = believed[:600].mean(), believed[600:660].mean(), believed[660:].mean()
    assert far < 0.02
    assert 0.15 < alike < own < 0.8
    assert engine._beliefs.sum(axis=1) == pytest.approx(np.ones(len(train)), abs=1e-6)


def test_rows_come_from_where_the_class_is_and_of_other_classes_too() -> None:
    train = hidden_positives()
    engine = fitted(train)
    rows = engine.sample("yes", 400, seed=0)
    x = rows.table.column("x").to_numpy()
    assert x.mean() == pytest.approx(2.0, abs=0.3)
    assert (x < 0).mean() < 0.02
    pool = engine._pool
    assert pool is not None
    believed = engine._beliefs[:, 1] ** POWER  # type: ignore[index]
    assert 0.1 < believed[pool.labels == 0].sum() / believed.sum() < 0.6


def test_no_row_is_a_seed_more_often_than_rows_of_the_class_by_turns() -> None:
    assert _held(np.array([8.0, 1.0, 1.0]), 0.5) == pytest.approx([0.5, 0.25, 0.25])
    assert _held(np.array([3.0, 2.0, 1.0]), 1.0) == pytest.approx([0.5, 1 / 3, 1 / 6])
    assert _held(np.array([9.0, 8.0, 1e-6]), 0.5) == pytest.approx([0.5, 0.5, 0.0], abs=1e-6)
    assert _held(np.array([1.0, 0.0, 0.0]), 0.5) == pytest.approx([0.5, 0.25, 0.25])
    assert _held(np.zeros(4), 0.25) == pytest.approx([0.25] * 4)
    weights = np.sort(np.random.default_rng(0).random(300) ** 8)[::-1]
    chance = _held(weights, 1 / 20)
    assert chance.sum() == pytest.approx(1)
    assert chance.max() <= 1 / 20 + 1e-12
    assert (np.diff(chance) <= 1e-15).all()


def test_a_row_moves_by_the_difference_of_two_others_near_it() -> None:
    train = hidden_positives()
    pool = fitted(train)._pool
    assert pool is not None
    seeds = np.arange(600, 700)
    around, near = _moves(pool, seeds)
    assert around.shape == (100, 10)
    assert not (around == seeds[:, None]).any()
    used = np.unique(around)
    assert not (near[used] == used[:, None]).any()
    points = pool.dense(np.arange(len(pool.labels)))
    for k in (0, 50):
        away = np.linalg.norm(points - points[seeds[k]], axis=1)
        assert sorted(away[around[k]]) == pytest.approx(np.sort(away)[1:11], abs=1e-3)


def test_a_row_found_behind_its_twins_is_still_left_out() -> None:
    assert _others(np.array([[4, 3, 5], [1, 2, 6]]), np.array([3, 9])).tolist() == [[4, 5], [1, 2]]
    assert _others(np.array([[0]]), np.array([0])).tolist() == [[0]]


def test_every_class_of_many_gets_its_own_rows() -> None:
    train = mixed_table({"a": 90, "b": 40, "c": 12, "d": 5})
    engine = make_engine("taught").fit(train, seed=0)
    for label in ("b", "c", "d"):
        assert len(engine.sample(label, 70, seed=1)) == 70
    assert engine.sample("c", 30, seed=1).fingerprint() != engine.sample("d", 30, seed=1).fingerprint()


def test_a_broken_folder_is_named(tmp_path: Path) -> None:
    save_engine(fitted(hidden_positives()), tmp_path)
    (tmp_path / "beliefs.npz").unlink()
    with pytest.raises(EngineError, match="not a complete saved engine"):
        load_engine(tmp_path)


def test_a_seed_s_chance_is_held_to_the_class_s_even_share(monkeypatch: pytest.MonkeyPatch) -> None:
    most: list[float] = []
    monkeypatch.setattr(taught, "_held", lambda weights, at_most: (most.append(at_most), _held(weights, at_most))[1])
    fitted(hidden_positives(n_own=40)).sample("yes", 5, seed=0)
    assert most == [1 / 40]


def test_every_row_is_left_out_of_one_fit_in_three_and_judged_by_all(monkeypatch: pytest.MonkeyPatch) -> None:
    class Recorder:
        classes_ = np.array([0, 1])

        def fit(self, x, y):  # type: ignore[no-untyped-def]
            seen.append(set(x[:, 0].tolist()))
            assert y.sum() in (6, 7)
            return self

        def predict_proba(self, x):  # type: ignore[no-untyped-def]
            return np.full((len(x), 2), 0.5)

    seen: list[set[float]] = []
    monkeypatch.setattr(teacher, "_panel", lambda layout, n, trees, line, *, seed: ((Recorder(), line),))
    rows = EncodedTable(np.arange(60, dtype=np.float32)[:, None] / 10, np.zeros((60, 0), dtype=np.int32))
    layout = TableLayout(n_numeric=1, levels=())
    judged = teacher.beliefs(rows, (np.arange(60) < 10).astype(int), layout, 2, seed=0)
    assert judged.sum(axis=1) == pytest.approx(np.full(60, 1 / teacher.MEMBERS))
    assert [sum(float(value) in known for known in seen) for value in rows.numeric[:, 0]] == [2] * 60


def test_equal_numbers_are_equal_scores_and_a_spike_stays_a_spike() -> None:
    rng = np.random.default_rng(0)
    label = ["no"] * 500 + ["yes"] * 40
    gain = np.where(rng.random(540) < 0.9, 0.0, rng.lognormal(8, 1, 540))
    x = rng.normal(size=540) + np.r_[np.zeros(500), np.full(40, 1.5)]
    train = from_table(pa.table({"x": x, "gain": gain, "label": label}), label="label")
    engine = fitted(train)
    pool = engine._pool
    assert pool is not None
    scores = pool.encoded.numeric[:, 1]
    assert len(np.unique(scores[gain == 0])) == 1
    assert (scores != 0).all()
    decoded = pool.codec.decode(pool.encoded, label="yes", seed=0)
    assert np.array_equal(decoded.table.column("gain").to_numpy(), gain)
    rows = engine.sample("yes", 500, seed=0).table.column("gain").to_numpy()
    assert (rows == 0).mean() > 0.75
