"""Cut-offs and calibrators: what is free must be free, whatever the scale of a score."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, softmax

from synthgen.quality.figures import parse_metric, recalls
from synthgen.quality.tuning import (
    AVERAGE,
    Cuts,
    Judged,
    Predicted,
    Problem,
    _platt,
    _several,
    alarms,
    base_weights,
    counts_at,
    fit_calibrator,
    found_at,
    rank_share,
    tune_cuts,
    with_average,
)


def two_classes(metric: str = "average_precision") -> Problem:
    return Problem(2, 1, np.array([0.9, 0.1]), np.arange(2), parse_metric(metric))


def judged(seed: int, *, n: int = 400, shape: float = 1.0, shift: float = 0.0) -> Judged:
    """Scores whose order depends on the seed alone; ``shape`` and ``shift`` bend the scale without moving the order."""
    rng = np.random.default_rng(seed)
    codes = (rng.random(n) < 0.1).astype(int)
    p = expit(shape * (rng.normal(size=n) + 1.5 * codes) + shift)
    proba = np.stack([1 - p, p], 1)
    return Judged(codes, np.ones(n), {"m": Predicted(proba, proba)})


def test_rank_share_counts_ties_half() -> None:
    np.testing.assert_allclose(rank_share(np.array([1.0, 3, 3, 2]), np.ones(4)), [0.125, 0.75, 0.75, 0.375])
    np.testing.assert_allclose(rank_share(np.array([1.0, 2]), np.array([3.0, 1.0])), [0.375, 0.875])


def test_the_average_is_of_ranks_and_leaves_the_users_own_out() -> None:
    p = np.array([0.1, 0.5, 0.9])
    proba = np.stack([1 - p, p], 1)
    learners = {"logistic": proba, "forest": proba**4, "own": proba[::-1]}
    members = with_average(learners, np.ones(3), panel=("logistic", "forest"))
    assert list(members) == ["logistic", "forest", "own", AVERAGE]
    np.testing.assert_allclose(members[AVERAGE].ranks[:, 1], [1 / 6, 0.5, 5 / 6])
    assert AVERAGE not in with_average({"logistic": proba}, np.ones(3), panel=("logistic",))


def test_the_tuned_cut_is_the_best_there_is_under_each_weighting() -> None:
    """Mutant: one cut for all weightings."""
    rows = judged(0, n=60)
    weights = np.random.default_rng(1).integers(0, 4, (60, 5)).astype(np.float32)
    cuts = tune_cuts([rows], "m", two_classes(), "balanced_accuracy", weights)
    scores, rare = rows.members["m"].ranks[:, 1], rows.codes == 1
    for b in range(5):
        w = weights[:, b]
        best = max(
            np.sum(w[rare & (scores >= c)]) / w[rare].sum() - np.sum(w[~rare & (scores >= c)]) / w[~rare].sum()
            for c in scores
        )
        assert cuts.true_rates[b] - cuts.false_rates[b] == pytest.approx(max(best, 0), abs=1e-6)


def decided(rows: Judged, cuts: Cuts, problem: Problem, weights: np.ndarray | None = None) -> np.ndarray:
    one = base_weights([rows]) if weights is None else weights
    return counts_at(rows, "m", cuts, problem, one, prior=problem.prior)


@pytest.mark.parametrize(("shape", "shift"), [(0.3, 0.0), (3.0, 0.0), (1.0, 4.0), (1.0, -4.0)])
def test_a_threshold_shift_earns_nothing(shape: float, shift: float) -> None:
    """Another scale of the same order decides the same rows. Mutant: cut at .5, or at a score instead of a rate."""
    problem = two_classes()
    plain = tune([judged(0), judged(1)], problem)
    moved = [judged(i, shape=shape, shift=shift) for i in range(3)]
    cuts = tune(moved[:2], problem)
    assert cuts == plain
    assert tune([moved[0], judged(1)], problem) == plain, "a fold's own scale must not matter either"
    np.testing.assert_array_equal(decided(moved[2], cuts, problem), decided(judged(2), plain, problem))


def tune(sets: list[Judged], problem: Problem, objective: str = "balanced_accuracy") -> Cuts:
    return tune_cuts(sets, "m", problem, objective, base_weights(sets))


def test_a_cut_flags_its_share_and_follows_the_prior() -> None:
    rows, problem = judged(0), two_classes()
    cuts = Cuts(np.array([0.2]), np.array([0.7]), np.zeros(1))
    for prior, share in ((np.array([0.9, 0.1]), 0.25), (np.array([0.5, 0.5]), 0.45)):
        counts = counts_at(rows, "m", cuts, problem, base_weights([rows]), prior=prior)
        assert counts.sum() == 400
        assert counts[:, 1].sum() / 400 == pytest.approx(share, abs=0.005)


def test_cuts_and_weightings_go_together_one_by_one_or_one_with_all() -> None:
    rows, problem = judged(0), two_classes()
    weights = np.random.default_rng(1).integers(0, 4, (400, 3)).astype(np.float32)
    cuts = Cuts(np.array([0.1, 0.3, 0.5]), np.array([0.5, 0.6, 0.9]), np.zeros(3))
    together = decided(rows, cuts, problem, weights)
    for b in range(3):
        alone = decided(rows, cuts[b : b + 1], problem, weights[:, b : b + 1])
        np.testing.assert_array_equal(together[:, :, b], alone[:, :, 0])
    one_weighting = decided(rows, cuts, problem, weights[:, :1])
    np.testing.assert_array_equal(one_weighting[:, :, 2], decided(rows, cuts[2:], problem, weights[:, :1])[:, :, 0])
    one_cut = decided(rows, cuts[:1], problem, weights)
    np.testing.assert_array_equal(one_cut[:, :, 1], decided(rows, cuts[:1], problem, weights[:, 1:2])[:, :, 0])


def test_a_dear_miss_moves_the_cut_down() -> None:
    sets = [judged(i) for i in range(3)]
    rates = [tune(sets, two_classes(f"cost:fn={fn},fp=1"), "cost").true_rates[0] for fn in (1, 10, 100)]
    assert rates == sorted(rates)
    assert rates[0] < rates[-1]


def test_several_classes_divide_by_a_power_of_the_prior() -> None:
    """Mutant: always power 0."""
    rng = np.random.default_rng(0)
    prior = np.array([0.9, 0.07, 0.03])
    codes = rng.choice(3, 4000, p=prior)
    x = rng.normal(size=(4000, 3)) + 1.2 * np.eye(3)[codes]
    proba = softmax(1.2 * x + np.log(prior), axis=1)
    rows = Judged(codes, np.ones(4000), {"m": Predicted(proba, proba)})
    problem = Problem(3, 2, prior, np.arange(3), parse_metric("average_precision"))
    cuts = tune([rows], problem)
    assert cuts.powers[0] in (0.75, 1.0, 1.25)
    plain = Cuts(np.zeros(1), np.zeros(1), np.zeros(1))
    recall = [recalls(decided(rows, each, problem))[2, 0] for each in (plain, cuts)]
    assert recall[1] > recall[0] + 0.2
    both = Cuts(np.zeros(2), np.zeros(2), np.array([0.0, cuts.powers[0]]))
    mixed = decided(rows, both, problem)
    np.testing.assert_array_equal(mixed[:, :, 0], decided(rows, plain, problem)[:, :, 0])
    np.testing.assert_array_equal(mixed[:, :, 1], decided(rows, cuts, problem)[:, :, 0])


def test_calibration_undoes_scale_and_prior() -> None:
    """Mutant: no shift in Platt's sigmoid."""
    rng = np.random.default_rng(0)
    z = rng.normal(-2, 1.5, 20_000)
    codes = (rng.random(20_000) < expit(z)).astype(int)
    p = expit(2 * z + 3)
    proba = np.stack([1 - p, p], 1)
    found = fit_calibrator(proba, codes, np.ones(20_000))
    assert found.slope == pytest.approx(0.5, abs=0.03)
    assert found.shift[1] - found.shift[0] == pytest.approx(-1.5, abs=0.1)
    assert np.mean(found(proba)[:, 1]) == pytest.approx(codes.mean(), abs=1e-3)


