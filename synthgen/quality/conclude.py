"""From what a check found to its verdict: gains, guard-rails, copies, the control, and every arm's figures.

May import data and the rest of quality.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from synthgen.data.dataset import text_of
from synthgen.quality.cells import Arm
from synthgen.quality.checks import Found, Setting
from synthgen.quality.evidence import AT_PAR
from synthgen.quality.novelty import Copies, CopyCount, count_copies, natural_share, weigh
from synthgen.quality.rules import Facts, decide, make_rails, resolution, sentence
from synthgen.quality.stats import Estimate, Inference
from synthgen.quality.verdict import MEAN, ArmFigures, CheckKind, Control, Rail, Verdict, finite


@dataclass(frozen=True)
class _Answer:
    """An arm's answers to the two questions, and its guard-rails."""

    nothing: Estimate
    free: Estimate
    rails: tuple[Rail, ...]


def conclude(setting: Setting, found: Found) -> Verdict:
    """Return the verdict on the candidate."""
    gate, arms, train, holdout = setting.gate, setting.arms, setting.real.train, setting.real.holdout
    free = [arms.none.name, *(arm.name for arm in arms.free if arm.name in found.evidence.arms)]
    best, chosen = found.evidence.best_free(free)
    rebalanced = _rebalanced(found, arms.candidate)
    answer = _answer(setting, found, arms.candidate, best)
    copies = _copies(setting, found, rebalanced)
    control = _control(setting, found, best)
    passes = control is not None and control.status == "PASS"
    others = [train.classes.index(label) for label in setting.unjudged]
    grown = sorted({*rebalanced, *others})
    unjudged = [text_of(train.classes[k]) for k in grown if k in others or k not in found.problem.classes]
    judged = not grown or len(unjudged) < len(grown)
    status = decide(
        nothing=answer.nothing,
        free=answer.free,
        rails=answer.rails,
        copies=copies,
        control_passes=passes,
        judged=judged,
        gate=gate,
    )
    best_free = max(free, key=lambda name: chosen[name])
    rare = train.classes[found.problem.rare]
    check: CheckKind = "cv" if holdout is None else "holdout"
    rare_rows = (holdout or train).counts()[rare]
    facts = Facts(
        status=status,
        nothing=answer.nothing,
        free=answer.free,
        best_free=_words(best_free, chosen[best_free], arms.none.name),
        rails=answer.rails,
        copies=copies,
        control_passes=passes,
        rare_rows=rare_rows,
        rare_label=text_of(rare),
        unjudged=unjudged,
        judged=judged,
        check=check,
        gate=gate,
    )
    return Verdict(
        status,
        sentence(facts),
        check=check,
        metric=found.problem.metric.name,
        alpha=gate.alpha,
        useful_effect=gate.useful_effect,
        better_than_nothing=answer.nothing,
        better_than_free=answer.free,
        best_free=best_free,
        resolution=finite(resolution(answer.free)),
        rare_rows=rare_rows,
        cells=found.cells,
        draws=setting.draws if holdout is not None else 1,
        rebalanced=tuple(train.classes[k] for k in rebalanced),
        rails=answer.rails,
        copies=copies,
        control=control,
        arms=tuple(_figures(setting, found, arm) for arm in arms.all if arm.name in found.evidence.arms),
        notes=found.notes,
    )


def _words(name: str, share: float, none: str) -> str:
    """The best free arm in words: empty for nothing; where folds chose differently, what most of them chose."""
    plain = "doing nothing" if name == none else name
    if share < 1:
        return f"what is free (mostly {plain})"
    return "" if name == none else plain


def _answer(setting: Setting, found: Found, arm: Arm, best: np.ndarray) -> _Answer:
    evidence, alpha, none = found.evidence, setting.gate.alpha, setting.arms.none.name
    nothing = evidence.infer(evidence.gain(evidence.primary, arm.name, none)).interval(alpha)
    free = evidence.infer(evidence.arms[arm.name].panel(evidence.primary) - best).interval(alpha)
    return _Answer(nothing, free, make_rails(_changes(setting, found, arm), alpha=alpha))


