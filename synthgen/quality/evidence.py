"""From predictions to figures: what each arm reaches per learner, with everything tuned on rows it is not judged on.

Knows numbers only; may import the rest of quality. A figure is a vector (one number per cell, or the estimate with
its resamples), and vectors may be averaged and subtracted before anything is inferred from them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from synthgen.quality import figures
from synthgen.quality.stats import Inference, Weights
from synthgen.quality.tuning import (
    Calibrator,
    Cuts,
    Judged,
    Problem,
    alarms,
    base_weights,
    counts_at,
    fit_calibrator,
    found_at,
    tune_cuts,
)

AT_PAR = "recall at equal alarms:"
MAX_CELLS = 2_000_000
RAREST = 3

Vectors = dict[str, dict[str, np.ndarray]]
"""member -> figure -> vector"""


@dataclass(frozen=True)
class ArmEvidence:
    """An arm's ``vectors``, and ``choice``: its primary figure on rows that do not judge, by which the best free arm
    is chosen: (J,), for each cell from the other folds of its repeat, or (1,) from the inner folds."""

    vectors: Vectors
    choice: np.ndarray

    def panel(self, figure: str) -> np.ndarray:
        """Return the mean over the panel's members: the gated vector."""
        return np.asarray(np.mean([member[figure] for member in self.vectors.values()], axis=0))

    def of(self, cells: np.ndarray) -> ArmEvidence:
        """Return the evidence of the ``cells`` in the mask (J,) alone, NaN in the others."""
        vectors = {
            member: {name: np.where(cells, values, np.nan) for name, values in figures_of.items()}
            for member, figures_of in self.vectors.items()
        }
        return ArmEvidence(vectors, self.choice)


@dataclass(frozen=True)
class Evidence:
    """Every arm's evidence, and how a vector is read."""

    arms: Mapping[str, ArmEvidence]
    primary: str
    infer: Callable[[np.ndarray], Inference]

    def gain(self, figure: str, arm: str, over: str) -> np.ndarray:
        """Return the vector of ``arm`` minus ``over``, panel means."""
        return np.asarray(self.arms[arm].panel(figure) - self.arms[over].panel(figure))

    def best_free(self, free: Sequence[str]) -> tuple[np.ndarray, dict[str, float]]:
        """Return the primary vector of the best of ``free``, chosen without the judged rows, and how often each was.

        The first named wins a tie, so ``free`` starts with doing nothing.
        """
        choices = np.stack([self.arms[name].choice for name in free])
        picked = np.argmax(np.where(np.isfinite(choices), choices, -np.inf), axis=0)
        table = np.stack([self.arms[name].panel(self.primary) for name in free])
        vector = table[picked[0]] if choices.shape[1] == 1 else table[picked, np.arange(table.shape[1])]
        return vector, {name: float(np.mean(picked == i)) for i, name in enumerate(free)}


_Cuts = Mapping[str, Cuts]
"""objective -> cut-offs"""


@dataclass(frozen=True)
class _Fixed:
    """What is tuned once for a member, under whatever weights its figures are: on an arm's out-of-fold rows the
    ``calibrator``; on the same rows as doing nothing predicts them the ``alarms``: recalls are compared at equal
    numbers of alarms, because each arm's own best cut-off is a noisy place on its curve."""

    calibrator: Calibrator
    alarms: Mapping[int, Cuts]


def _fix(sets: Sequence[Judged], plain: Sequence[Judged], member: str, problem: Problem) -> _Fixed:
    proba = np.concatenate([judged.members[member].proba for judged in sets])
    codes = np.concatenate([judged.codes for judged in sets])
    return _Fixed(fit_calibrator(proba, codes, base_weights(sets)[:, 0]), alarms(plain, member, problem))


def _tune(sets: Sequence[Judged], member: str, problem: Problem, weights: np.ndarray) -> _Cuts:
    return {objective: tune_cuts(sets, member, problem, objective, weights) for objective in problem.objectives}


def _figures(
    judged: Judged,
    member: str,
    fixed: _Fixed,
    tuned: _Cuts,
    problem: Problem,
    weights: np.ndarray,
    prior: np.ndarray,
) -> dict[str, np.ndarray]:
    """Every figure of one member on one set of rows under ``weights`` (N, B)."""
    said, metric = judged.members[member], problem.metric
    out = figures.ranking_figures(said.ranks, judged.codes, weights, classes=problem.ranked, metric=metric)
    out |= _decisions(judged, member, tuned, problem, weights, prior)
    for k, cuts in fixed.alarms.items():
        out[f"{AT_PAR}{k}"] = found_at(judged, member, k, cuts, weights, prior[k])
    losses = np.stack(figures.row_losses(fixed.calibrator(said.proba), judged.codes)).astype(np.float32)
    out["brier"], out["log_loss"] = (losses @ weights) / weights.sum(axis=0)
    return out


def _decisions(
    judged: Judged, member: str, tuned: _Cuts, problem: Problem, weights: np.ndarray, prior: np.ndarray
) -> dict[str, np.ndarray]:
    """The figures that need a cut-off: its b-th under the b-th weighting."""
    counts = {
        objective: counts_at(judged, member, cuts, problem, weights, prior=prior) for objective, cuts in tuned.items()
    }
    found = figures.recalls(counts["balanced_accuracy"])
    out = {f"recall:{k}": found[k] for k in problem.classes}
    out["balanced_accuracy"] = figures.macro(list(found[problem.classes]))
    if len(problem.classes) > RAREST:
        rarest = problem.classes[np.argsort(problem.prior[problem.classes], kind="stable")[:RAREST]]
        out["recall_rarest"] = figures.macro(list(found[rarest]))
    out["macro_f1"] = figures.macro_f1(counts["macro_f1"], problem.classes)
    out["mcc"] = figures.mcc(counts["macro_f1"])
    if problem.metric.kind == "cost":
        out[problem.metric.name] = figures.saved_cost(counts["cost"], problem.rare, problem.metric.numbers)
    return out


