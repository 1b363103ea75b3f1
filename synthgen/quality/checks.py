"""The two checks: repeated cross-fitting over all rows, and draws judged on a holdout. Both end in evidence per arm.

May import data and the rest of quality. A holdout row is only ever asked about; no arm is prepared on one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from synthgen.data.dataset import TabularDataset, text_of
from synthgen.data.hashing import column_hashes
from synthgen.data.kinds import Dataset
from synthgen.data.schema import Label
from synthgen.data.split import Split, folds
from synthgen.errors import ConfigError
from synthgen.quality.cells import Arm, Drawer, Outcome, Report, Tables, Task, run_tasks, spread
from synthgen.quality.downstream import Panel
from synthgen.quality.evidence import ArmEvidence, Evidence, cross_fit_evidence, holdout_evidence
from synthgen.quality.image_panel import ImagePanel
from synthgen.quality.rules import LEAST_ROWS, Gate
from synthgen.quality.seen import Asked, Real, Seen, deals, judged_of
from synthgen.quality.stats import Weights, bootstrap_weights, cross_fitted
from synthgen.quality.tuning import Judged, Problem, with_average
from synthgen.seeding import derive, numpy_rng

INNER_FOLDS = 3
JACKKNIFE = 80
PREDICT_SHARE = 0.9


@dataclass(frozen=True)
class Arms:
    """The arms of a check by role."""

    none: Arm
    candidate: Arm
    free: tuple[Arm, ...]
    control: Arm | None

    @property
    def all(self) -> tuple[Arm, ...]:
        """Every arm in the order in which they are shown."""
        return (self.none, self.candidate, *self.free, *([self.control] if self.control else []))


@dataclass(frozen=True)
class Setting:
    """What a check is asked: the arguments of ``assess``, looked through."""

    real: Real
    arms: Arms
    gate: Gate
    panel: Panel | ImagePanel
    seed: int
    draws: int
    drawn: Drawer | None
    unjudged: Sequence[Label]
    group: str | None
    jobs: int
    report: Report

    @property
    def seen(self) -> Seen:
        """The training rows that arms and learners work with."""
        return self.real.seen


@dataclass(frozen=True)
class Made:
    """The ``hashes`` of rows that the candidate adds, and the positions in ``train`` of what it may copy; None: all."""

    hashes: np.ndarray
    known: np.ndarray | None


@dataclass(frozen=True)
class Found:
    """What a check found: the evidence, every kept arm's outcomes, the rows made, and what a reader should know."""

    problem: Problem
    evidence: Evidence
    outcomes: Mapping[str, Sequence[Outcome]]
    made: tuple[Made, ...]
    notes: tuple[str, ...]
    cells: int = 0


class CannotTell(Exception):
    """Nothing can be judged: ``why``, in words, and ``notes``."""

    def __init__(self, why: str, notes: Sequence[str]) -> None:
        super().__init__(why, *notes)
        self.why, self.notes = why, tuple(notes)


def cross_fit(setting: Setting) -> Found:
    """Judge every arm on each fold of repeated cross-fitting, refitted on the other folds."""
    gate, seen = setting.gate, setting.seen
    dealt = deals(seen.dataset, setting.real.train.counts(), gate, seed=setting.seed, group=setting.group)
    problem, notes = _problem(setting, len(dealt[0]), dealt)
    least = 3 if gate.primary.decides else 2  # a choice by a figure with a cut-off takes a third fold to tune that on
    cells: list[tuple[int, Split, _Rows]] = []
    for repeat, deal in enumerate(dealt):
        kept = _folds(setting, problem, deal)
        for fold in kept if len(kept) >= least else ():
            cells.append((repeat, fold, _judged_rows(setting, fold.holdout)))
            notes.extend(note for note in fold.notes if note not in notes)
    if not cells:
        raise CannotTell(f"It cannot be told: the rows make fewer than {least} folds, for {_stay(setting)}.", notes)
    tells = np.array([_tells(setting, problem, fold) for _, fold, _ in cells])
    if np.count_nonzero(tells) < 2:
        why = "fewer than two folds have different rows, and of two classes, both to learn from and to judge by"
        raise CannotTell(f"It cannot be told: {why}{f', for {_stay(setting)}' if setting.group else ''}.", notes)
    if not tells.all():
        notes.append(
            f"{np.count_nonzero(~tells)} of {len(cells)} folds have not two classes and different rows on both sides, "
            f"for {_stay(setting)}: they are left out of the figures"
        )
    tasks = [
        _task(setting, arm, (j,), fold.train, rows)
        for j, (_, fold, rows) in enumerate(cells)
        for arm in setting.arms.all
    ]
    outcomes, made, failed = _run(setting, tasks, Tables(seen.dataset, seen.scale))
    repeats = [repeat for repeat, _, _ in cells]
    judged = [
        [_judged(seen.dataset, rows, part.proba[0], setting) for (_, _, rows), part in zip(cells, parts, strict=True)]
        for parts in outcomes.values()
    ]
    arguments = [(own, judged[0], repeats, problem) for own in judged]  # doing nothing is the first arm
    found = [each.of(tells) for each in spread(cross_fit_evidence, arguments, jobs=setting.jobs)]
    share = float(np.mean([len(fold.holdout) / len(fold.train) for _, fold, _ in cells]))
    evidence = Evidence(
        dict(zip(outcomes, found, strict=True)), problem.metric.name, partial(cross_fitted, test_share=share)
    )
    return Found(problem, evidence, outcomes, made, (*notes, *failed), cells=len(cells))


