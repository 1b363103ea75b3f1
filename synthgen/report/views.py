"""What the templates show of a verdict: rows of the forest plot and of the tables, in the order in which they are read.

Takes figures from the verdict as they are; may import quality's values and its own room.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from synthgen.quality.figures import parse_metric
from synthgen.quality.stats import UNKNOWN, Estimate
from synthgen.quality.verdict import MEAN, ArmFigures, Rail, Verdict
from synthgen.report.facts import ClassCount, Origin
from synthgen.report.plots import Mark, Scale, Tick, mark, span, ticks
from synthgen.report.text import bounds, count, percent, plain, signed

SYMBOLS = {"PASS": "✓", "NO LIFT": "=", "FAIL": "✗", "INCONCLUSIVE": "?", "NOT CHECKED": "–"}
MEANINGS = {
    "PASS": "The added rows earn their place: better than doing nothing and than everything that is free.",
    "NO LIFT": "It can be told, and it is not worth it: something free does as well.",
    "FAIL": "The added rows do harm or are copies. Unless the gate only reports, nothing was published.",
    "INCONCLUSIVE": "Neither a yes nor a no: these rows are too few, or the check cannot be trusted, to tell.",
    "NOT CHECKED": "Nothing here says that the added rows help.",
}
MEMBERS = {
    MEAN: "mean of the panel",
    "logistic": "logistic regression",
    "forest": "random forest",
    "boosted": "boosted trees",
    "average": "average of their ranks",
    "own": "your estimator",
    "cnn": "small convolutional network",
}
FIGURES = {
    "average_precision": "average precision",
    "roc_auc": "ROC AUC",
    "balanced_accuracy": "balanced accuracy",
    "recall_rarest": "recall of the three rarest classes",
    "macro_f1": "macro F1",
    "mcc": "Matthews correlation",
    "brier": "Brier score",
    "log_loss": "log loss",
}
LESS_IS_BETTER = ("brier", "log_loss")
MAX_LISTED = 100
ROLES = {"none": "before", "candidate": "this run", "free": "free", "control": "control"}


@dataclass(frozen=True)
class ForestRow:
    """One gain: which arm, what it is, the estimate and where it lies (None: not known)."""

    name: str
    role: str
    gain: Estimate
    mark: Mark | None


@dataclass(frozen=True)
class Forest:
    """Gains on one axis: each arm's over nothing, and this run's over the best free arm (None where that is nothing).

    ``zero`` and ``useful`` are where no gain and the smallest useful one lie, in per cent.
    """

    rows: tuple[ForestRow, ...]
    over_free: ForestRow | None
    best_free: str
    ticks: tuple[Tick, ...]
    zero: float
    useful: float
    partial: bool


@dataclass(frozen=True)
class CountRow:
    """One class with its shares before and after, and how wide its bars are, in per cent of the longest."""

    label: str
    real: int
    added: int
    aside: int
    origin: Origin
    before: float
    after: float
    real_width: float
    added_width: float
    repeats: int = 0


@dataclass(frozen=True)
class Table:
    """Estimates by row and arm: ``heads`` are (name, role) of the arms; a row is its name and one cell an arm."""

    heads: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, tuple[Estimate, ...]], ...]


def metric_words(verdict: Verdict) -> str:
    """Return the primary figure's name in words."""
    return parse_metric(verdict.metric).words


def arm_name(arm: ArmFigures) -> str:
    """Return what a reader calls an arm."""
    return "nothing added" if arm.role == "none" else arm.name


def forest(verdict: Verdict) -> Forest | None:
    """Return the forest plot of the primary figure, or None where there are no arms to show."""
    gains = [(arm, _gain(arm, verdict)) for arm in verdict.arms if arm.role != "none"]
    if not gains:
        return None
    over_free = verdict.better_than_free if _named_free(verdict) else UNKNOWN
    scale = span([*(gain for _, gain in gains), over_free], 0.0, verdict.useful_effect)
    free_row = ForestRow("this run", "candidate", over_free, mark(over_free, scale))
    return Forest(
        rows=tuple(ForestRow(arm_name(arm), arm.role, gain, mark(gain, scale)) for arm, gain in gains),
        over_free=free_row if _named_free(verdict) else None,
        best_free=_named_free(verdict),
        ticks=_spaced(scale),
        zero=scale.at(0.0),
        useful=scale.at(verdict.useful_effect),
        partial=any(math.isnan(gain.low) for _, gain in gains),
    )


def _spaced(scale: Scale) -> tuple[Tick, ...]:
    return tuple(tick for tick in ticks(scale) if 6 <= tick.at <= 94)


def _named_free(verdict: Verdict) -> str:
    """The best free arm's name; empty where doing nothing is the best that is free."""
    named = verdict.arm(verdict.best_free) if verdict.best_free else None
    return named.name if named is not None and named.role != "none" else ""


def _gain(arm: ArmFigures, verdict: Verdict) -> Estimate:
    """The arm's paired gain over doing nothing."""
    if arm.role == "candidate":
        return verdict.better_than_nothing
    if verdict.control is not None and arm.name == verdict.control.name:
        return verdict.control.better_than_nothing
    return arm.better_than_nothing


