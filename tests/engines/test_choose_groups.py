"""Inner splits by group: what is chosen on rows that belong together."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from synthgen.arms import build_arms
from synthgen.data.dataset import TabularDataset, from_table
from synthgen.engines import tournament
from synthgen.engines.base import FitContext
from synthgen.engines.tournament import Budget, make_folds
from synthgen.planning import make_plan
from synthgen.rebalance import Recipe, complete, fit_all

SMALL = Budget(rows=800, own=200, rounds=15, resamples=30, network_steps=4, network_rows=20)


def grouped() -> TabularDataset:
    """100 customers of 5 rows each, 5 of them rare; nothing but the customer tells a row's class."""
    rng = np.random.default_rng(0)
    who = np.repeat(np.arange(100), 5)
    x = rng.normal(size=(100, 2))[who] + 0.1 * rng.normal(size=(500, 2))
    columns = {"x0": x[:, 0], "x1": x[:, 1], "who": who.astype(str), "label": (who < 5).astype(int)}
    return from_table(pa.table(columns), label="label")


def test_no_group_is_on_both_sides_of_an_inner_split() -> None:
    """Red when the splits, or the resamples behind a gain's error, take rows one by one."""
    parts = make_folds(grouped(), {1: 450}, seed=0, budget=SMALL, group="who")
    assert len(parts) == SMALL.folds
    for part in parts:
        learnt, held = (rows.table.column("who").to_pylist() for rows in (part.train, part.held))
        assert not set(learnt) & set(held)
        drawn = part.weights[1:] / part.weights[0]
        assert all(len(np.unique(drawn[:, np.array(held) == one], axis=1).T) == 1 for one in set(held))


@pytest.mark.parametrize("tuned", [False, True])
def test_the_groups_of_a_run_reach_the_inner_splits(monkeypatch: pytest.MonkeyPatch, tuned: bool) -> None:
    """Red when a road to the splits forgets the column: a fit, or an arm of the check."""
    heard, deal = [], tournament.folds
    monkeypatch.setattr(tournament, "folds", lambda *a, **k: heard.append(k["group"]) or deal(*a, **k))
    train = grouped()
    recipe = Recipe("auto", {"budget": SMALL} if tuned else {"budget": SMALL, "candidates": ("delta", "oversample")})
    plan = complete(make_plan(train.counts(), "tuned" if tuned else "auto"), recipe)
    fit_all(train, plan, recipe, seed=0, context=FitContext(group="who"))
    assert set(heard) == {"who"}
    (arm,) = (arm for arm in build_arms(plan, recipe, group="who") if arm.role == "candidate")
    arm.prepare(train, 0)
    assert set(heard) == {"who"}
    fit_all(train, plan, recipe, seed=0)
    assert heard[-1] is None
