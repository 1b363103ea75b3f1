"""Statistics against brute force and known values, and how often the intervals miss."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats
from sklearn.metrics import average_precision_score, roc_auc_score

from synthgen.quality.stats import (
    UNKNOWN,
    Bootstrapped,
    Estimate,
    acceleration,
    bootstrap_weights,
    cross_fitted,
    excess,
    holm,
    ranking,
    wilson,
)


@pytest.mark.parametrize("seed", range(20))
def test_ranking_is_sklearn_under_every_weighting(seed: int) -> None:
    """Ties and zero weights included. Mutant: ties cut between equal scores (drop the tie groups)."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(4, 60))
    scores, positive = rng.integers(0, 8, n) / 7, rng.random(n) < 0.4
    positive[:2] = [True, False]
    weights = rng.integers(0, 4, (n, 6)).astype(np.float32)
    weights[:2] += 1
    ap, auc = ranking(scores, positive, weights)
    for b in range(6):
        assert ap[b] == pytest.approx(average_precision_score(positive, scores, sample_weight=weights[:, b]), abs=1e-6)
        assert auc[b] == pytest.approx(roc_auc_score(positive, scores, sample_weight=weights[:, b]), abs=1e-6)


def test_ranking_without_one_side_is_unknown() -> None:
    one = np.ones((3, 2), dtype=np.float32)
    for positive in (np.zeros(3, dtype=bool), np.ones(3, dtype=bool)):
        ap, auc = ranking(np.arange(3.0), positive, one)
        assert np.isnan(auc).all()
        assert np.isnan(ap).all() or positive.all()


def test_ranking_in_blocks_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    weights = rng.random((50, 30)).astype(np.float32)
    args = (rng.normal(size=50), rng.random(50) < 0.3, weights)
    whole = ranking(*args)
    monkeypatch.setattr("synthgen.quality.stats.MAX_BLOCK", 200)
    np.testing.assert_array_equal(whole, ranking(*args))


def test_bootstrap_weights_keep_every_class_size() -> None:
    """Mutant: resample over all rows instead of within strata."""
    codes = np.repeat([0, 1], [90, 10])
    weights = bootstrap_weights(codes, n_resamples=50, n_draws=4, rng=np.random.default_rng(0))
    assert weights.rows[codes == 1].sum(axis=0) == pytest.approx(10)
    assert weights.rows[codes == 0].sum(axis=0) == pytest.approx(90)
    assert (weights.rows[:, 0] == 1).all()
    assert weights.rows[:, 1:51].std() > 0
    assert weights.draws.sum(axis=1) == pytest.approx(1)
    assert weights.df == 9
    assert (weights.rows[:, weights.jackknife[1]] == 0).any(axis=0).all()


def test_bootstrap_weights_take_groups_whole() -> None:
    """Mutant: ignore ``units``."""
    rng = np.random.default_rng(0)
    codes, units = np.repeat([0, 1], 30), np.tile(np.arange(12), 5)
    weights = bootstrap_weights(codes, n_resamples=40, n_draws=2, rng=rng, units=units, base=np.full(60, 2.0))
    for unit in range(12):
        assert (weights.rows[units == unit] == weights.rows[units == unit][0]).all()
    assert set(np.unique(weights.rows[:, 1:41])) > {0.0, 2.0, 4.0}


def test_folded_vectors_are_linear_and_begin_with_the_mean() -> None:
    weights = bootstrap_weights(np.zeros(20, int), n_resamples=30, n_draws=3, rng=np.random.default_rng(1))
    figures = np.random.default_rng(2).normal(size=(2, 3, weights.rows.shape[1]))
    a, b = weights.fold(figures[0]), weights.fold(figures[1])
    assert a[0] == pytest.approx(figures[0][:, 0].mean())
    np.testing.assert_allclose(weights.fold(figures[0] - figures[1]), a - b)
    assert len(a) == weights.rows.shape[1] + 3
    np.testing.assert_allclose(weights.infer(a).replicates, (weights.draws * figures[0][:, 1:31].T).sum(axis=1))


def test_bca_is_scipys_where_the_sample_is_large() -> None:
    """Mutant: leave the acceleration out (0): the skewed mean's bounds move."""
    sample = np.random.default_rng(0).exponential(size=400) ** 2
    rng = np.random.default_rng(1)
    replicates = sample[rng.integers(0, 400, (20_000, 400))].mean(axis=1)
    without = (sample.sum() - sample) / 399
    mine = Bootstrapped(float(sample.mean()), replicates, acceleration([without]), 10**6).interval(0.05)
    theirs = scipy_stats.bootstrap(
        (sample,), np.mean, confidence_level=0.9, n_resamples=20_000, method="BCa", rng=np.random.default_rng(2)
    ).confidence_interval
    assert mine.low == pytest.approx(theirs.low, abs=0.015)
    assert mine.high == pytest.approx(theirs.high, abs=0.015)


