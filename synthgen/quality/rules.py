"""The rules: from the two gains, the guard-rails, the copies and the control to a status and a sentence.

May import the rest of quality. Two questions are answered apart: better than nothing, and better than what is free.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from synthgen.errors import ConfigError
from synthgen.quality.downstream import PANEL, Learner
from synthgen.quality.figures import Metric, parse_metric
from synthgen.quality.novelty import Copies
from synthgen.quality.stats import Estimate, Inference, holm
from synthgen.quality.verdict import Rail, Status

LEAST_ROWS = 3  # of a class, to be judged


@dataclass(frozen=True)
class Margins:
    """How far a guard-rail may move against doing nothing, and copies beyond what is natural (shares of rows)."""

    average_precision: float = 0.02
    roc_auc: float = 0.01
    brier: float = 0.005
    recall: float = 0.05
    copies: float = 0.005


@dataclass(frozen=True)
class Gate:
    """What the check decides by. ``useful_effect`` is the smallest gain worth having, in the metric's own unit;
    ``alpha`` is the one-sided error; ``folds`` x ``repeats`` are the cells of ``check="cv"``; ``resamples`` are the
    bootstrap's, at least 20 / alpha; ``max_rows`` caps what a learner is fitted on, per class. Raises ConfigError for
    values that cannot be."""

    metric: str = "average_precision"
    useful_effect: float = 0.01
    alpha: float = 0.05
    margins: Margins = field(default_factory=Margins)
    folds: int = 5
    repeats: int = 2
    resamples: int = 1000
    learners: tuple[Learner, ...] = PANEL
    max_rows: int = 20_000

    def __post_init__(self) -> None:
        parse_metric(self.metric)
        if not 0 < self.alpha < 0.5:
            raise ConfigError(f"alpha must lie between 0 and .5, got {self.alpha}")
        if not (math.isfinite(self.useful_effect) and self.useful_effect >= 0):
            raise ConfigError(f"useful_effect must be 0 or more, got {self.useful_effect}")
        if self.folds < 3 or self.repeats < 1:
            raise ConfigError(f"the check needs 3 folds or more and 1 repeat, got {self.folds} and {self.repeats}")
        if self.resamples < 20 / self.alpha:
            raise ConfigError(f"resamples must be at least 20 / alpha = {20 / self.alpha:.0f}, got {self.resamples}")
        if self.max_rows < 100:
            raise ConfigError(f"max_rows must be 100 or more, got {self.max_rows}")
        if not self.learners or set(self.learners) - set(PANEL):
            raise ConfigError(f"learners are some of {', '.join(PANEL)}, got {', '.join(self.learners) or 'none'}")

    @property
    def primary(self) -> Metric:
        """The parsed metric."""
        return parse_metric(self.metric)


def make_rails(changes: Sequence[tuple[str, Inference, float, bool]], *, alpha: float) -> tuple[Rail, ...]:
    """Return the guard-rails of (name, change against nothing, signed margin, gating), with Holm's correction."""
    p_values = []
    for _, change, margin, _ in changes:
        below = change.p_below(margin)
        p = below if margin < 0 else 1 - below
        p_values.append(p if math.isfinite(p) else 1.0)
    adjusted = holm(p_values)
    rails = []
    for (name, change, margin, gating), p in zip(changes, adjusted, strict=True):
        past = change.value < margin if margin < 0 else change.value > margin
        rails.append(Rail(name, change.interval(alpha), margin, bool(past), bool(past and p <= alpha), gating))
    return tuple(rails)


def decide(
    *,
    nothing: Estimate,
    free: Estimate,
    rails: Sequence[Rail],
    copies: Copies | None,
    control_passes: bool,
    judged: bool,
    gate: Gate,
) -> Status:
    """Return the status of a candidate whose gains are ``nothing`` (over doing nothing) and ``free`` (over the best
    free arm); ``judged`` says whether a class that it adds rows to is among those that the gains are of.

    FAIL comes first: harm that is shown. A gain that is surely below the useful effect is NO LIFT, even where it is
    surely above 0: it can be told, and it is not worth it. A control that would pass takes every other status away.
    """
    if nothing.high < 0 or any(rail.proven for rail in rails) or copied(copies, gate):
        return "FAIL"
    if control_passes or not judged:
        return "INCONCLUSIVE"
    if free.high < gate.useful_effect:
        return "NO LIFT"
    if free.low > 0 and not any(rail.past and rail.gating for rail in rails):
        return "PASS"
    return "INCONCLUSIVE"


def copied(copies: Copies | None, gate: Gate) -> bool:
    """Return whether copies beyond the natural share, or rows of the holdout, are surely past the margin."""
    if copies is None:
        return False
    return copies.excess.low > gate.margins.copies or copies.leaked.low > copies.natural.high + gate.margins.copies


@dataclass(frozen=True)
class Facts:
    """What the sentence is made from; ``best_free`` names the best free arm, or says that it differs between folds,
    and is empty where it is doing nothing; ``unjudged`` are the classes that get rows and have too few to judge by,
    ``judged`` is false where those are all that get rows."""

    status: Status
    nothing: Estimate
    free: Estimate
    best_free: str
    rails: Sequence[Rail]
    copies: Copies | None
    control_passes: bool
    rare_rows: int
    rare_label: str
    unjudged: Sequence[str]
    judged: bool
    check: str
    gate: Gate


