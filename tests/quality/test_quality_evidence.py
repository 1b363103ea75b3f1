"""Cross-fitting: no row takes part in how it is judged, and the choice among the free is made elsewhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from synthgen.quality import evidence as module
from synthgen.quality.evidence import AT_PAR, ArmEvidence, Evidence, cross_fit_evidence, holdout_evidence
from synthgen.quality.figures import parse_metric
from synthgen.quality.stats import bootstrap_weights, cross_fitted
from synthgen.quality.tuning import Cuts, Judged, Problem, tune_cuts, with_average

METRICS = ("average_precision", "balanced_accuracy", "recall@fpr=.1", "precision@k=5", "cost:fn=5,fp=1")
REPEATS = (0, 0, 0, 0, 0, 1, 1, 1, 1, 1)


def problem(metric: str = "average_precision", n_classes: int = 2) -> Problem:
    prior = np.array([0.8, 0.2]) if n_classes == 2 else np.full(n_classes, 1 / n_classes)
    return Problem(n_classes, 1, prior, np.arange(n_classes), parse_metric(metric))


def cell(seed: int, *, n: int = 40, n_classes: int = 2) -> Judged:
    rng = np.random.default_rng(seed)
    codes = np.r_[np.arange(n_classes), rng.choice(n_classes, n - n_classes)]
    learners = {}
    for name in ("logistic", "forest"):
        raw = rng.random((n, n_classes)) + 0.2 * np.eye(n_classes)[codes]
        learners[name] = raw / raw.sum(axis=1, keepdims=True)
    return Judged(codes, np.ones(n), with_average(learners, np.ones(n), panel=("logistic", "forest")))


def garbage(judged: Judged) -> Judged:
    """The same number of rows with every label moved on and every score turned round."""
    turned = {name: replace(said, ranks=-said.ranks, proba=said.proba[::-1]) for name, said in judged.members.items()}
    return Judged((judged.codes + 1) % 2, judged.weights, turned)


@pytest.mark.parametrize("metric", METRICS)
def test_the_choice_for_a_fold_never_sees_its_rows(metric: str) -> None:
    """Mutants: choose by all folds; or tune the other folds' cut-offs with this fold's rows (decision figures)."""
    cells = [cell(j) for j in range(10)]
    clean = cross_fit_evidence(cells, cells, REPEATS, problem(metric)).choice
    for j in (0, 7):
        changed = [garbage(c) if i == j else c for i, c in enumerate(cells)]
        dirty = cross_fit_evidence(changed, changed, REPEATS, problem(metric))
        assert dirty.choice[j] == clean[j]
        same_repeat = [i for i in range(10) if REPEATS[i] == REPEATS[j] and i != j]
        assert (dirty.choice[same_repeat] != clean[same_repeat]).any()
        other_repeat = [i for i in range(10) if REPEATS[i] != REPEATS[j]]
        np.testing.assert_array_equal(dirty.choice[other_repeat], clean[other_repeat])


def test_cuts_and_calibrators_come_from_the_other_folds_of_the_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: tune on all cells of the repeat, or on the other repeat's (whose folds hold the same rows)."""
    cells = [cell(j) for j in range(10)]
    plain = [replace(one) for one in cells]
    fixed: list[list[int]] = []
    tuned: list[list[int]] = []
    compared: list[list[int]] = []
    judged: list[int] = []
    real_fix, real_tune, real_figures = module._fix, module._tune, module._figures

    def number(one: Judged) -> int:
        return next(i for i, known in enumerate(cells) if known is one)

    def fix(sets: list[Judged], reference: list[Judged], *rest: object) -> object:
        fixed.append([number(one) for one in sets])
        compared.append([next(i for i, known in enumerate(plain) if known is one) for one in reference])
        return real_fix(sets, reference, *rest)  # type: ignore[arg-type]

    def tune(sets: list[Judged], *rest: object) -> object:
        tuned.append([number(one) for one in sets])
        return real_tune(sets, *rest)  # type: ignore[arg-type]

    def figures(one: Judged, *rest: object) -> object:
        judged.append(number(one))
        return real_figures(one, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "_fix", fix)
    monkeypatch.setattr(module, "_tune", tune)
    monkeypatch.setattr(module, "_figures", figures)
    cross_fit_evidence(cells, plain, REPEATS, problem())
    assert compared == fixed == tuned
    assert len(tuned) == len(judged) == 30
    for mine, others in zip(judged, tuned, strict=True):
        assert others == [i for i in range(10) if REPEATS[i] == REPEATS[mine] and i != mine]


