"""The gate: ``assess`` puts a candidate beside doing nothing, what is free and a control, and returns a Verdict.

May import data and the rest of quality. It gets arms as callables and never learns who made the rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from synthgen.data.dataset import text_of
from synthgen.data.kinds import Dataset
from synthgen.data.schema import Label
from synthgen.errors import ConfigError
from synthgen.quality.cells import Arm, Drawer, Report, fixed_arm
from synthgen.quality.checks import Arms, CannotTell, Setting, cross_fit, on_holdout
from synthgen.quality.conclude import conclude
from synthgen.quality.cost import estimate_seconds
from synthgen.quality.downstream import MakeEstimator, Panel, load_estimator
from synthgen.quality.image_panel import ImagePanel
from synthgen.quality.rules import LEAST_ROWS, Gate, Margins
from synthgen.quality.seen import Known, Real, look
from synthgen.quality.verdict import CheckKind, Verdict

__all__ = ["Arm", "Drawer", "Gate", "Margins", "Verdict", "assess", "estimate_seconds", "fixed_arm", "look"]

MOST_CLASSES = 100


def assess(
    train: Dataset | Real,
    *,
    arms: Sequence[Arm],
    holdout: Dataset | None = None,
    check: str = "cv",
    gate: Gate = Gate(),  # noqa: B008  frozen
    seed: int,
    jobs: int = 1,
    draws: int = 10,
    drawn: Drawer | None = None,
    unjudged: Sequence[Label] = (),
    estimator: str | MakeEstimator | None = None,
    group: str | None = None,
    flips: bool = False,
    report: Report = lambda share, message: None,  # noqa: ARG005
) -> Verdict:
    """Judge the candidate among ``arms`` on real rows that nobody trained on.

    ``check="cv"``: repeated stratified cross-fitting over all ``train`` rows (``group`` keeps groups together); in
    every cell each arm is prepared on the cell's training rows and draw number = cell is made; the interval over the
    cells is Nadeau and Bengio's. Cut-offs, calibrators and the choice of the best free arm for a fold come from the
    out-of-fold figures of the other folds of the same repeat, never from the fold's own rows.

    ``check="holdout"``: each arm is prepared once on ``train`` and ``draws`` draws are made (``drawn`` gives the
    candidate's, made earlier); cut-offs, calibrators and the best free arm come from a 3-fold cross-fit of ``train``
    with everything refitted; the interval is a BCa bootstrap over draws and holdout rows (or groups).

    ``train`` may be what ``look`` made of training rows and holdout with the same ``gate`` and ``seed``; then
    ``holdout`` is left out. ``arms`` has exactly one of role none and one candidate. ``unjudged`` are
    classes that get other rows than the candidate adds here, or rows where it adds none. ``estimator`` is a
    ``pkg.mod:make`` or a factory of a classifier that joins the panel of a table. ``flips``: mirroring an image keeps
    its label. ``report(share, message)`` is called as parts finish. Raises ConfigError for arguments that do not fit;
    what the data does not allow becomes a note or an INCONCLUSIVE verdict, never an error.
    """
    named = _by_role(arms)
    if check not in ("cv", "holdout"):
        raise ConfigError(f"check {check!r} is unknown; known are: cv, holdout")
    real = train if isinstance(train, Real) else look(train, holdout, gate=gate, seed=seed)
    if (check == "holdout") != (real.asked is not None):
        raise ConfigError("check='holdout' needs the holdout, and check='cv' takes none")
    if check == "cv" and named.candidate.fixed:
        raise ConfigError("rows that were made beforehand cannot be cross-fitted; judge them on a holdout")
    if unknown := [label for label in unjudged if label not in real.train.classes]:
        known = ", ".join(map(text_of, real.train.classes))
        raise ConfigError(f"unjudged names {text_of(unknown[0])}, and the classes are: {known}")
    if draws < 1 or jobs < 1:
        raise ConfigError(f"draws and jobs must be 1 or more, got {draws} and {jobs}")
    make = load_estimator(estimator) if isinstance(estimator, str) else estimator
    if make is not None and real.of_images:
        raise ConfigError("an estimator judges tables; images are judged by a small network")
    panel = ImagePanel(flips) if real.of_images else Panel(gate.learners, make, gate.max_rows)
    setting = Setting(real, named, gate, panel, seed, draws, drawn, unjudged, group, jobs, report)
    kind: CheckKind = "cv" if real.asked is None else "holdout"
    if (why := _cannot(real.train, real.holdout)) is not None:
        return Verdict("INCONCLUSIVE", why, check=kind, metric=gate.metric)
    try:
        found = cross_fit(setting) if real.asked is None else on_holdout(setting, real.asked)
    except CannotTell as error:
        return Verdict("INCONCLUSIVE", error.why, check=kind, metric=gate.metric, notes=error.notes)
    verdict = conclude(setting, found)
    report(1.0, f"check: {verdict.status}")
    return verdict


def _by_role(arms: Sequence[Arm]) -> Arms:
    names = [arm.name for arm in arms]
    if len(set(names)) < len(names):
        raise ConfigError(f"arms need different names, got {', '.join(names)}")
    roles = {role: tuple(arm for arm in arms if arm.role == role) for role in ("none", "candidate", "free", "control")}
    if len(roles["none"]) != 1 or len(roles["candidate"]) != 1 or len(roles["control"]) > 1:
        raise ConfigError("a check needs one arm of role 'none', one 'candidate' and at most one 'control'")
    control = roles["control"][0] if roles["control"] else None
    return Arms(roles["none"][0], roles["candidate"][0], roles["free"], control)


def _cannot(train: Known, holdout: Known | None) -> str | None:
    """Why nothing can be judged, in words, or None."""
    if len(train.classes) > MOST_CLASSES:
        return f"It cannot be told: {len(train.classes)} classes are more than the {MOST_CLASSES} that can be judged."
    counts = train.counts()
    judged = holdout.counts() if holdout is not None else counts
    seen = [label for label, n in counts.items() if n >= LEAST_ROWS and judged[label] > 0]
    if len(seen) < 2:
        least = min(counts, key=lambda label: min(counts[label], judged[label]))
        rows = f"{counts[least]} training rows" + ("" if holdout is None else f" and {judged[least]} in the holdout")
        return f"It cannot be told: class {text_of(least)} has {rows}, too few to judge by."
    for rows, side in (("training rows", train), ("rows of the holdout", holdout)):
        if side is not None and np.ptp(side.hashes) == 0:
            return f"It cannot be told: all {rows} are equal."
    return None
