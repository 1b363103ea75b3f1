"""The check checked, at small size: what must never pass never does, and what is true rows passes."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from quality_kit import QUICK, WEIGHTS, Arm, arms, independent, keep, meant, real_rows, repeated, table, wrong_class

from synthgen.data.dataset import TabularDataset
from synthgen.quality.gate import Drawer, Gate, Verdict, assess


def statuses(candidate: Arm, *, n: int, check: str, rows: int = 160, rare: int = 40) -> Counter[str]:
    """The verdicts of ``n`` seeded simulations."""
    found: Counter[str] = Counter()
    gate = QUICK if check == "holdout" else Gate(learners=("logistic",), folds=4, repeats=1)
    for seed in range(n):
        holdout = table(150, 40, seed=1000 + seed) if check == "holdout" else None
        train = table(rows, rare, seed=seed)
        verdict = assess(train, arms=arms(candidate), holdout=holdout, check=check, gate=gate, seed=seed, draws=3)
        found[verdict.status] += 1
    return found


def again(train: TabularDataset, seed: int) -> Drawer:
    """A few rows of both classes again: nothing new, only another seed."""
    return lambda draw: train.take(np.random.default_rng([seed % 2**32, draw]).integers(0, len(train), len(train) // 4))


@pytest.mark.parametrize("check", ["cv", "holdout"])
@pytest.mark.parametrize("prepare", [again, repeated], ids=["again", "repeats"])
def test_nothing_new_passes_no_more_often_than_allowed(check: str, prepare: object) -> None:
    """Mutant: read "mean improved" as PASS (about half of these would). The full-size run is in benchmarks/."""
    candidate = meant("synthetic", prepare)  # type: ignore[arg-type]
    assert statuses(candidate, n=12, check=check)["PASS"] <= 1


@pytest.mark.parametrize("check", ["cv", "holdout"])
def test_rows_of_the_wrong_class_never_pass(check: str) -> None:
    candidate = meant("synthetic", wrong_class)
    found = statuses(candidate, n=5, check=check, rows=400)
    assert found["PASS"] == 0
    assert found["FAIL"] >= (3 if check == "holdout" else 0), "fifteen rare rows a fold can hardly prove harm"


def test_independent_columns_never_pass() -> None:
    candidate = meant("synthetic", independent)
    assert statuses(candidate, n=5, check="holdout")["PASS"] == 0


def judged(train: TabularDataset, candidate: Arm, metric: str, seed: int) -> Verdict:
    gate = Gate(metric=metric, learners=("logistic",), resamples=400)
    holdout = table(1500, 300, seed=500 + seed, width=12)
    return assess(train, arms=arms(candidate), holdout=holdout, check="holdout", gate=gate, seed=seed, draws=3)


def test_true_rows_are_found() -> None:
    """What a perfect generator gives passes at 300 rare holdout rows. Mutants: no gain is ever enough; or the alarms
    at which recalls are compared are each arm's own, tuned on eight rare rows."""
    found = Counter(
        judged(table(400, 8, seed=seed, width=12), real_rows(pool(seed)), "average_precision", seed).status
        for seed in range(5)
    )
    assert found["PASS"] >= 4


def pool(seed: int) -> TabularDataset:
    """True rows of the rare class that nobody has seen."""
    return table(4000, 400, seed=900 + seed, width=12).of_class(1)


def test_a_threshold_shift_earns_nothing() -> None:
    """Repeats move every probability up; at .5 that doubles the recall. With cut-offs tuned out of fold it is worth
    nothing, while true rows are worth something. Mutant: decide at .5 (``Cut`` ignored)."""
    candidate = meant("synthetic", repeated)
    gains = []
    for seed in range(3):
        verdict = judged(table(400, 40, seed=seed, width=12), candidate, "balanced_accuracy", seed)
        assert verdict.status != "PASS"
        gains.append(verdict.better_than_nothing.value)
    assert np.mean(gains) < 0.02


def test_class_weights_do_as_well_is_said() -> None:
    """A candidate that is class weights by another name is better than what is free by nothing."""
    weighted = Arm("synthetic", keep, weighted=True, role="candidate")
    verdict = assess(
        table(600, 60),
        arms=[*arms(weighted)[:2], WEIGHTS],
        gate=Gate(learners=("logistic",), useful_effect=0.05),
        seed=0,
    )
    assert verdict.status == "NO LIFT"
    assert verdict.best_free in ("class weights", "none")