def on_holdout(setting: Setting, holdout: Asked) -> Found:
    """Judge every arm's draws on ``holdout``; what is tuned comes from a cross-fit of the training rows."""
    seen, arms = setting.seen, setting.arms
    problem, notes = _problem(setting, LEAST_ROWS)
    notes.append("the intervals hold rows and draws, but not how another training of the generator would differ")
    if arms.candidate.fixed:
        notes.append(
            "the rows were made beforehand: the spread of the draws is a bootstrap of them, and the cut-offs are tuned "
            "with rows whose generator may have seen every training row"
        )
    inner = folds(seen.dataset, n_folds=INNER_FOLDS, seed=derive(setting.seed, "inner"), group=setting.group)
    inner = _folds(setting, problem, inner)
    notes.extend(dict.fromkeys(note for fold in inner for note in fold.notes))
    if len(inner) < 2:
        why = "the training rows make fewer than 2 folds to tune cut-offs on"
        raise CannotTell(f"It cannot be told: {why}, for {_stay(setting)}.", notes)
    inside = [_judged_rows(setting, fold.holdout) for fold in inner]
    asked = holdout.dataset
    tasks = [_task(setting, arm, tuple(range(setting.draws)), None, None) for arm in arms.all]
    tasks += [_task(setting, arm, (j,), fold.train, inside[j]) for j, fold in enumerate(inner) for arm in arms.all]
    outcomes, made, failed = _run(setting, tasks, Tables(seen.dataset, seen.scale, asked))
    everything = _Rows(np.arange(len(asked)), holdout.weights)
    draws = [[_judged(asked, everything, proba, setting) for proba in whole.proba] for whole, *_ in outcomes.values()]
    folded = [
        [_judged(seen.dataset, rows, part.proba[0], setting) for rows, part in zip(inside, parts, strict=True)]
        for _, *parts in outcomes.values()
    ]
    bootstrap = _bootstrap(setting, problem, asked, everything, inside)
    arguments = [(own, parts, folded[0], problem, bootstrap) for own, parts in zip(draws, folded, strict=True)]
    found = spread(_bootstrapped, arguments, jobs=setting.jobs)
    evidence = Evidence(dict(zip(outcomes, found, strict=True)), problem.metric.name, bootstrap()[0].infer)
    return Found(problem, evidence, outcomes, made, (*notes, *failed))


@dataclass(frozen=True)
class _Rows:
    """Rows to be judged and what each weighs (more than 1 where its class was thinned)."""

    rows: np.ndarray
    weights: np.ndarray


def _bootstrapped(
    draws: Sequence[Judged],
    inner: Sequence[Judged],
    plain: Sequence[Judged],
    problem: Problem,
    bootstrap: Callable[[], tuple[Weights, Weights]],
) -> ArmEvidence:
    """The weights are the same for every arm, and drawn where they are used: they are larger than what they lead to."""
    return holdout_evidence(draws, inner, plain, problem, *bootstrap())


