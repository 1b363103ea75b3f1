"""The tables that commands end with: counts, the verdict with its figures, the forecast. May import what they show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from synthgen.console.terminal import show_lines, show_table
from synthgen.data.dataset import text_of
from synthgen.quality.stats import Estimate
from synthgen.quality.verdict import MEAN, ArmFigures, Verdict

if TYPE_CHECKING:
    from synthgen.forecast import Forecast
    from synthgen.publication import BalanceResult

_SHORT = {"average_precision": "AP", "roc_auc": "AUC"}


def show_result(result: BalanceResult) -> None:
    """Show what a balancing came to: counts, verdict, places."""
    rows = [
        (text, counts.real, counts.synthetic, counts.repeated, counts.real + counts.synthetic + counts.repeated)
        for text, counts in result.counts.items()
    ]
    show_table("rows", ("class", "real", "synthetic", "repeated", "in all"), rows)
    show_lines([f"note: {note}" for note in result.plan.notes])
    show_verdict(result.verdict)
    if result.answered:
        done = "published" if result.published else "stopped by the gate"
        show_lines(
            [f"nothing new: run {result.run_id} was {done} before, from the same data, config, seed and version"]
        )
    elif result.folder and not result.published:
        show_lines(["nothing was published; what was there before is untouched"])
    if result.folder:
        name = "shards" if result.published else "quarantined in"
        show_lines([f"{name}  {result.folder}", f"report  {result.report}"])


def show_verdict(verdict: Verdict) -> None:
    """Show before, after and the best free alternative per learner with intervals, and the verdict in words."""
    arms = [arm for arm in (_role(verdict, "none"), _role(verdict, "candidate"), _free(verdict)) if arm]
    if arms:
        metric = verdict.metric
        heads = [_SHORT.get(metric, metric), *(["AUC"] if metric != "roc_auc" else [])]
        names = [metric, *(["roc_auc"] if metric != "roc_auc" else [])]
        columns = ["learner", *(f"{_title(arm)} {head}" for head in heads for arm in arms)]
        rows = [
            (member, *(shown(arm.figures[member].get(name)) for name in names for arm in arms))
            for member in (*(m for m in arms[0].figures if m != MEAN), MEAN)
        ]
        share = 1 - 2 * verdict.alpha
        show_table(f"on real rows that nothing was trained on ({share:.0%} intervals)", columns, rows)
    show_lines([f"{verdict.status}: {verdict.sentence}"])


def shown(estimate: Estimate | None) -> str:
    """Return an estimate as people read it: .412 [.380, .444]."""
    if estimate is None or math.isnan(estimate.value):
        return "-"
    if math.isnan(estimate.low):
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def show_forecast(made: Forecast) -> None:
    """Show what balance would do."""
    rows = [(text_of(label), plan.have, plan.add, plan.want) for label, plan in made.plan.classes.items()]
    upto = "up to " if made.plan.tuned else ""
    show_table("plan", ("class", "real rows", f"{upto}add", f"{upto}in all"), rows)
    lines: list[str] = [f"engine     {', '.join(dict.fromkeys(unit.engine for unit in made.plan.units)) or 'none'}"]
    lines += [f"check      {made.check_sentence}", f"ships      {made.ship_sentence}"]
    lines += [
        f"time       about {duration(made.fit_seconds)} to fit and draw, {duration(made.check_seconds)} to check",
        f"memory     about {made.memory_bytes / 1e6:,.0f} MB",
    ]
    show_lines([*lines, *(f"note: {note}" for note in made.notes)])


def duration(seconds: float) -> str:
    """Return a time as people say it."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _title(arm: ArmFigures) -> str:
    return {"none": "before", "candidate": "after"}.get(arm.role, arm.name)


def _role(verdict: Verdict, role: str) -> ArmFigures | None:
    return next((arm for arm in verdict.arms if arm.role == role), None)


def _free(verdict: Verdict) -> ArmFigures | None:
    free: Sequence[ArmFigures] = [arm for arm in verdict.arms if arm.role == "free"]
    chosen = next((arm for arm in free if arm.name == verdict.best_free), None)
    if chosen or not free:
        return chosen
    return max(free, key=lambda arm: arm.figures[MEAN][verdict.metric].value)
