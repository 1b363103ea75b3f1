"""What a run trains for its check: on other rows than for the shards, by the same groups, amounts and rungs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from road_kit import frame
from run_kit import quick, started

from synthgen import pipeline
from synthgen.config import make_config
from synthgen.engines import auto, tournament
from synthgen.engines.choose import Choice
from synthgen.engines.tuned import modest
from synthgen.errors import TooFewRows
from synthgen.forecast import forecast
from synthgen.run import DRAWS


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


SMALL = frame(322, 22)  # 18 of the 22 rare rows stay for the check's generator: cwgan-gp needs 20


@pytest.mark.usefixtures("one_learner")
@pytest.mark.parametrize("fine_tune", [False, True])
def test_a_class_too_small_without_the_rows_set_aside_takes_the_next_rung_for_the_check(tmp_path, fine_tune):
    """Red when the check's generators are trained by the units of all rows; told, since it is not what is published."""
    options = {"engine": "cwgan-gp", "steps": 3, "fine_tune": fine_tune, "holdout": 0.2, "check": "holdout"}
    out = tmp_path / "out"
    result = quick(SMALL, out, **options, ship="all", gate="report-only")
    assert result.published
    assert {unit.engine for unit in result.plan.units} == {"cwgan-gp"}
    assert result.verdict.arm("synthetic") is not None
    assert result.verdict.status == "INCONCLUSIVE"  # no class is judged by the rows that it gets
    assert "no class that rows were added to could be judged" in result.verdict.sentence
    told = "class 1 has 18 rows without the rows set aside: the check has rows of smote in place of its own"
    assert told in result.plan.notes
    assert forecast(SMALL, make_config({"label": "fraud", **options, "ship": "all"})).notes[-1] == told


@pytest.mark.usefixtures("one_learner")
def test_a_class_too_small_in_a_fold_is_told_before_and_not_judged(tmp_path):
    """Red when a verdict on rows of smote stands for the ones that are published."""
    options = {"engine": "cwgan-gp", "steps": 3, "check": "cv", "ship": "all"}
    result = quick(SMALL, tmp_path / "out", **options, holdout=None, gate="report-only")
    assert {unit.engine for unit in result.plan.units} == {"cwgan-gp"}
    assert "no class that rows were added to could be judged" in result.verdict.sentence
    told = "class 1 has 17 rows in a fold of the check: the check has rows of smote in place of its own"
    assert told in result.plan.notes
    assert told in forecast(SMALL, make_config({"label": "fraud", **options})).notes
    with pytest.raises(TooFewRows, match=r"in a fold of the check class 1 has 17 rows, cwgan-gp needs 20.*--holdout 0"):
        forecast(SMALL, make_config({"label": "fraud", **options, "small_class": "error"}))


