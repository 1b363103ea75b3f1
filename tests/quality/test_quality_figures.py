"""Every figure against scikit-learn or brute force, and the metric's words."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from synthgen.errors import ConfigError
from synthgen.quality import figures
from synthgen.quality.figures import parse_metric


@pytest.mark.parametrize(
    ("text", "kind", "numbers", "decides"),
    [
        ("average_precision", "average_precision", (), False),
        ("roc_auc", "roc_auc", (), False),
        ("balanced_accuracy", "balanced_accuracy", (), True),
        ("recall@fpr=.01", "recall@fpr", (0.01,), False),
        ("recall@fpr=0.05", "recall@fpr", (0.05,), False),
        ("precision@k=100", "precision@k", (100.0,), False),
        ("cost:fn=10,fp=1", "cost", (10.0, 1.0), True),
        ("cost: fn=2.5, fp=.5", "cost", (2.5, 0.5), True),
    ],
)
def test_metrics_are_parsed(text: str, kind: str, numbers: tuple[float, ...], decides: bool) -> None:
    metric = parse_metric(text)
    assert (metric.kind, metric.numbers, metric.decides) == (kind, numbers, decides)
    assert metric.words


@pytest.mark.parametrize(
    "text", ["", "accuracy", "recall@fpr=0", "recall@fpr=2", "precision@k=0", "cost:fn=0,fp=1", "average_precision2"]
)
def test_unknown_metrics_name_the_known_ones(text: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_metric(text)
    assert "metric" in str(error.value)
    if text in ("", "accuracy"):
        assert figures.KNOWN in str(error.value)


@pytest.fixture
def sample() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 3, 80)
    return codes, np.where(rng.random(80) < 0.6, codes, rng.integers(0, 3, 80)), rng.random((80, 4)).astype(np.float32)


def test_decision_figures_are_sklearns(sample: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    codes, decided, weights = sample
    counts = figures.confusion(codes, decided, weights, 3)
    for b in range(4):
        w = weights[:, b]
        expected = metrics.recall_score(codes, decided, average=None, sample_weight=w)
        np.testing.assert_allclose(figures.recalls(counts)[:, b], expected, rtol=1e-5)
        f1 = metrics.f1_score(codes, decided, average="macro", sample_weight=w)
        assert figures.macro_f1(counts, np.arange(3))[b] == pytest.approx(f1, rel=1e-5)
        mcc = metrics.matthews_corrcoef(codes, decided, sample_weight=w)
        assert figures.mcc(counts)[b] == pytest.approx(mcc, rel=1e-5)


def test_constant_decisions_have_no_correlation(sample: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    codes, _, weights = sample
    assert (figures.mcc(figures.confusion(codes, np.zeros(80, int), weights, 3)) == 0).all()


def test_recall_at_a_rate_is_the_roc_curve_read_there() -> None:
    """Mutant: allow the first threshold past the rate."""
    rng = np.random.default_rng(1)
    positive = rng.random(300) < 0.2
    scores = np.round(rng.normal(size=300) + positive, 1)
    weights = rng.integers(1, 4, (300, 3)).astype(np.float32)
    for rate in (0.01, 0.1, 0.5):
        found = figures.recall_at_rate(scores, positive, weights, rate)
        for b in range(3):
            fpr, tpr, _ = metrics.roc_curve(positive, scores, sample_weight=weights[:, b], drop_intermediate=False)
            assert found[b] == pytest.approx(tpr[fpr <= rate + 1e-9].max())


def test_precision_among_the_first() -> None:
    scores = np.array([5.0, 4, 4, 3, 2])
    positive = np.array([True, True, False, False, True])
    one = np.ones((5, 1), dtype=np.float32)
    assert figures.precision_at(scores, positive, one, 1)[0] == 1
    assert figures.precision_at(scores, positive, one, 2)[0] == pytest.approx(0.75), "a tie shares the last place"
    assert figures.precision_at(scores, positive, one, 3)[0] == pytest.approx(2 / 3)
    assert figures.precision_at(scores, positive, one, 100)[0] == pytest.approx(3 / 5)


def test_costs_are_saved_where_less_is_missed() -> None:
    codes = np.array([0, 0, 1, 1])
    one = np.ones((4, 1), dtype=np.float32)
    for decided, cost in (([0, 0, 1, 1], 0), ([0, 0, 1, 0], 10 / 4), ([1, 0, 1, 1], 1 / 4)):
        counts = figures.confusion(codes, np.array(decided), one, 2)
        assert figures.saved_cost(counts, 1, (10.0, 1.0))[0] == pytest.approx(-cost)


def test_losses_are_sklearns_for_two_classes() -> None:
    rng = np.random.default_rng(2)
    p, codes = rng.uniform(0.01, 0.99, 50), rng.integers(0, 2, 50)
    brier, log_loss = figures.row_losses(np.stack([1 - p, p], 1), codes)
    assert brier.mean() == pytest.approx(metrics.brier_score_loss(codes, p))
    assert log_loss.mean() == pytest.approx(metrics.log_loss(codes, p))


def test_ranking_figures_are_the_mean_over_classes_and_skip_absent_ones() -> None:
    rng = np.random.default_rng(3)
    codes, scores = rng.integers(0, 3, 60), rng.random((60, 4))
    one = np.ones((60, 1), dtype=np.float32)
    found = figures.ranking_figures(scores, codes, one, classes=np.arange(4), metric=parse_metric("recall@fpr=.2"))
    ap = [metrics.average_precision_score(codes == k, scores[:, k]) for k in range(3)]
    assert found["average_precision"][0] == pytest.approx(np.mean(ap), rel=1e-5)
    assert set(found) == {"average_precision", "roc_auc", "recall@fpr=.2"}
    assert np.isnan(figures.macro([np.array([np.nan]), np.array([np.nan])]))[0]
