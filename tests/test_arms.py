"""Which arms a check has, and how much each adds."""

from __future__ import annotations

import numpy as np
import pytest

from synthgen.arms import CONTROL, FREE, build_arms
from synthgen.engines.contract import mixed_table
from synthgen.planning import make_plan
from synthgen.rebalance import Recipe

TRAIN = mixed_table({"common": 120, "rare": 40})
PLAN = make_plan(TRAIN.counts())


def test_a_candidate_meets_nothing_class_weights_what_is_free_and_the_control() -> None:
    arms = build_arms(PLAN, Recipe("auto"))
    assert [(arm.name, arm.role) for arm in arms] == [
        ("none", "none"),
        ("synthetic", "candidate"),
        ("class weights", "free"),
        *((name, "free") for name in FREE),
        (CONTROL, "control"),
    ]
    assert [arm.name for arm in arms if arm.weighted] == ["class weights"]


@pytest.mark.parametrize("engine", FREE)
def test_a_candidate_that_is_free_is_not_compared_with_itself(engine: str) -> None:
    names = [arm.name for arm in build_arms(PLAN, Recipe(engine))]
    assert engine not in names
    assert set(FREE) - {engine} <= set(names)


def test_an_arm_adds_the_plan_s_share_of_the_rows_that_it_is_given() -> None:
    whole, half = (
        {arm.name: arm.prepare(rows, 0)(0).counts()["rare"] for arm in build_arms(PLAN, Recipe("oversample"))}
        for rows in (TRAIN, TRAIN.take(np.flatnonzero(np.arange(len(TRAIN)) % 2 == 0)))
    )
    n_rare = TRAIN.take(np.flatnonzero(np.arange(len(TRAIN)) % 2 == 0)).counts()["rare"]
    assert whole == {name: 80 if name not in ("none", "class weights") else 0 for name in whole}
    assert half == {name: 2 * n_rare if name not in ("none", "class weights") else 0 for name in half}