def _primary(arm: ArmFigures, verdict: Verdict) -> Estimate:
    return arm.figures[MEAN].get(verdict.metric, UNKNOWN)


def learners(verdict: Verdict) -> Table | None:
    """Return the primary figure before, after and with the best free arm, for each learner; the panel's mean last."""
    roles = {arm.role: arm for arm in reversed(verdict.arms)}
    free = [arm for arm in verdict.arms if arm.role == "free"]
    best = next((arm for arm in free if arm.name == _named_free(verdict)), None)
    if best is None and free:
        best = max(free, key=lambda arm: _primary(arm, verdict).value)
    arms = [arm for arm in (roles.get("none"), roles.get("candidate"), best) if arm is not None]
    if not arms:
        return None
    members = [name for name in arms[0].figures if name != MEAN] + [MEAN]
    rows = tuple(
        (MEMBERS.get(name, name), tuple(arm.figures.get(name, {}).get(verdict.metric, UNKNOWN) for arm in arms))
        for name in members
    )
    return Table(_heads(arms), rows)


def figures(verdict: Verdict) -> Table | None:
    """Return every figure of the panel's mean for every arm."""
    if not verdict.arms:
        return None
    names = dict.fromkeys(name for arm in verdict.arms for name in arm.figures[MEAN])
    rows = tuple((_figure(name), tuple(arm.figures[MEAN].get(name, UNKNOWN) for arm in verdict.arms)) for name in names)
    return Table(_heads(verdict.arms), rows)


def _heads(arms: Sequence[ArmFigures]) -> tuple[tuple[str, str], ...]:
    return tuple((arm_name(arm), ROLES[arm.role]) for arm in arms)


def _figure(name: str) -> str:
    if name.startswith("recall:"):
        return f"recall of {name.removeprefix('recall:')}"
    return FIGURES.get(name, name) + (" (less is better)" if name in LESS_IS_BETTER else "")


def rail_state(rail: Rail) -> str:
    """Return how a guard-rail stands, in words."""
    if rail.proven:
        return "✗ past its margin"
    if rail.past:
        return "! past its margin, within the noise"
    return "✓ kept"


def how(verdict: Verdict) -> tuple[str, ...]:
    """Return how it was checked, in a few words each."""
    if verdict.status == "NOT CHECKED":
        return ()
    parts = []
    if verdict.check == "cv":
        parts.append(f"cross-fitted: {verdict.cells} times fitted anew, judged on the real rows left out")
    elif verdict.check == "holdout":
        parts.append(f"judged on a holdout that nothing was fitted on, {verdict.draws} draws of the added rows")
    if verdict.rare_rows:
        parts.append(f"{verdict.rare_rows:,} real rows of the rarest class")
    if verdict.resolution is not None:
        parts.append(f"can show gains from {plain(verdict.resolution)} on")
    parts.append(f"{100 * (1 - 2 * verdict.alpha):.0f} % intervals")
    return tuple(parts)


def copies(verdict: Verdict) -> tuple[str, ...]:
    """Return what is known of copies and of the control, one sentence each."""
    lines, found, control = [], verdict.copies, verdict.control
    if found is not None and found.n_rows:
        lines.append(
            f"Of {count(found.n_rows)} synthetic rows looked at, {percent(found.share.value)} equal a training row; "
            f"{percent(found.natural.value)} of the real rows have a twin among themselves."
        )
        if math.isfinite(found.leaked.value):
            lines.append(f"{percent(found.leaked.value)} equal a holdout row and no training row.")
    if control is not None:
        nothing, free = control.better_than_nothing, control.better_than_free
        lines.append(
            f"The control ({control.name}), which must never pass: {control.status}, "
            f"{signed(nothing.value)} {bounds(nothing, change=True)} over nothing, "
            f"{signed(free.value)} {bounds(free, change=True)} over what is free."
        )
    return tuple(lines)


def count_rows(counts: Sequence[ClassCount]) -> tuple[CountRow, ...]:
    """Return the classes in order; past a hundred, the smallest together as one row."""
    shown = list(counts)
    if len(shown) > MAX_LISTED:
        kept = set(sorted(range(len(counts)), key=lambda k: -(counts[k].real + counts[k].added))[: MAX_LISTED - 1])
        shown = [row for k, row in enumerate(counts) if k in kept]
        rest = [row for k, row in enumerate(counts) if k not in kept]
        sums = (sum(getattr(row, name) for row in rest) for name in ("real", "added", "aside"))
        shown.append(ClassCount(f"{len(rest)} smaller classes", *sums))
    before, after = sum(row.real for row in counts), sum(row.real + row.added for row in counts)
    longest = max((row.real + row.added for row in shown), default=1) or 1
    return tuple(
        CountRow(
            row.label,
            row.real,
            row.added,
            row.aside,
            row.origin,
            row.real / max(1, before),
            (row.real + row.added) / max(1, after),
            round(100 * row.real / longest, 2),
            round(100 * row.added / longest, 2),
            row.repeats,
        )
        for row in shown
    )
