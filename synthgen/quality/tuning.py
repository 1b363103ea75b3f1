"""What is tuned out of fold, so that a threshold shift earns nothing: cut-offs and calibrators.

Knows numbers only. Everything here is fitted on predictions for rows that the judged rows are not among.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial

import numpy as np
from scipy import optimize, special

from synthgen.quality import figures
from synthgen.quality.figures import Metric
from synthgen.quality.stats import prefix_sums, stairs

EPSILON = 1e-7
POWERS = (-0.25, 0.0, 0.25, 0.5, 0.75, 1.0, 1.25)
AVERAGE = "average"


@dataclass(frozen=True)
class Predicted:
    """One panel member on one set of rows: ``ranks`` (N, K) order the rows, ``proba`` (N, K) are probabilities."""

    ranks: np.ndarray
    proba: np.ndarray


@dataclass(frozen=True)
class Judged:
    """Rows to judge with every member's predictions: ``codes`` (N,) class codes, ``weights`` (N,) of the rows."""

    codes: np.ndarray
    weights: np.ndarray
    members: Mapping[str, Predicted]


def with_average(
    learners: Mapping[str, np.ndarray], weights: np.ndarray, *, panel: Sequence[str]
) -> dict[str, Predicted]:
    """Return the members of ``learners`` (name to (N, K)) and the average of the ranks of those in ``panel``."""
    members = {name: Predicted(proba, proba) for name, proba in learners.items()}
    inside = [learners[name] for name in panel if name in learners]
    if len(inside) > 1:
        ranks = np.mean(
            [np.stack([rank_share(p[:, k], weights) for k in range(p.shape[1])], 1) for p in inside], axis=0
        )
        members[AVERAGE] = Predicted(ranks, np.mean(inside, axis=0))
    return members


def rank_share(scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the share of rows below each score, ties counted half, in (0, 1)."""
    order = np.argsort(scores, kind="stable")
    _, first = np.unique(scores[order], return_index=True)
    sums = np.add.reduceat(weights[order].astype(float), first) if len(first) else np.empty(0)
    middle = (np.cumsum(sums) - sums / 2) / max(sums.sum(), EPSILON)
    out = np.empty(len(scores))
    out[order] = np.repeat(middle, np.diff(np.r_[first, len(scores)]))
    return out


@dataclass(frozen=True, eq=False)
class Cuts:
    """Cut-offs, one for each of B weightings (or one for all). Two classes: flag the share of rows that
    ``false_rates`` of the common and ``true_rates`` of the rare rows make; a rate and not a score, for a score's scale
    moves with every fit. Several: probabilities are divided by prior ** ``powers`` before the largest decides.
    """

    false_rates: np.ndarray
    true_rates: np.ndarray
    powers: np.ndarray

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Cuts):
            return NotImplemented
        return all(np.array_equal(getattr(self, each.name), getattr(other, each.name)) for each in fields(self))

    def __getitem__(self, columns: slice) -> Cuts:
        return Cuts(self.false_rates[columns], self.true_rates[columns], self.powers[columns])

    @classmethod
    def joined(cls, parts: Sequence[Cuts]) -> Cuts:
        """Return the cut-offs of the parts' weightings, one after another."""
        return cls(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(cls)))


@dataclass(frozen=True)
class Problem:
    """What all of a check's predictions share: K classes, the rare one (of two), the real rows' ``prior`` (K,),
    the ``classes`` that are judged, and the primary metric."""

    n_classes: int
    rare: int
    prior: np.ndarray
    classes: np.ndarray
    metric: Metric

    @property
    def binary(self) -> bool:
        """Whether there are two classes."""
        return self.n_classes == 2

    @property
    def ranked(self) -> np.ndarray:
        """The classes whose ranking counts: the rare one of two, else every judged one."""
        return np.array([self.rare]) if self.binary else self.classes

    @property
    def objectives(self) -> tuple[str, ...]:
        """What cut-offs are tuned for."""
        return ("balanced_accuracy", "macro_f1", *(["cost"] if self.metric.kind == "cost" else []))


def base_weights(sets: Sequence[Judged]) -> np.ndarray:
    """Return the rows' own weights as one weighting, (N, 1) float32."""
    return np.concatenate([judged.weights for judged in sets])[:, None].astype(np.float32)