def test_bootstrap_p_value_is_the_interval_turned_round() -> None:
    replicates = np.random.default_rng(0).gamma(3, size=50_000)
    found = Bootstrapped(3.0, replicates, 0.05, 25)
    for alpha in (0.01, 0.05, 0.2):
        assert found.p_below(found.interval(alpha).high) == pytest.approx(alpha, rel=0.1)
        assert 1 - found.p_below(found.interval(alpha).low) == pytest.approx(alpha, rel=0.1)


def test_bootstrap_of_a_constant_and_of_nothing() -> None:
    constant = Bootstrapped(0.0, np.zeros(100), 0.0, 10)
    assert constant.interval(0.05) == Estimate(0.0, 0.0, 0.0)
    assert (constant.p_below(0.1), constant.p_below(-0.1)) == (0.0, 1.0)
    nothing = Bootstrapped(np.nan, np.full(100, np.nan), 0.0, 10)
    assert np.isnan(nothing.interval(0.05).low)
    assert np.isnan(nothing.p_below(0.0))


def test_cross_fitted_is_nadeau_and_bengios_formula() -> None:
    """Mutant: the plain s^2 / J (drop the test share)."""
    values = np.array([0.02, 0.05, -0.01, 0.04, 0.03])
    found = cross_fitted(np.r_[values, np.nan], test_share=0.25)
    error = np.sqrt(values.var(ddof=1) * (1 / 5 + 0.25))
    assert (found.value, found.error, found.df) == (pytest.approx(0.026), pytest.approx(error), 4)
    interval = found.interval(0.05)
    assert interval.high - interval.value == pytest.approx(2.131847 * error, rel=1e-5)
    assert found.p_below(interval.high) == pytest.approx(0.05)


def test_cross_fitted_of_equal_single_and_no_cells() -> None:
    assert cross_fitted(np.zeros(10), test_share=0.25).interval(0.05) == Estimate(0, 0, 0)
    assert np.isnan(cross_fitted(np.array([0.1]), test_share=0.25).interval(0.05).low)
    assert np.isnan(cross_fitted(np.array([np.nan]), test_share=0.25).p_below(0.0))


def test_wilson_newcombe_and_holm_give_the_published_values() -> None:
    eight = wilson(8, 10, alpha=0.025)
    assert (eight.low, eight.high) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))
    assert wilson(0, 50, alpha=0.05).low == 0
    assert wilson(50, 50, alpha=0.05).high == 1
    assert wilson(0, 0, alpha=0.05) is UNKNOWN
    gap = excess(wilson(56, 70, alpha=0.025), wilson(48, 80, alpha=0.025))
    assert (gap.low, gap.high) == (pytest.approx(0.0524, abs=1e-4), pytest.approx(0.3339, abs=1e-4))
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])


def test_estimates_survive_json_with_nothing_infinite() -> None:
    estimate = Estimate(0.5, np.nan, np.inf)
    back = Estimate.from_json(estimate.to_json())
    assert estimate.to_json() == {"value": 0.5, "low": None, "high": None}
    assert (back.value, np.isnan(back.low)) == (0.5, True)


def test_bootstrap_covers_a_gain_at_thirty_positives() -> None:
    """Two scores of equal worth, three noisy draws each: 90 % intervals of the AP gain miss 0 at most 8 % a side.

    Mutant: each arm its own weights (unpaired) or plain z instead of t at 10 positives both move the rate.
    """
    rng, misses, n = np.random.default_rng(0), np.zeros(2), 150
    positive = np.arange(330) < 30
    for _ in range(n):
        weights = bootstrap_weights(positive.astype(int), n_resamples=400, n_draws=3, rng=rng)
        signal = positive * 1.4 + rng.normal(size=330)
        one, two = (signal + 0.7 * rng.normal(size=330) for _ in range(2))
        folded = [
            weights.fold(
                np.stack([ranking(arm + 0.3 * rng.normal(size=330), positive, weights.rows)[0] for _ in range(3)])
            )
            for arm in (one, two)
        ]
        found = weights.infer(folded[0] - folded[1]).interval(0.05)
        misses += [found.low > 0, found.high < 0]
    assert (misses / n <= 0.08).all()
    assert misses.sum() >= 2, "an interval that never misses is too wide to show anything"


def test_cross_fitted_covers_the_difference_of_two_learners() -> None:
    """Means of shared training rows as "learners", judged fold by fold: 90 % intervals miss at most 12 % of the time,
    where the uncorrected t misses more than 20 %. Mutant: no correction."""
    rng, n_sets, share = np.random.default_rng(3), 300, 0.25
    misses, plain = 0, 0
    for _ in range(n_sets):
        x = rng.normal(size=(60, 2))
        gains = []
        for _ in range(2):
            fold = rng.permutation(60) % 5
            for k in range(5):
                fit, judge = x[fold != k], x[fold == k]
                errors = [np.mean((judge[:, j] - fit[:, j].mean()) ** 2) for j in range(2)]
                gains.append(errors[0] - errors[1])
        found = cross_fitted(np.array(gains), test_share=share).interval(0.05)
        bare = cross_fitted(np.array(gains), test_share=0.0).interval(0.05)
        misses += int(found.low > 0) + int(found.high < 0)
        plain += int(bare.low > 0) + int(bare.high < 0)
    assert misses / n_sets <= 0.12
    assert plain / n_sets > 0.2