def _changes(setting: Setting, found: Found, arm: Arm) -> list[tuple[str, Inference, float, bool]]:
    """The guard-rails' changes against doing nothing: name, inference, margin (signed towards worse), gating."""
    evidence, margins, none = found.evidence, setting.gate.margins, setting.arms.none.name

    def change(figure: str) -> np.ndarray:
        return evidence.gain(figure, arm.name, none)

    changes = [
        ("average precision", evidence.infer(change("average_precision")), -margins.average_precision, True),
        ("ROC AUC", evidence.infer(change("roc_auc")), -margins.roc_auc, True),
        ("the Brier score", evidence.infer(change("brier")), margins.brier, True),
    ]
    helped = [k for k in _rebalanced(found, arm) if k in found.problem.classes]
    labels = [text_of(setting.real.train.classes[k]) for k in helped]
    each = [change(f"{AT_PAR}{k}") for k in helped]
    if len(helped) > 1:
        together = evidence.infer(np.mean(each, axis=0))
        changes.append(("the recall of the rebalanced classes at equal alarms", together, -margins.recall, True))
    for label, vector in zip(labels, each, strict=True):
        changes.append(
            (f"the recall of {label} at equal alarms", evidence.infer(vector), -margins.recall, len(helped) == 1)
        )
    return changes


def _rebalanced(found: Found, arm: Arm) -> list[int]:
    """Codes of the classes that the arm adds rows to."""
    added = [outcome.added for outcome in found.outcomes[arm.name] if outcome.added is not None]
    return [int(k) for k in np.flatnonzero(np.sum(added, axis=0))] if added else []


def _control(setting: Setting, found: Found, best: np.ndarray) -> Control | None:
    arm = setting.arms.control
    if arm is None or arm.name not in found.evidence.arms:
        return None
    answer = _answer(setting, found, arm, best)
    status = decide(
        nothing=answer.nothing,
        free=answer.free,
        rails=answer.rails,
        copies=None,
        control_passes=False,
        judged=True,
        gate=setting.gate,
    )
    return Control(arm.name, status, answer.nothing, answer.free)


def _copies(setting: Setting, found: Found, rebalanced: Sequence[int]) -> Copies | None:
    if not any(len(made.hashes) for made in found.made):
        return None
    real = [rows for rows in (setting.real.train, setting.real.holdout) if rows is not None]
    hashes, codes = [rows.hashes for rows in real], np.concatenate([rows.label_codes for rows in real])
    train, aside = hashes[0], hashes[1] if len(hashes) > 1 else None
    counts = (
        count_copies(made.hashes, train=train if made.known is None else train[made.known], holdout=aside)
        for made in found.made
    )
    count = sum(counts, start=CopyCount())
    natural = natural_share(np.concatenate(hashes), np.isin(codes, list(rebalanced)), alpha=setting.gate.alpha)
    return weigh(count, natural, alpha=setting.gate.alpha, leaks=len(real) > 1)


def _figures(setting: Setting, found: Found, arm: Arm) -> ArmFigures:
    """Every figure of an arm by panel member, the panel's mean first."""
    evidence, alpha = found.evidence, setting.gate.alpha
    own = evidence.arms[arm.name]
    names = [name for name in next(iter(own.vectors.values())) if not name.startswith(AT_PAR)]
    table = {MEAN: {name: own.panel(name) for name in names}, **own.vectors}
    figures = {
        member: {
            _shown(name, setting): evidence.infer(row[name]).interval(alpha).within(*_range(name)) for name in names
        }
        for member, row in table.items()
    }
    gain = evidence.infer(evidence.gain(evidence.primary, arm.name, setting.arms.none.name)).interval(alpha)
    return ArmFigures(arm.name, arm.role, arm.weighted, figures, gain)


def _range(figure: str) -> tuple[float, float]:
    """The least and the most that a figure can be: a t interval knows neither."""
    if figure.startswith("cost"):
        return -math.inf, 0.0
    return {"log_loss": (0.0, math.inf), "mcc": (-1.0, 1.0)}.get(figure, (0.0, 1.0))


def _shown(figure: str, setting: Setting) -> str:
    name, colon, code = figure.partition(":")
    return f"recall:{text_of(setting.real.train.classes[int(code)])}" if name == "recall" and colon else figure