def test_the_best_free_arm_is_taken_cell_by_cell_and_ties_go_to_nothing() -> None:
    """Mutant: the best by the judging cells themselves."""

    def arm(values: list[float], choice: list[float]) -> ArmEvidence:
        return ArmEvidence({"m": {"average_precision": np.array(values)}}, np.array(choice))

    found = Evidence(
        {
            "none": arm([0.1, 0.2, 0.3, 0.4], [0.5, 0.5, 0.5, np.nan]),
            "weights": arm([1.0, 2.0, 3.0, 4.0], [0.4, 0.6, 0.5, np.nan]),
        },
        "average_precision",
        lambda vector: cross_fitted(vector, test_share=0.25),
    )
    vector, chosen = found.best_free(["none", "weights"])
    assert vector.tolist() == [0.1, 2.0, 0.3, 0.4]
    assert chosen == {"none": 0.75, "weights": 0.25}


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("metric", METRICS[:4])
def test_every_figure_is_there_for_every_member_and_cell(metric: str, n_classes: int) -> None:
    cells = [cell(j, n_classes=n_classes) for j in range(6)]
    found = cross_fit_evidence(cells, cells, (0, 0, 0, 1, 1, 1), problem(metric, n_classes))
    assert list(found.vectors) == ["logistic", "forest", "average"]
    names = set(found.vectors["average"])
    shown = {"average_precision", "roc_auc", "balanced_accuracy", "macro_f1", "mcc", "brier", "log_loss"}
    shown |= {"recall_rarest"} if n_classes > 3 else set()
    assert names == shown | {f"{start}{k}" for k in range(n_classes) for start in ("recall:", AT_PAR)} | {metric}
    for member in found.vectors.values():
        for vector in member.values():
            assert vector.shape == (6,)
            assert np.isfinite(vector).all()
    np.testing.assert_allclose(
        found.panel("roc_auc"), np.mean([member["roc_auc"] for member in found.vectors.values()], axis=0)
    )


def test_cells_without_a_class_do_not_break_the_others() -> None:
    cells = [cell(j) for j in range(5)]
    cells[2] = Judged(np.zeros(40, dtype=int), np.ones(40), cells[2].members)
    found = cross_fit_evidence(cells, cells, (0,) * 5, problem())
    vector = found.panel("average_precision")
    assert np.isnan(vector[2])
    assert np.isfinite(np.delete(vector, 2)).all()
    assert np.isfinite(found.choice).all()


def test_holdout_cuts_come_from_the_inner_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: tune on the holdout's draws."""
    inner, draws = [cell(j) for j in range(3)], [cell(10 + d, n=60) for d in range(4)]
    draws = [Judged(draws[0].codes, draw.weights, draw.members) for draw in draws]
    weights = bootstrap_weights(draws[0].codes, n_resamples=40, n_draws=4, rng=np.random.default_rng(0))
    seen: list[object] = []

    def tune(sets: list[Judged], member: str, problem: Problem, objective: str, columns: np.ndarray) -> Cuts:
        seen.extend(sets)
        return tune_cuts(sets, member, problem, objective, columns)

    monkeypatch.setattr(module, "tune_cuts", tune)
    tuning = bootstrap_weights(np.zeros(120, int), n_resamples=40, n_draws=1, rng=np.random.default_rng(1), groups=0)
    found = holdout_evidence(draws, inner, inner, problem("balanced_accuracy"), weights, tuning)
    assert all(any(one is known for known in inner) for one in seen)
    vector = found.vectors["logistic"]["roc_auc"]
    assert len(vector) == weights.rows.shape[1] + 4
    assert found.choice.shape == (1,)
    assert np.isfinite(vector).all()
