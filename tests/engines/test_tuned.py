"""How many rows, or none: the amount held, and what inner splits say weighed against other tables."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from synthgen.arms import build_arms
from synthgen.data.dataset import TabularDataset, from_table
from synthgen.engines import load_engine, make_engine, save_engine, tournament, tuned
from synthgen.engines.auto import AutoEngine
from synthgen.engines.base import FitContext
from synthgen.engines.choose import Choice, Table
from synthgen.engines.mixed import of_rows
from synthgen.engines.tournament import Budget, Fold
from synthgen.engines.tuned import modest, tune
from synthgen.errors import ConfigError
from synthgen.planning import Limits, make_plan
from synthgen.rebalance import Recipe, complete, fit_all, sample_all
from synthgen.sampler import Balancer

SMALL = Budget(folds=2, rows=600, own=100, rounds=8, resamples=20)


def gaussians(n_rest: int, n_own: int) -> TabularDataset:
    rng = np.random.default_rng(0)
    which = np.r_[np.zeros(n_rest), np.ones(n_own)]
    columns = {f"x{k}": rng.normal(size=len(which)) + 0.8 * which for k in range(3)}
    return from_table(pa.table(columns | {"label": which.astype(int)}), label="label")


def fixed_gain(monkeypatch: pytest.MonkeyPatch, gain: float, error: float) -> None:
    monkeypatch.setattr(Table, "gain", lambda self, arm, over: (gain, error))


def test_rows_are_held_to_some_for_each_real_one_and_a_quarter_of_the_largest_class() -> None:
    counts = {"a": 1000, "b": 10, "c": 100, "d": 300}
    want = {"b": 990, "c": 900, "d": 700}
    assert modest(counts, want, per_row=8) == {"b": 80, "c": 150, "d": 0}
    assert modest(counts, {"b": 5}, per_row=8) == {"b": 5}
    assert modest({}, {}, per_row=8) == {}


@pytest.mark.parametrize(
    ("gain", "error", "added"),
    [(0.0, 0.01, True), (-0.01, 0.015, True), (-0.01, 0.001, False), (-0.06, 0.015, False), (0.03, 0.01, True)],
)
def test_splits_are_believed_as_far_as_they_are_sure(
    monkeypatch: pytest.MonkeyPatch, gain: float, error: float, added: bool
) -> None:
    fixed_gain(monkeypatch, gain, error)
    choice = tune(gaussians(300, 20), want={1: 280}, seed=0, budget=SMALL)
    assert choice.amount == float(added)
    assert choice.engine == "taught"
    assert f"{gain:+.3f} ± {error:.3f}" in choice.reason
    assert choice.reason.endswith(": added" if added else ": nothing added")
    assert Choice.from_json(json.loads(json.dumps(choice.to_json()))) == choice


@pytest.mark.parametrize(("n_own", "engine", "added"), [(30, "taught", 8 * 30), (60, "cwgan-gp", 16 * 60)])
def test_the_network_is_for_classes_that_have_its_rows_on_every_split(n_own: int, engine: str, added: int) -> None:
    """Red when either is taken for all, or both add as many rows."""
    train = gaussians(5000, n_own)
    recipe = Recipe("auto", {"budget": replace(SMALL, network_steps=5), "steps": 5})
    plan = complete(make_plan(train.counts(), "tuned", limits=Limits(None)), recipe)
    choice = tune(train, want={1: 5000 - n_own}, seed=0, budget=replace(SMALL, network_steps=5))
    assert choice.scores[1].engine == engine
    assert choice.engine == (engine if choice.amount else "taught")
    assert sum(modest(train.counts(), {1: 5000}, per_row=choice.per_row).values()) == added
    engines = fit_all(train, plan, recipe, seed=0)
    assert [len(rows) for rows in sample_all(engines, plan, seed=0)] in ([added], [0])


def test_figures_of_both_arms_are_kept() -> None:
    choice = tune(gaussians(300, 20), want={1: 280}, seed=0, budget=SMALL)
    assert [score.amount for score in choice.scores] == [0.0, 1.0]
    assert all(score.splits == 2 and 0 < (score.auc or 0) < 1 for score in choice.scores)
    assert choice == tune(gaussians(300, 20), want={1: 280}, seed=0, budget=SMALL)


@pytest.mark.parametrize("n_own", [5, 8, 10, 17, 25])
def test_a_class_too_small_for_a_network_is_left_alone_or_taught(n_own: int) -> None:
    """Red when the network is named before its least number of rows is looked at: then the fit fails."""
    train = gaussians(300, n_own)
    recipe = Recipe("auto", {"budget": SMALL})
    plan = complete(make_plan(train.counts(), "tuned"), recipe)
    (engine,) = fit_all(train, plan, recipe, seed=0).values()
    assert isinstance(engine, AutoEngine)
    assert engine.choice.engine == "taught"
    assert engine.choice.amount == 0 or n_own >= 9


def test_tuned_is_not_told_what_to_choose_from() -> None:
    with pytest.raises(ConfigError, match="leave candidates"):
        AutoEngine(tuned=True, candidates=("delta",))


@pytest.mark.parametrize("option", [{"tuned": True}, {"amounts": (0.0, 1.0)}])
@pytest.mark.parametrize("strategy", ["auto", "tuned"])
def test_how_many_rows_is_asked_for_by_the_strategy_alone(strategy: str, option: dict[str, object]) -> None:
    """Red when an option of auto's adds fewer rows than the plan says."""
    with pytest.raises(ConfigError, match="use --strategy tuned"):
        Recipe("auto", option).make("auto", tuned=strategy == "tuned")
    X, y = np.arange(60.0).reshape(30, 2), np.arange(30) > 20
    with pytest.raises(ConfigError, match="use sampling_strategy tuned"):
        Balancer(engine="auto", engine_options=option, sampling_strategy=strategy).fit_resample(X, y)