def _primary(judged: Judged, sets: Sequence[Judged], problem: Problem) -> float:
    """The panel's mean primary figure on ``judged``, with cut-offs from ``sets``."""
    metric, one, values = problem.metric, base_weights([judged]), []
    for member in judged.members:
        if metric.decides:
            cuts = tune_cuts(sets, member, problem, metric.kind, base_weights(sets))
            counts = counts_at(judged, member, cuts, problem, one, prior=problem.prior)
            if metric.kind == "cost":
                value = figures.saved_cost(counts, problem.rare, metric.numbers)
            else:
                value = figures.macro(list(figures.recalls(counts)[problem.classes]))
        else:
            ranks = judged.members[member].ranks
            found = figures.ranking_figures(ranks, judged.codes, one, classes=problem.ranked, metric=metric)
            value = found[metric.name]
        values.append(float(value[0]))
    return float(np.mean(values))


def cross_fit_evidence(
    cells: Sequence[Judged], plain: Sequence[Judged], repeats: Sequence[int], problem: Problem
) -> ArmEvidence:
    """Return an arm's evidence from cross-fitting ``cells``, cell j being of repeat ``repeats[j]``; ``plain`` are the
    same cells as doing nothing predicts them.

    A cell's cut-offs and calibrators come from the out-of-fold rows of the other folds of its repeat, and so does its
    ``choice``; where that figure needs a cut-off itself, the cut-off of fold g for the choice at fold f comes from the
    folds that are neither. No row ever takes part in how it is judged.
    """
    per_cell: list[dict[str, dict[str, np.ndarray]]] = []
    choice = np.full(len(cells), np.nan)
    for j, cell in enumerate(cells):
        others = [i for i in range(len(cells)) if repeats[i] == repeats[j] and i != j]
        sets, reference = [cells[i] for i in others], [plain[i] for i in others]
        one, inside = base_weights([cell]), base_weights(sets)
        per_cell.append(
            {
                member: _figures(
                    cell,
                    member,
                    _fix(sets, reference, member, problem),
                    _tune(sets, member, problem, inside),
                    problem,
                    one,
                    problem.prior,
                )
                for member in cell.members
            }
        )
        seen = [_primary(cells[i], [cells[h] for h in others if h != i], problem) for i in others]
        known = [value for value in seen if np.isfinite(value)]
        choice[j] = np.mean(known) if known else np.nan
    vectors = {
        member: {name: np.concatenate([cell[member][name] for cell in per_cell]) for name in per_cell[0][member]}
        for member in per_cell[0]
    }
    return ArmEvidence(vectors, choice)


def _blocks(weights: Weights, tuning: Weights) -> list[slice]:
    """All columns of ``weights``, so many at a time that neither table of them is large; one block of small ones."""
    step = max(1, MAX_CELLS // max(len(weights.unit), len(tuning.unit)))
    return [slice(at, min(at + step, weights.n_columns)) for at in range(0, weights.n_columns, step)]


def _joined(parts: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def holdout_evidence(
    draws: Sequence[Judged],
    inner: Sequence[Judged],
    plain: Sequence[Judged],
    problem: Problem,
    weights: Weights,
    tuning: Weights,
) -> ArmEvidence:
    """Return an arm's evidence from its ``draws`` judged on the holdout under ``weights``.

    Everything tuned comes from the ``inner`` folds of the training rows (``plain``: as doing nothing predicts them).
    Cut-offs are tuned again in every resample, under ``tuning`` (rows of ``inner``, as many resamples as ``weights``):
    with few rare rows their noise is a large part of what a decision figure owes to luck. The estimate is the mean
    over those cut-offs.
    """
    judged = draws[0]
    shares = np.bincount(judged.codes, weights=judged.weights, minlength=problem.n_classes) / judged.weights.sum()
    vectors: Vectors = {}
    for member in judged.members:
        fixed = _fix(inner, plain, member, problem)
        cuts: list[_Cuts] = []
        blocks: list[list[dict[str, np.ndarray]]] = []
        for columns in _blocks(weights, tuning):
            cuts.append(_tune(inner, member, problem, tuning.columns(columns)))
            now = weights.columns(columns)
            blocks.append([_figures(draw, member, fixed, cuts[-1], problem, now, shares) for draw in draws])
        each = [_joined([block[i] for block in blocks]) for i in range(len(draws))]
        resampled = {
            name: Cuts.joined([block[name] for block in cuts])[1 : 1 + weights.n_resamples] for name in cuts[0]
        }
        for draw, one in zip(draws, each, strict=True):
            bagged = _decisions(draw, member, resampled, problem, weights.columns(slice(0, 1)), shares)
            for name, values in bagged.items():
                one[name][0] = np.mean(values)
        vectors[member] = {name: weights.fold(np.stack([one[name] for one in each])) for name in each[0]}
    seen = [_primary(fold, [other for i, other in enumerate(inner) if i != j], problem) for j, fold in enumerate(inner)]
    known = [value for value in seen if np.isfinite(value)]
    return ArmEvidence(vectors, np.array([np.mean(known) if known else np.nan]))