def test_both_calibrators_agree_on_two_classes() -> None:
    rows = judged(3)
    logits = np.log(rows.members["m"].proba)
    share, ridge = rows.weights / rows.weights.sum(), 1 / len(rows.codes)
    newton = _platt(logits[:, 1] - logits[:, 0], rows.codes == 1, share, ridge)
    lbfgs = _several(logits, rows.codes, share, ridge)
    assert newton.slope == pytest.approx(lbfgs.slope, abs=0.02)
    assert newton.shift[1] == pytest.approx(lbfgs.shift[1], abs=0.05)


def test_calibrating_perfect_scores_ends() -> None:
    codes = np.repeat([0, 1], 20)
    proba = np.stack([1 - codes, codes], 1).astype(float)
    out = fit_calibrator(proba, codes, np.ones(40))(proba)
    assert np.isfinite(out).all()
    assert (out.argmax(axis=1) == codes).all()


def test_recalls_are_compared_at_equal_alarms() -> None:
    """Whatever an arm's own best cut-off is, as many rows are flagged as doing nothing flags. Mutant: the arm's own."""
    problem, rows = two_classes(), judged(5)
    cuts = alarms([judged(0), judged(1)], "m", problem)[1]
    assert cuts == tune([judged(0), judged(1)], problem)
    share = cuts.false_rates[0] * 0.9 + cuts.true_rates[0] * 0.1
    weights = np.random.default_rng(0).integers(0, 3, (400, 4)).astype(np.float32)
    found = found_at(rows, "m", 1, cuts, weights, 0.1)
    scores, rare = rows.members["m"].ranks[:, 1], rows.codes == 1
    highest = scores >= np.sort(scores)[::-1][round(share * 400) - 1]
    for b in range(4):
        assert found[b] == pytest.approx(np.sum(weights[rare & highest, b]) / np.sum(weights[rare, b]), abs=0.03)
    whole = found_at(rows, "m", 0, alarms([judged(0)], "m", problem)[0], np.ones((400, 1), dtype=np.float32), 0.9)
    assert 0.5 < whole[0] < 1
