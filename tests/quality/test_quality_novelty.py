"""Copies and fidelity, each beside what real rows show of themselves."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from quality_kit import table

from synthgen.data.dataset import TabularDataset, from_table
from synthgen.quality.fidelity import C2ST, auc_interval, c2st, per_class
from synthgen.quality.novelty import Copies, count_copies, natural_share, weigh
from synthgen.quality.rules import Gate, copied


def with_ids(x: np.ndarray, start: int, label: int) -> TabularDataset:
    n = len(x)
    arrays = {"x": x, "customer_id": np.arange(start, start + n), "label": np.r_[[1 - label], [label] * (n - 1)]}
    return from_table(pa.table(arrays), label="label")


def exact_copies(synthetic: TabularDataset, train: TabularDataset, holdout: TabularDataset | None = None) -> Copies:
    real = train if holdout is None else train.concat(holdout)
    own = np.isin(real.label_codes, np.unique(synthetic.label_codes))
    natural = natural_share(real.feature_hashes(), own, alpha=0.05)
    count = count_copies(
        synthetic.feature_hashes(),
        train=train.feature_hashes(),
        holdout=None if holdout is None else holdout.feature_hashes(),
    )
    return weigh(count, natural, alpha=0.05, leaks=holdout is not None)


def test_a_copy_under_a_fresh_id_and_another_label_is_a_copy() -> None:
    """Mutant: hash whole rows."""
    x = np.random.default_rng(0).normal(size=200)
    train = with_ids(x, 0, 1)
    synthetic = with_ids(np.r_[x[:50], x[50:200] + 1e-9], 10_000, 0)
    found = exact_copies(synthetic, train)
    assert found.share.value == 0.25
    assert found.natural.value == 0
    assert found.excess.low > 0.15
    assert copied(found, Gate())


@pytest.mark.parametrize(("share", "caught"), [(0.0, False), (0.02, True), (0.1, True)])
def test_planted_copies_are_caught(share: float, caught: bool) -> None:
    """Mutant: compare the point estimates, or never fail."""
    train, fresh = table(1000, 300), table(2000, 600, seed=1)
    n = int(2000 * share)
    synthetic = fresh.take(np.arange(2000 - n)).concat(train.take(np.arange(n)))
    assert copied(exact_copies(synthetic, train), Gate()) is caught


def test_rows_that_coincide_by_nature_are_no_copies() -> None:
    """A table of three small columns repeats itself. Mutant: compare with 0 instead of the natural share."""

    def cells(n: int, seed: int) -> TabularDataset:
        rng = np.random.default_rng(seed)
        arrays = {f"c{j}": rng.integers(0, 6, n) for j in range(3)} | {"label": rng.integers(0, 2, n)}
        return from_table(pa.table(arrays), label="label")

    found = exact_copies(cells(1000, 1), cells(400, 2))
    assert found.share.value > 0.5
    assert not copied(found, Gate())


def test_rows_of_the_holdout_among_the_synthetic_are_caught() -> None:
    """Mutant: no look at the holdout."""
    train, holdout, fresh = table(600, 200), table(200, 60, seed=1), table(500, 100, seed=2)
    clean = exact_copies(fresh, train, holdout=holdout)
    assert clean.leaked.value == 0
    assert not copied(clean, Gate())
    leaked = exact_copies(fresh.concat(holdout.take(np.arange(20))), train, holdout=holdout)
    assert leaked.leaked.value == pytest.approx(20 / 520)
    assert copied(leaked, Gate())


def test_no_synthetic_rows_are_no_copies_and_json_comes_back() -> None:
    train = table(50, 10)
    nothing = exact_copies(train.take(np.arange(0)), train)
    assert nothing.n_rows == 0
    assert not copied(nothing, Gate())
    found = exact_copies(train.take(np.arange(5)), train, holdout=table(30, 5, seed=3))
    assert Copies.from_json(found.to_json()) == found


def test_rows_of_the_same_kind_cannot_be_told_apart_and_others_can() -> None:
    """Mutant: judge the forest on rows it was fitted on (the floor leaves .5)."""
    real, more, other = (table(400, 80, seed=s).of_class(0) for s in (0, 1, 2))
    found = c2st(more, real, seen=other, seed=0)
    assert found.n_rows == 320
    assert found.auc.low < 0.5 < found.auc.high or abs(found.auc.value - 0.5) < 0.08
    assert found.floor.low < 0.5 < found.floor.high or abs(found.floor.value - 0.5) < 0.08
    shifted = c2st(table(400, 399, seed=3, gap=1.5).of_class(1), real, seen=other, seed=0)
    assert shifted.auc.low > 0.7 > shifted.floor.high
    assert c2st(more, real, seen=other, seed=0) == found
    assert C2ST.from_json(found.to_json()) == found


def test_without_seen_rows_the_unseen_are_halved_and_few_are_not_estimated() -> None:
    real = table(200, 80).of_class(1)
    found = c2st(table(300, 100, seed=1).of_class(1), real, seed=0)
    assert found.n_rows == 40
    few = c2st(real, real.take(np.arange(40)), seed=0)
    assert np.isnan(few.auc.value)
    assert "20 rows" in few.note


def test_each_class_is_told_apart_by_itself() -> None:
    synthetic, real = table(300, 100, seed=1), table(400, 150)
    found = per_class(synthetic.of_class(1), real, seed=0)
    assert list(found) == [1]


def test_auc_interval_is_delongs() -> None:
    rng = np.random.default_rng(0)
    missed = 0
    for _ in range(300):
        found = auc_interval(rng.normal(size=40), rng.normal(size=40), alpha=0.05)
        missed += not found.low <= 0.5 <= found.high
    assert 0.05 <= missed / 300 <= 0.14
    sure = auc_interval(np.ones(30), np.zeros(30), alpha=0.05)
    assert sure.value == 1
    assert 0.85 < sure.low < 1
