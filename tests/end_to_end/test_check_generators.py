"""What a run trains for its check: on other rows than for the shards, by the same groups, amounts and rungs."""

from __future__ import annotations

import pytest
from road_kit import frame
from run_kit import quick

from synthgen.engines import tournament


@pytest.mark.usefixtures("one_learner")
@pytest.mark.parametrize("check", ["cv", "holdout"])
def test_groups_stay_together_wherever_an_engine_is_chosen(monkeypatch, check):
    """Red when a fit, or an arm of the check, is not told the column."""
    heard, deal = [], tournament.folds
    monkeypatch.setattr(tournament, "folds", lambda *a, **k: heard.append(k["group"]) or deal(*a, **k))
    monkeypatch.setattr("synthgen.rebalance.AMOUNTS", (1.0,))  # never nothing, so that there is a check
    rows = frame(240, 60).assign(who=lambda rows: [f"u{k % 40}" for k in range(len(rows))])
    options = {"engine": "oversample", "strategy": "tuned", "group": "who", "holdout": 0.25, "gate": "report-only"}
    quick(rows, **options, check=check, ship="all")
    assert len(heard) > 5  # the published fit, the check's own and what it is compared with
    assert set(heard) == {"who"}