def tune_cuts(sets: Sequence[Judged], member: str, problem: Problem, objective: str, weights: np.ndarray) -> Cuts:
    """Return the member's best cut-off on ``sets`` (out-of-fold rows, each ranked within its own fold) under every
    column of ``weights`` (N, B), the rows of ``sets`` one after another."""
    if problem.binary:
        return _best_rates(sets, member, problem.rare, weights, partial(_two_class_score, problem, objective))
    codes = np.concatenate([judged.codes for judged in sets])
    proba = np.concatenate([judged.members[member].proba for judged in sets])
    scores = np.stack(
        [
            _score(
                figures.confusion(codes, _by_power(proba, power, problem), weights, problem.n_classes),
                problem,
                objective,
            )
            for power in POWERS
        ]
    )
    best = np.argmax(np.where(np.isfinite(scores), scores, -np.inf), axis=0)
    return Cuts(np.zeros(len(best)), np.zeros(len(best)), np.array(POWERS)[best])


def counts_at(
    judged: Judged, member: str, cuts: Cuts, problem: Problem, weights: np.ndarray, *, prior: np.ndarray
) -> np.ndarray:
    """Return weighted counts (K, K, B), real by decided class, when the b-th of ``cuts`` decides under the b-th column
    of ``weights`` (where there is one of either, it goes with all of the other). ``prior`` (K,) is the class share to
    expect among these rows."""
    if problem.binary:
        return _flagged_counts(judged, member, problem.rare, cuts, weights, prior[problem.rare])
    n = max(len(cuts.powers), weights.shape[1])
    powers, column = np.broadcast_to(cuts.powers, (n,)), np.arange(n) % weights.shape[1]
    counts = np.empty((problem.n_classes, problem.n_classes, n))
    for power in np.unique(powers):
        decided = _by_power(judged.members[member].proba, float(power), problem)
        here = powers == power
        needed, back = np.unique(column[here], return_inverse=True)
        counts[:, :, here] = figures.confusion(judged.codes, decided, weights[:, needed], problem.n_classes)[:, :, back]
    return counts


def alarms(sets: Sequence[Judged], member: str, problem: Problem) -> dict[int, Cuts]:
    """Return, per judged class, the best cut-off against the rest on ``sets``: how many alarms to compare at."""
    weights = base_weights(sets)
    return {int(k): _best_rates(sets, member, int(k), weights, _youden) for k in problem.classes}


def found_at(judged: Judged, member: str, code: int, cuts: Cuts, weights: np.ndarray, prior: float) -> np.ndarray:
    """Return the recall of a class (B,) when as many rows are flagged for it as ``cuts`` flag at that ``prior``."""
    counts = _flagged_counts(judged, member, code, cuts, weights, prior)
    own = min(code, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(counts[own, own] / counts[own].sum(axis=0))


def _flagged_counts(
    judged: Judged, member: str, code: int, cuts: Cuts, weights: np.ndarray, prior: float
) -> np.ndarray:
    """Counts (2, 2, B) of one class against the rest, itself at index ``min(code, 1)``, flagged from the top down."""
    share = cuts.false_rates * (1 - prior) + cuts.true_rates * prior
    share = np.broadcast_to(share, (max(len(share), weights.shape[1]),))
    ranks = rank_share(judged.members[member].ranks[:, code], judged.weights)
    order = np.argsort(-ranks, kind="stable")
    n_flagged = np.searchsorted(-ranks[order], -(1 - share), "left")
    positive = judged.codes[order] == code
    n_true = np.r_[0, np.cumsum(positive)][n_flagged]
    at, column = np.arange(len(share)), np.arange(len(share)) % weights.shape[1]
    counts = np.empty((2, 2, len(share)))
    own = min(code, 1)
    for side, rows, ends in ((own, order[positive], n_true), (1 - own, order[~positive], n_flagged - n_true)):
        sums = prefix_sums(weights[rows], np.r_[ends, len(rows)])
        counts[side, own] = sums[at, column]
        counts[side, 1 - own] = sums[-1, column] - sums[at, column]
    return counts


def _best_rates(
    sets: Sequence[Judged],
    member: str,
    code: int,
    weights: np.ndarray,
    score: Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray],
) -> Cuts:
    """The rates at the best of all cut-offs for one class against the rest: that is right below one of its rows, or
    above all rows. ``score`` gets what is flagged of the class and of the rest (T, B), and their totals (B,)."""
    ranks = np.concatenate([rank_share(judged.members[member].ranks[:, code], judged.weights) for judged in sets])
    positive = np.concatenate([judged.codes == code for judged in sets])
    rates = np.zeros((2, weights.shape[1]))
    for block in stairs(ranks, positive, weights):
        nothing = np.zeros((1, block.hits.shape[1]))
        true = np.concatenate([nothing, np.cumsum(block.hits, axis=0)])
        false = np.concatenate([nothing, block.after])
        with np.errstate(invalid="ignore", divide="ignore"):
            value = score(true, false, true[-1], block.negatives)
            best = np.argmax(np.where(np.isfinite(value), value, -np.inf), axis=0)
            at = np.arange(len(best))
            found = np.stack([false[best, at] / block.negatives, true[best, at] / true[-1]])
        rates[:, block.columns] = np.nan_to_num(found)
    return Cuts(rates[0], rates[1], np.zeros(weights.shape[1]))