@pytest.mark.usefixtures("one_learner")
def test_a_class_too_small_in_a_fold_of_groups_is_told_before_and_not_judged(tmp_path):
    """Red when an even deal is taken for granted: of 62 rows in four groups one fold leaves 17."""
    rows = frame(400, 62).sort_values("fraud", kind="stable", ascending=False)
    rows["who"] = [0] * 45 + [1] * 10 + [2] * 5 + [3] * 2 + [4 + k // 4 for k in range(338)]
    options = {"engine": "cwgan-gp", "steps": 3, "check": "cv", "ship": "all", "group": "who"}
    result = quick(rows, tmp_path / "out", **options, holdout=None, gate="report-only")
    told = "class 1 has 17 rows in a fold of the check: the check has rows of smote in place of its own"
    assert told in result.plan.notes
    assert "no class that rows were added to could be judged" in result.verdict.sentence
    with pytest.raises(TooFewRows, match="in a fold of the check class 1 has 17 rows, cwgan-gp needs 20"):
        forecast(rows, make_config({"label": "fraud", **options, "small_class": "error"}))


def test_every_class_has_its_own_engine_in_the_check(tmp_path):
    """Two of three classes fall to the next rung: one training makes both, and each of them is drawn from it."""
    rows = pd.concat([frame(322, 22), frame(322, 22).query("fraud == 1").assign(fraud=2, x=-1.0)])
    rows = pd.concat([rows, frame(400, 60).query("fraud == 1").assign(fraud=3, x=2.0)])
    run = started(rows, tmp_path / "run", engine="cwgan-gp", steps=3, ship="all", strategy="1=40,2=50,3=90")
    for unit in run.plan.units:
        pipeline.fit(run, unit)
    made = (tmp_path / "run" / "models").glob("*/check/done")
    assert {path.parent.parent.name for path in made} == {"cwgan-gp", "smote"}
    for label in run.plan.adds():
        pipeline.generate(run, label)
    scaled = run.plan.scaled(run.train.counts())
    assert run.check_draws()(1).counts() == {0: 0} | {label: scaled.classes[label].add for label in (1, 2, 3)}


def test_a_class_that_may_not_take_the_next_rung_is_refused_before_anything_is_trained(monkeypatch, tmp_path):
    """Red when only the counts of all rows are looked at."""
    monkeypatch.setattr(pipeline, "fit", None)
    options = {"engine": "cwgan-gp", "check": "holdout", "holdout": 0.2, "ship": "all", "small_class": "error"}
    with pytest.raises(
        TooFewRows, match=r"without the rows set aside class 1 has 18 rows, cwgan-gp needs 20.*--holdout"
    ):
        quick(SMALL, tmp_path / "out", **options)
    with pytest.raises(TooFewRows, match="class 1 has 18 rows"):
        forecast(SMALL, make_config({"label": "fraud", **options}))


@pytest.mark.parametrize(
    ("strategy", "options"), [("1=23", {}), ("auto", {"engine": "cwgan-gp", "small_class": "skip"})]
)
def test_a_check_of_which_no_class_gets_rows_is_told_as_none(tmp_path, strategy, options):
    """Red when an engine is asked for rows of a label that it was not fitted for."""
    options = {"engine": "oversample", "steps": 3, "strategy": strategy, "holdout": 0.6, **options}
    result = quick(SMALL, tmp_path / "out", **options, check="holdout", ship="all")
    assert result.published
    assert result.verdict.status == "NOT CHECKED"
    assert "without the rows set aside no class has rows enough" in result.verdict.sentence
    assert any("the check adds no rows of it" in note for note in result.plan.notes)


def test_a_label_of_which_the_check_adds_none_is_drawn_empty(tmp_path):
    """Red when its share of the rows is rounded to none and drawn all the same."""
    rows = pd.concat([frame(400, 22), frame(400, 60).query("fraud == 1").assign(fraud=2, x=2.0)])
    run = started(rows, tmp_path / "run", ship="all", holdout=0.6, strategy="1=23,2=100")
    for unit in run.plan.units:
        pipeline.fit(run, unit)
    for label in run.plan.adds():
        pipeline.generate(run, label)
    assert len(run.read_rows(run.draw_path(1, 0))) == 1
    assert run.check_draws()(1).counts() == {0: 0, 1: 0, 2: run.plan.scaled(run.train.counts()).classes[2].add}


def test_the_check_s_generator_is_tuned_for_the_amount_that_is_drawn(tmp_path, monkeypatch):
    """A class that comes late is rarer without the rows set aside; its amount is that of all rows. Red when the fit
    forgets how large the classes were."""
    judged = []

    def tune(train, *, want, shares=None, **rest):
        judged.append(sum(modest(train.counts(), want, per_row=8, shares=shares).values()))
        return Choice("oversample", 1.0, "made up", per_row=8)

    monkeypatch.setattr(auto, "tune", tune)
    n = 1_000
    late = (np.arange(n) % np.where(np.arange(n) < 800, 40, 5) == 0).astype(int)
    rows = pd.DataFrame({"x": np.random.default_rng(0).normal(size=n), "at": np.arange(n), "fraud": late})
    run = started(rows, tmp_path / "run", engine="auto", strategy="tuned", time="at", ship="all")
    for unit in run.plan.units:
        pipeline.fit(run, unit)
    pipeline.generate(run, 1)
    assert [len(run.read_rows(run.draw_path(1, number))) for number in (0, DRAWS)] == judged
    assert judged[1] < run.train.counts()[0] * 0.25 - run.train.counts()[1]  # by the rows at hand it would be more