def resolution(free: Estimate) -> float:
    """Return the smallest gain that the check could have shown: the reach of the interval below its estimate."""
    return free.value - free.low


def sentence(facts: Facts) -> str:
    """Return the verdict in words with its numbers."""
    told = {"PASS": _passed, "FAIL": _failed, "NO LIFT": _no_lift, "INCONCLUSIVE": _inconclusive}[facts.status](facts)
    if facts.unjudged:
        listed = ", ".join(facts.unjudged)
        why = "for want of real rows, of different ones, or of enough for its engine in the check"
        told += f" Not judged {why}, though rows were added: class {listed}."
    return told


def _passed(facts: Facts) -> str:
    if not facts.best_free:
        return f"Better than doing nothing, which is the best that is free: {_gain(facts.free, facts)}."
    return (
        f"Better than doing nothing ({_gain(facts.nothing, facts)}) and than the best that is free: "
        f"{_gain(facts.free, facts)} over {facts.best_free}."
    )


def _failed(facts: Facts) -> str:
    parts = []
    if facts.nothing.high < 0:
        parts.append(f"worse than doing nothing: {_gain(facts.nothing, facts)}")
    for rail in facts.rails:
        if rail.proven:
            parts.append(
                f"{rail.name} changes by {signed(rail.change.value)}, past its margin of {signed(rail.margin)}"
            )
    copies = facts.copies
    if copies is not None and copies.excess.low > facts.gate.margins.copies:
        parts.append(
            f"{copies.share.value:.1%} of the synthetic rows are exact copies of training rows, "
            f"while {copies.natural.value:.1%} of the real rows have a twin"
        )
    if copies is not None and copies.leaked.low > copies.natural.high + facts.gate.margins.copies:
        parts.append(f"{copies.leaked.value:.1%} of the synthetic rows are rows of the holdout: it is not untouched")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def _no_lift(facts: Facts) -> str:
    if not facts.best_free:
        return f"No better than doing nothing: {_gain(facts.free, facts)}, {_worth(facts)}."
    as_well = f"{facts.best_free} {'do' if facts.best_free.endswith('s') else 'does'} as well"
    over = f"the gain over that is {_gain(facts.free, facts)}, {_worth(facts)}"
    if facts.nothing.low > 0:
        return f"Better than nothing ({_gain(facts.nothing, facts)}), but {as_well}: {over}."
    return f"No lift, {as_well}: {over}."


def _worth(facts: Facts) -> str:
    return f"less than the {plain(facts.gate.useful_effect)} that would be worth it"


def _inconclusive(facts: Facts) -> str:
    if facts.control_passes:
        return (
            "The control, which draws every column by itself, would pass this check too, so its figure cannot be "
            f"trusted here ({_gain(facts.free, facts)} over {_free(facts)})."
        )
    if not facts.judged:
        return "It cannot be told: no class that rows were added to could be judged."
    if not math.isfinite(facts.free.low):
        return f"It cannot be told: {facts.rare_rows} rows of class {facts.rare_label} are too few to judge by."
    lost = [rail for rail in facts.rails if rail.past and rail.gating]
    if facts.free.low > 0 and lost:
        what = ", ".join(f"{rail.name} by {signed(rail.change.value)} (margin {signed(rail.margin)})" for rail in lost)
        return f"Better than {_free(facts)} ({_gain(facts.free, facts)}), at a price: {what}."
    lead = "Better than nothing" if facts.nothing.low > 0 else "It cannot be told whether this helps"
    nothing = f" ({_gain(facts.nothing, facts)})" if facts.best_free or facts.nothing.low > 0 else ""
    middle = ", but whether more than what is free cannot be told" if facts.nothing.low > 0 else ""
    return (
        f"{lead}{nothing}{middle}: {_gain(facts.free, facts)} over {_free(facts)}. "
        f"This {'check' if facts.check == 'cv' else 'holdout'} has {facts.rare_rows} rows of class {facts.rare_label}: "
        f"it can only show gains above {plain(resolution(facts.free))} {facts.gate.primary.words}."
    )


def _free(facts: Facts) -> str:
    return "doing nothing" if not facts.best_free else facts.best_free


def _gain(estimate: Estimate, facts: Facts) -> str:
    level = f"{1 - 2 * facts.gate.alpha:.0%}".replace("%", " %")
    return (
        f"{signed(estimate.value)} {facts.gate.primary.words}, "
        f"{level} interval {signed(estimate.low)} to {signed(estimate.high)}"
    )


def signed(x: float) -> str:
    """Return a number with its sign, to three decimals: +.021."""
    return ("+" if x >= 0 else "-") + plain(abs(x))


def plain(x: float) -> str:
    """Return a number to three decimals without the leading zero: .021."""
    if not math.isfinite(x):
        return "?"
    if abs(x) >= 10:
        return f"{x:.3g}"
    text = f"{x:.3f}"
    return text.replace("0.", ".", 1) if abs(x) < 1 and not text.startswith("1") else text
