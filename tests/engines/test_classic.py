"""SMOTE in its three forms, and rows repeated evenly."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from synthgen.data.dataset import TabularDataset, from_table
from synthgen.engines import classic, load_engine, make_engine, make_raw
from synthgen.engines.contract import mixed_table


def plain(columns: dict[str, object], label: list[int]) -> TabularDataset:
    return from_table(pa.table({**columns, "label": label}), label="label")


def test_smote_rows_lie_between_rows_of_the_class() -> None:
    rng = np.random.default_rng(0)
    x = np.r_[rng.normal(0, 1, 100), np.linspace(5, 6, 20)]
    train = plain({"x": x, "y": 2 * x}, [0] * 100 + [1] * 20)
    rows = make_raw("smote").fit(train, seed=0).sample(1, 300, seed=0)
    made = rows.table.column("x").to_numpy()
    assert made.min() >= 5 - 1e-6
    assert made.max() <= 6 + 1e-6
    assert rows.table.column("y").to_numpy() == pytest.approx(2 * made, abs=1e-4)


def test_smote_draws_in_blocks_that_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classic, "BLOCK", 40)
    train = mixed_table({"common": 60, "rare": 20})
    rows = make_raw("smote").fit(train, seed=0).sample("rare", 100, seed=0)
    assert len(rows) == 100
    assert len(np.unique(rows.feature_hashes())) > 90


def test_smote_takes_categories_by_vote_of_neighbours() -> None:
    rng = np.random.default_rng(0)
    x = np.r_[rng.normal(0, 1, 60), np.linspace(0, 1, 20), np.linspace(50, 51, 20)]
    city = ["a"] * 60 + ["b"] * 20 + ["c"] * 20
    train = plain({"x": x, "city": city}, [0] * 60 + [1] * 40)
    table = make_raw("smote").fit(train, seed=0).sample(1, 200, seed=0).table
    low = table.column("x").to_numpy() < 25
    assert set(np.array(table.column("city").to_pylist())[low]) == {"b"}
    assert set(np.array(table.column("city").to_pylist())[~low]) == {"c"}


def test_smote_repeats_rows_that_nothing_tells_apart() -> None:
    """Red when what has no column to move is prepared like any other."""
    train = plain({"flag": ["x"] * 60}, [0] * 40 + [1] * 20)
    rows = make_engine("smote").fit(train, seed=0).sample(1, 7, seed=0)
    assert rows.table.column("flag").to_pylist() == ["x"] * 7


@pytest.mark.parametrize(("rows", "k"), [(2, 1), (4, 3), (30, 5)])
def test_smote_neighbours(monkeypatch: pytest.MonkeyPatch, rows: int, k: int) -> None:
    import imblearn.over_sampling

    asked: list[int] = []
    smote = imblearn.over_sampling.SMOTE

    def spy(**options: object) -> object:
        asked.append(int(str(options["k_neighbors"])))
        return smote(**options)

    monkeypatch.setattr(imblearn.over_sampling, "SMOTE", spy)
    x = np.random.default_rng(0).normal(size=60 + rows)
    make_raw("smote").fit(plain({"x": x}, [0] * 60 + [1] * rows), seed=0).sample(1, 5, seed=0)
    assert asked == [k]


def test_oversample_spreads_evenly() -> None:
    train = mixed_table({"a": 50, "b": 9})
    rows = make_engine("oversample").fit(train, seed=0).sample("b", 9 * 4 + 5, seed=0)
    times = Counter(rows.feature_hashes().tolist())
    assert sorted(times.values()) == [4, 4, 4, 4, 5, 5, 5, 5, 5]


def test_oversample_chooses_the_rest_at_random_and_shuffles() -> None:
    train = mixed_table({"a": 50, "b": 9})
    engine = make_engine("oversample").fit(train, seed=0)
    extra = {tuple(sorted(engine.sample("b", 3, seed=seed).feature_hashes().tolist())) for seed in range(6)}
    assert len(extra) > 3
    order = engine.sample("b", 9, seed=0).feature_hashes()
    assert not np.array_equal(order, train.of_class("b").feature_hashes())


def test_oversample_returns_real_rows_to_the_bit(tmp_path: Path) -> None:
    train = mixed_table({"a": 50, "b": 9})
    engine = make_engine("oversample").fit(train, seed=0)
    engine.save(tmp_path)
    for fitted in (engine, load_engine(tmp_path)):
        rows = fitted.sample("b", 9, seed=0)
        key = [("user_id", "ascending")]
        assert rows.table.sort_by(key).to_pylist() == train.of_class("b").table.sort_by(key).to_pylist()


def test_oversample_keeps_the_wanted_classes_only() -> None:
    engine = classic.Oversample().fit(mixed_table({"a": 50, "b": 9}), seed=0)
    assert engine._rows is not None
    assert engine._rows.counts() == {"a": 0, "b": 9}


def test_smote_never_takes_a_category_between_two() -> None:
    rng = np.random.default_rng(0)
    city = list("abcdef") * 10 + list("ace") * 2  # in any order of codes, others lie between a, c and e
    train = plain({"x": rng.normal(size=66), "city": city}, [0] * 60 + [1] * 6)
    made = make_raw("smote").fit(train, seed=0).sample(1, 300, seed=0).table.column("city").to_pylist()
    assert set(made) == {"a", "c", "e"}