def test_counts_are_the_plans_whatever_an_engine_chose() -> None:
    """Red when a choice scales the rows of a plan that is not tuned."""
    train = gaussians(300, 20)
    recipe = Recipe("synthgen.engines.auto:AutoEngine", {"tuned": True, "budget": SMALL})
    plan = complete(make_plan(train.counts(), {1: 120}), recipe)
    assert [len(rows) for rows in sample_all(fit_all(train, plan, recipe, seed=0), plan, seed=0)] == [100]


@pytest.mark.parametrize("own", [{"steps": None}, {"epochs": None, "steps": None}])
def test_an_option_that_is_none_is_the_engines_own_default(own: dict[str, object]) -> None:
    """Red when the budget compares None with its steps."""
    assert Budget(network_steps=3).brief("ctgan", own) == {**own, "steps": 3}


def test_nothing_is_added_where_nothing_can_be_seen_or_no_class_is_rare() -> None:
    assert "rows enough" in tune(gaussians(300, 8), want={1: 292}, seed=0).reason
    few = tune(gaussians(100, 30), want={1: 70}, seed=0)
    assert few.amount == 0
    assert "rarer than 25%" in few.reason


@pytest.mark.parametrize(("gain", "expected"), [(0.05, 160), (-0.5, 0)])
def test_tuned_auto_adds_the_modest_amount_or_nothing(
    monkeypatch: pytest.MonkeyPatch, gain: float, expected: int
) -> None:
    fixed_gain(monkeypatch, gain, 0.01)
    train = gaussians(1000, 20)
    recipe = Recipe("auto", {"budget": SMALL})
    plan = complete(make_plan(train.counts(), "tuned"), recipe)
    engines = fit_all(train, plan, recipe, seed=0)
    (engine,) = engines.values()
    assert isinstance(engine, AutoEngine)
    assert [len(rows) for rows in sample_all(engines, plan, seed=0)] == [expected]


