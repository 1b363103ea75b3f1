"""The check's arms: the candidate, what is free, and the control, each as something that prepares a drawer.

The one place where judges meet engines; may import quality.gate, engines (through rebalance) and planning.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from synthgen.data.kinds import Dataset, modality_of
from synthgen.engines.base import FitContext
from synthgen.planning import BalancePlan, ClassPlan, SmallClass
from synthgen.quality.cells import Role
from synthgen.quality.gate import Arm, Drawer, fixed_arm
from synthgen.rebalance import Recipe, complete, fit_all, sample_all

FREE = ("oversample", "smote", "delta", "copula")
CONTROL = "independent"


def build_arms(
    plan: BalancePlan, recipe: Recipe, *, small_class: SmallClass = "ladder", group: str | None = None
) -> list[Arm]:
    """Return the arms of a check in the order in which they are shown: nothing, the candidate, the free, the control.

    Every arm that adds rows adds the plan's share of each class, scaled to the rows it is given.
    ``group``: a column whose groups stay together where an engine chooses.
    """
    if recipe.modality == "image":
        return _image_arms(plan, recipe, small_class)
    free = [_adding(plan, Recipe(name), name, "free", group=group) for name in FREE if name != recipe.engine]
    return [
        Arm("none", _keep, role="none"),
        _adding(plan, recipe, "synthetic", "candidate", small_class, group=group),
        Arm("class weights", _keep, weighted=True, role="free"),
        *free,
        _adding(plan, Recipe(CONTROL), CONTROL, "control", group=group),
    ]


def _image_arms(plan: BalancePlan, recipe: Recipe, small_class: SmallClass) -> list[Arm]:
    """The arms for images: every one but the first learns from images that are moved a little in every step."""
    repeats = replace(recipe, engine="oversample", options={})
    arms = [
        Arm("none", _keep, role="none"),
        _adding(plan, recipe, "synthetic", "candidate", small_class),
        Arm("augmentation", _keep),
        Arm("class weights", _keep, weighted=True),
        Arm("logit adjustment", _keep, adjusted=True),
        _adding(plan, repeats, "repeats", "free"),
    ]
    return [arm if arm.role == "none" else replace(arm, augmented=True) for arm in arms]


def fixed_arms(train: Dataset, made: Dataset, *, flips: bool = False) -> list[Arm]:
    """Return the arms that judge given rows: the others add as many rows per class as ``made`` has."""
    counts, added = train.counts(), made.counts()
    plan = BalancePlan({label: ClassPlan(n, n + added[label], added[label]) for label, n in counts.items()})
    modality = modality_of(train)
    arms = build_arms(plan, Recipe("auto", modality=modality, flips=flips))
    return [fixed_arm(made, augmented=modality == "image") if arm.role == "candidate" else arm for arm in arms]


def _keep(train: Dataset, seed: int) -> Drawer:  # noqa: ARG001  an arm's signature
    none = train.take(np.arange(0))
    return lambda draw: none  # noqa: ARG005


def _adding(
    plan: BalancePlan,
    recipe: Recipe,
    name: str,
    role: Role,
    small_class: SmallClass = "ladder",
    *,
    group: str | None = None,
) -> Arm:
    def prepare(train: Dataset, seed: int) -> Drawer:
        here = complete(plan.scaled(train.counts()), recipe, small_class=small_class)
        engines = fit_all(train, here, recipe, seed=seed, context=FitContext(group=group))
        none = train.take(np.arange(0))
        return lambda draw: none.concat(*sample_all(engines, here, seed=seed, draw=draw))

    return Arm(name, prepare, role=role)