def _bootstrap(
    setting: Setting, problem: Problem, asked: Dataset, rows: _Rows, inside: Sequence[_Rows]
) -> Callable[[], tuple[Weights, Weights]]:
    """What draws the weights of the judged rows, and those under which the cut-offs are tuned beside them."""
    gate, train, where = setting.gate, setting.seen.dataset, np.concatenate([each.rows for each in inside])
    keys: list[np.ndarray | None] = [None, None]
    if setting.group is not None:
        keys = [_group_keys(rows, setting.group) for rows in (asked, train.take(where))]
    return partial(
        _draw_weights,
        (asked.label_codes, rows.weights, keys[0]),
        (train.label_codes[where], np.concatenate([each.weights for each in inside]), keys[1]),
        n_resamples(gate, problem.n_classes),
        setting.draws,
        setting.seed,
    )


_Sampled = tuple[np.ndarray, np.ndarray, np.ndarray | None]


def _draw_weights(
    judged: _Sampled, tuned: _Sampled, n_resamples: int, n_draws: int, seed: int
) -> tuple[Weights, Weights]:
    weights = bootstrap_weights(
        judged[0],
        n_resamples=n_resamples,
        n_draws=n_draws,
        rng=numpy_rng(seed, "bootstrap"),
        base=judged[1],
        units=judged[2],
        groups=max(6, JACKKNIFE // len(np.unique(judged[0]))),
    )
    tuning = bootstrap_weights(
        tuned[0],
        n_resamples=n_resamples,
        n_draws=1,
        rng=numpy_rng(seed, "tuning"),
        base=tuned[1],
        units=tuned[2],
        groups=0,
    )
    return weights, tuning


def _problem(setting: Setting, least: int, dealt: Sequence[Sequence[Split]] = ()) -> tuple[Problem, list[str]]:
    """What is judged: classes with at least ``least`` training rows, one in the holdout, and rows on both sides of
    some fold of those ``dealt``."""
    train, holdout, metric = setting.real.train, setting.real.holdout, setting.gate.primary
    counts = np.array(list(train.counts().values()))
    judged = counts >= least
    if holdout is not None:
        judged &= np.array(list(holdout.counts().values())) > 0
    if metric.kind == "cost" and len(counts) != 2:
        raise ConfigError(f"metric {metric.name!r} is for two classes; this label has {len(counts)}")
    notes = _left_out(setting, ~judged, "for want of rows")
    if dealt:
        whole = judged & ~_parted(setting.seen.dataset, dealt)
        judged &= ~whole
        stay = _stay(setting)
        notes += _left_out(setting, whole, f"as no fold has rows on both sides, for {stay}")
        if np.count_nonzero(judged) < 2:
            label = text_of(train.classes[int(np.flatnonzero(whole)[0])])
            why = f"no fold has rows of it both to learn from and to judge by, for {stay}"
            raise CannotTell(f"It cannot be told: class {label} could not be judged: {why}.", notes)
    notes.extend(setting.seen.notes)
    if isinstance(setting.panel, Panel) and counts.max() > setting.gate.max_rows:
        notes.append(
            f"learners are fitted on at most {setting.gate.max_rows:,} rows of a class, the others thinned by lot"
        )
    rare = int(np.argmin(np.where(judged, counts, counts.max() + 1)))
    return Problem(len(counts), rare, counts / counts.sum(), np.flatnonzero(judged), metric), notes


def _left_out(setting: Setting, classes: np.ndarray, why: str) -> list[str]:
    """A note on the classes of a mask (K,), if there are any."""
    out = [text_of(setting.real.train.classes[k]) for k in np.flatnonzero(classes)]
    return [f"left out of the figures {why}: class {', '.join(out)}"] if out else []


def _stay(setting: Setting) -> str:
    """Which rows no fold parts, in words."""
    return f"{'equal rows' if setting.group is None else f'rows of one {setting.group!r}'} stay together"


def _parted(train: Dataset, dealt: Sequence[Sequence[Split]]) -> np.ndarray:
    """Return the mask (K,) of classes that stand on both sides of some fold."""
    codes, n_classes = train.label_codes, len(train.classes)
    sides = [
        [np.bincount(codes[side], minlength=n_classes) > 0 for side in (fold.train, fold.holdout)]
        for deal in dealt
        for fold in deal
    ]
    return np.asarray(np.any(np.all(sides, axis=1), axis=0))


def _tells(setting: Setting, problem: Problem, fold: Split) -> bool:
    """Return whether arms can differ on the fold: rows do on both its sides, and two of the judged classes are learnt
    and have rows to judge by. Costs too: the share of a fold that is flagged follows from ranks."""
    hashes, codes = setting.real.train.hashes[setting.seen.rows], setting.seen.dataset.label_codes
    learnt = np.intersect1d(codes[fold.train], problem.classes)
    differ = all(np.ptp(hashes[side]) > 0 for side in (fold.train, fold.holdout))
    return differ and len(np.intersect1d(codes[fold.holdout], learnt)) > 1


def _folds(setting: Setting, problem: Problem, dealt: Sequence[Split]) -> list[Split]:
    """Those of the folds ``dealt`` that have rows on both sides. Classes left out of the figures are never judged, so
    they stay with the training rows, and what shares a group with them is not judged either."""
    train = setting.seen.dataset
    apart = ~np.isin(train.label_codes, problem.classes)
    barred = apart
    if setting.group is not None and apart.any():
        groups = _group_keys(train, setting.group)
        barred = np.isin(groups, groups[apart])
    kept = []
    for fold in dealt:
        fit = np.union1d(fold.train, np.flatnonzero(apart))
        judge = fold.holdout[~barred[fold.holdout]]
        if len(fit) and len(judge):
            kept.append(Split(fit, judge, fold.notes))
    return kept


def _group_keys(rows: Dataset, group: str) -> np.ndarray:
    if not isinstance(rows, TabularDataset):
        raise ConfigError("group names a column, and images have none")
    return column_hashes(rows.column(group))


def n_resamples(gate: Gate, n_classes: int) -> int:
    """Return how often the bootstrap resamples: less often where each of many classes is ranked, never under
    20 / alpha."""
    ranked = 1 if n_classes == 2 else n_classes
    return max(int(np.ceil(20 / gate.alpha)), min(gate.resamples, 4 * gate.resamples // ranked))


def _judged_rows(setting: Setting, rows: np.ndarray) -> _Rows:
    codes = setting.seen.dataset.label_codes[rows]
    kept, weights = judged_of(codes, len(setting.real.train.classes), seed=setting.seed)
    return _Rows(rows[kept], weights * setting.seen.scale[codes[kept]])


def _task(setting: Setting, arm: Arm, draws: tuple[int, ...], fit: np.ndarray | None, judge: _Rows | None) -> Task:
    """The seed names the part of the check and not the arm: learners are paired across arms."""
    whole = fit is None
    return Task(
        arm,
        derive(setting.seed, "whole") if whole else derive(setting.seed, "cell", draws[0]),
        fit,
        None if judge is None else judge.rows,
        draws,
        setting.panel,
        drawn=setting.drawn if whole and arm.role == "candidate" else None,
        hashed=arm.role == "candidate" and (whole or setting.real.holdout is None),
    )


def _judged(dataset: Dataset, rows: _Rows, proba: Mapping[str, np.ndarray], setting: Setting) -> Judged:
    members = with_average(proba, rows.weights, panel=setting.panel.learners)
    return Judged(dataset.label_codes[rows.rows], rows.weights, members)


def _run(
    setting: Setting, tasks: Sequence[Task], tables: Tables
) -> tuple[dict[str, list[Outcome]], tuple[Made, ...], list[str]]:
    """Outcomes by arm in the order shown, what the candidate made, and a note for each arm that could not be prepared
    everywhere."""

    def report(share: float, message: str) -> None:
        setting.report(PREDICT_SHARE * share, message)

    outcomes = run_tasks(tasks, tables, jobs=setting.jobs, report=report)
    failed = {outcome.arm: outcome.failed for outcome in outcomes if outcome.failed is not None}
    notes = [
        f"{name} is left out, it could not be fitted in every part of the check: {why}" for name, why in failed.items()
    ]
    if setting.arms.candidate.name in failed:
        raise CannotTell(
            "It cannot be told: the generator could not be fitted again on a part of the training rows.", notes
        )
    names = [arm.name for arm in setting.arms.all if arm.name not in failed]
    made = tuple(
        Made(outcome.hashes, None if task.fit is None else setting.seen.rows[task.fit])
        for task, outcome in zip(tasks, outcomes, strict=True)
        if task.hashed
    )
    return {name: [outcome for outcome in outcomes if outcome.arm == name] for name in names}, made, notes