def test_the_amount_of_the_splits_is_the_one_that_is_added(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each inner split adds in proportion to the rows it has."""
    seen = {}
    make_folds = tuned.make_folds

    def spy(train, want, **options):  # type: ignore[no-untyped-def]
        folds = make_folds(train, want, **options)
        seen.update(want=dict(want), adds=[fold.adds[1] / fold.train.counts()[1] for fold in folds])
        return folds

    monkeypatch.setattr(tuned, "make_folds", spy)
    tune(gaussians(400, 30), want={1: 370}, seed=0, budget=Budget(folds=2, rows=2000, rounds=8, resamples=20))
    assert seen["want"] == {1: 70}
    assert seen["adds"] == pytest.approx([70 / 30] * 2, rel=0.1)


def test_half_of_the_rows_are_real_ones_again_and_say_so(tmp_path: Path) -> None:
    """Red when repeats are not marked, or the generator makes them all."""
    train = gaussians(300, 40)
    engine = of_rows(make_engine("delta")).fit(train, seed=0, context=FitContext(want={1: 101}))
    rows = engine.sample(1, 101, seed=5)
    assert len(rows) == 101
    assert rows.repeated is not None
    assert rows.repeated.tolist() == [True] * 51 + [False] * 50
    known = set(train.of_class(1).feature_hashes().tolist())
    assert [h in known for h in rows.feature_hashes().tolist()] == rows.repeated.tolist()
    assert engine.info.origin == "synthetic"
    save_engine(engine, tmp_path)
    assert load_engine(tmp_path).sample(1, 101, seed=5).table == rows.table


def test_inner_splits_judge_the_rows_that_would_be_added(monkeypatch: pytest.MonkeyPatch) -> None:
    """Red when a tuned choice is judged on generated rows alone."""
    seen = []
    monkeypatch.setattr(Fold, "_judge", lambda self, rows, labels: seen.append((self, rows)) or np.ones((2, 61)))
    tune(gaussians(300, 30), want={1: 60}, seed=0, budget=SMALL)
    fold, rows = seen[1]
    own = {row.tobytes() for row in fold._encoded.numeric}
    new = rows.numeric[len(fold.train) :]
    assert sum(row.tobytes() in own for row in new) == pytest.approx(len(new) / 2, abs=1)


def test_a_class_on_a_lower_rung_is_tuned_too() -> None:
    """Red when a fallback adds up to even where nothing shows that its rows help."""
    train = gaussians(300, 7)
    recipe = Recipe("cwgan-gp", budget={"steps": 5})
    plan = complete(make_plan(train.counts(), "tuned"), recipe)
    assert plan.unit_of(1).engine == "smote"
    assert [len(rows) for rows in sample_all(fit_all(train, plan, recipe, seed=0), plan, seed=0)] == [0]


@pytest.mark.parametrize("part", [1, 3])
def test_a_check_of_thinned_rows_adds_the_share_that_is_published(monkeypatch: pytest.MonkeyPatch, part: int) -> None:
    """Red when a quarter of the largest class is that of the rows at hand."""
    fixed_gain(monkeypatch, 0.05, 0.01)
    judged = []
    make_folds = tuned.make_folds
    monkeypatch.setattr(tuned, "make_folds", lambda *a, **k: judged.append(dict(a[1])) or make_folds(*a, **k))
    recipe = Recipe("auto", {"budget": replace(SMALL, network_steps=2), "steps": 2})
    plan = make_plan({0: 4000, 1: 300}, "tuned")
    (arm,) = (arm for arm in build_arms(plan, recipe) if arm.role == "candidate")
    rows = arm.prepare(gaussians(400, 300 // part), 0)(0)
    assert len(rows) == (1000 - 300) // part  # a quarter of the 4,000, in all
    assert judged[0] == {1: 700 // part}


@pytest.mark.parametrize(
    ("name", "given", "inner"),
    [
        ("ctgan", {"steps": 2, "max_minutes": 0.5}, {"steps": 2, "max_minutes": 0.5}),
        ("ctgan", {"epochs": 2}, {"epochs": 2}),
        ("ctgan", {"epochs": 5}, {"epochs": 3}),
        ("cwgan-gp", {"steps": 9, "overdraw": 2.0}, {"steps": 3, "overdraw": 2.0}),
        ("copula", {"overdraw": 2.0}, {"overdraw": 2.0}),
        ("oversample", {}, {}),
    ],
)
def test_a_named_engine_competes_as_it_was_asked_for_and_no_longer_than_the_budget(
    monkeypatch: pytest.MonkeyPatch, name: str, given: dict[str, object], inner: dict[str, object]
) -> None:
    """Red when inner fits leave the user's settings out, or its own options are taken for the network's of auto."""
    if name == "ctgan":
        pytest.importorskip("ctgan")
    made = []
    make = tournament.make_engine
    monkeypatch.setattr(tournament, "make_engine", lambda *a, **k: made.append((*a, k)) or make(*a, **k))
    budget = replace(SMALL, network_steps=3)
    engine = AutoEngine(candidates=(name,), amounts=(0, 1), budget=budget, options={name: given})
    engine.fit(gaussians(120, 44), seed=0)
    assert engine.choice.engine == name
    assert made
    assert all(each == (name, inner) for each in made)
    if name in ("ctgan", "cwgan-gp") and "steps" in given:
        assert engine.history[-1]["step"] == given["steps"]


def test_what_a_named_engine_does_not_take_is_refused_before_anything_is_fitted() -> None:
    engine = Recipe("copula", {"overdraw": 2.0}).make("copula", tuned=True)
    assert isinstance(engine, AutoEngine)
    assert engine._options == {"copula": {"overdraw": 2.0}}
    for name in ("ctgan", "cwgan-gp", "copula"):
        if name == "ctgan":
            pytest.importorskip("ctgan")
        with pytest.raises(ConfigError, match="colour"):
            Recipe(name, {"colour": "red"}).make(name, tuned=True)


def test_settings_of_auto_reach_networks_that_compete() -> None:
    auto = AutoEngine(candidates=("delta", "cwgan-gp"), steps=2, options={"cwgan-gp": {"overdraw": 2.0}})
    assert auto._options == {"cwgan-gp": {"steps": 2, "overdraw": 2.0}}
    assert Budget().brief("cwgan-gp", {"steps": 2}) == {"steps": 2}
    assert Budget().brief("delta", {}) == {}