def _youden(true: np.ndarray, false: np.ndarray, positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    return np.asarray(true / positives - false / negatives)


def _two_class_score(
    problem: Problem, objective: str, true: np.ndarray, false: np.ndarray, positives: np.ndarray, negatives: np.ndarray
) -> np.ndarray:
    rare, common = problem.rare, 1 - problem.rare
    counts = np.empty((2, 2, true.size))
    counts[rare, rare], counts[rare, common] = true.ravel(), (positives - true).ravel()
    counts[common, rare], counts[common, common] = false.ravel(), (negatives - false).ravel()
    return _score(counts, problem, objective).reshape(true.shape)


def _by_power(proba: np.ndarray, power: float, problem: Problem) -> np.ndarray:
    prior = np.maximum(problem.prior, EPSILON)
    return np.asarray(np.argmax((proba + EPSILON) / prior**power, axis=1))


def _score(counts: np.ndarray, problem: Problem, objective: str) -> np.ndarray:
    if objective == "macro_f1":
        return figures.macro_f1(counts, problem.classes)
    if objective == "cost":
        return figures.saved_cost(counts, problem.rare, problem.metric.numbers)
    return figures.macro(list(figures.recalls(counts)[problem.classes]))


@dataclass(frozen=True)
class Calibrator:
    """softmax(slope * log p + shift): Platt's sigmoid for two classes, a temperature and a prior per class for more."""

    slope: float
    shift: np.ndarray

    def __call__(self, proba: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities (N, K)."""
        return np.asarray(special.softmax(self.slope * np.log(np.clip(proba, EPSILON, 1)) + self.shift, axis=1))


def fit_calibrator(proba: np.ndarray, codes: np.ndarray, weights: np.ndarray) -> Calibrator:
    """Return the calibrator of least log loss on out-of-fold ``proba`` (N, K), held a little towards doing nothing."""
    logits = np.log(np.clip(proba, EPSILON, 1))
    share, ridge = weights / max(weights.sum(), EPSILON), 1.0 / max(len(codes), 1)
    if proba.shape[1] == 2:
        return _platt(logits[:, 1] - logits[:, 0], codes == 1, share, ridge)
    return _several(logits, codes, share, ridge)


def _platt(gap: np.ndarray, positive: np.ndarray, share: np.ndarray, ridge: float) -> Calibrator:
    """Newton's steps, halved where they would overshoot, for p = sigmoid(slope * gap + shift)."""
    theta, anchor = np.array([1.0, 0.0]), np.array([1.0, 0.0])

    def loss(theta: np.ndarray) -> float:
        z = theta[0] * gap + theta[1]
        return float(share @ np.logaddexp(0, np.where(positive, -z, z)) + ridge / 2 * np.sum((theta - anchor) ** 2))

    now = loss(theta)
    for _ in range(30):
        p = special.expit(theta[0] * gap + theta[1])
        slip, bend = share * (p - positive), share * p * (1 - p)
        gradient = np.array([slip @ gap, slip.sum()]) + ridge * (theta - anchor)
        cross = bend @ gap
        hessian = np.array([[bend @ gap**2 + ridge, cross], [cross, bend.sum() + ridge]])
        step = np.linalg.solve(hessian, gradient)
        while (then := loss(theta - step)) > now and np.abs(step).max() > 1e-9:
            step = step / 2
        theta, gone, now = theta - step, now - then, then
        if gone < 1e-10:
            break
    return Calibrator(float(theta[0]), np.array([0.0, theta[1]]))


def _several(logits: np.ndarray, codes: np.ndarray, share: np.ndarray, ridge: float) -> Calibrator:
    rows = np.arange(len(codes))

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        z = theta[0] * logits
        z[:, 1:] += theta[1:]
        z -= z.max(axis=1, keepdims=True)
        slip = np.exp(z)
        total = slip.sum(axis=1, keepdims=True)
        slip /= total
        value = -float(share @ (z[rows, codes] - np.log(total[:, 0])))
        slip[rows, codes] -= 1
        slip *= share[:, None]
        pull = np.r_[theta[0] - 1, theta[1:]]
        gradient = np.r_[np.sum(slip * logits), slip[:, 1:].sum(axis=0)] + ridge * pull
        return value + ridge / 2 * float(pull @ pull), gradient

    start = np.r_[1.0, np.zeros(logits.shape[1] - 1)]
    found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 60})
    return Calibrator(float(found.x[0]), np.r_[0.0, found.x[1:]])
