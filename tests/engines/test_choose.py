"""The tournament: its figures, its splits, and that noise does not choose."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from synthgen.data.dataset import TabularDataset, from_table
from synthgen.engines import load_engine, make_engine, make_raw
from synthgen.engines.auto import AutoEngine
from synthgen.engines.base import FitContext
from synthgen.engines.choose import AMOUNTS, MARGIN, Choice, choose
from synthgen.engines.contract import mixed_table
from synthgen.engines.quantile import Delta
from synthgen.engines.tournament import Budget, judgeable, make_folds, ranking_figures
from synthgen.errors import ConfigError
from synthgen.planning import make_plan
from synthgen.rebalance import Recipe, complete, fit_all, sample_all

SMALL = Budget(rows=800, own=200, rounds=15, resamples=30, network_steps=4, network_rows=20)
WIDTH = 4


def gaussians(n_rest: int, n_own: int, *, seed: int = 0, gap: float = 0.8) -> TabularDataset:
    rng = np.random.default_rng(seed)
    which = np.r_[np.zeros(n_rest), np.ones(n_own)]
    x = rng.normal(size=(len(which), WIDTH)) + gap * which[:, None]
    columns = {f"x{k}": x[:, k] for k in range(WIDTH)} | {"label": which.astype(int)}
    return from_table(pa.table(columns), label="label")


class Garbage(Delta):
    """Rows of the other class under the rare label: adding them can only hurt."""

    def sample(self, label, n, *, seed):  # type: ignore[no-untyped-def]
        rng = np.random.default_rng(seed)
        rows = super().sample(label, n, seed=seed)
        table = rows.table
        for k in range(WIDTH):
            table = table.set_column(k, f"x{k}", pa.array(rng.normal(size=n)))
        return TabularDataset(table, rows.schema, rows.classes)


class Oracle(Garbage):
    """Fresh rows of the true class: what no generator can beat."""

    def sample(self, label, n, *, seed):  # type: ignore[no-untyped-def]
        rows = super().sample(label, n, seed=seed)
        table = rows.table
        for k in range(WIDTH):
            table = table.set_column(k, f"x{k}", pa.array(table.column(k).to_numpy() + 0.8))
        return TabularDataset(table, rows.schema, rows.classes)


@pytest.fixture(autouse=True)
def own_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("own_engines")
    module.Garbage, module.Oracle = Garbage, Oracle  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "own_engines", module)


GARBAGE, ORACLE = "own_engines:Garbage", "own_engines:Oracle"


def test_figures_are_scikit_learn_s() -> None:
    rng = np.random.default_rng(0)
    truth, weights = rng.random(300) < 0.1, rng.random((5, 300)) * 3
    for scores in (rng.random(300), np.round(rng.random(300), 1)):
        ap, auc = ranking_figures(truth, scores, weights)
        for row in range(5):
            w = weights[row]
            assert ap[row] == pytest.approx(average_precision_score(truth, scores, sample_weight=w))
            assert auc[row] == pytest.approx(roc_auc_score(truth, scores, sample_weight=w))


def test_resample_without_a_class_has_a_figure() -> None:
    truth = np.array([True, False, False])
    ap, auc = ranking_figures(truth, np.array([0.1, 0.2, 0.3]), np.array([[0.0, 1.0, 1.0]]))
    assert ap[0] == pytest.approx(1 / 3)
    assert auc[0] == 0.5


def test_inner_splits_are_disjoint_bounded_and_scaled() -> None:
    train = gaussians(3000, 90)
    parts = make_folds(train, {1: 2910}, seed=0, budget=Budget(rows=1000, own=40))
    held = [set(part.held.feature_hashes().tolist()) for part in parts]
    for part, ours in zip(parts, held, strict=True):
        assert not ours & set(part.train.feature_hashes().tolist())
        # planned to be even: 2000 and 2000 on a split, thinned to 500 and 500; the class keeps 40 of its 60
        counts = part.train.counts()
        assert counts[0] == pytest.approx(500, abs=2)
        assert counts[1] == 40
        assert part.adds[1] == pytest.approx(485, abs=2)
        shares = [part.weights[0][part.held.label_codes == code].sum() for code in (0, 1)]
        assert shares[1] / sum(shares) == pytest.approx(90 / 3090, rel=0.1)
    assert not held[0] & held[1]


def test_cost_is_bounded_with_many_classes() -> None:
    train = mixed_table({f"c{k:02d}": 12 + 2 * k for k in range(40)})
    want = {label: 100 - n for label, n in train.counts().items() if n < 90}
    part = make_folds(train, want, seed=0, budget=Budget(rows=400, own=100))[0]
    assert part.judged == tuple(f"c{k:02d}" for k in range(10))
    assert set(part.adds) == set(part.judged)
    assert len(part.train) + sum(part.adds.values()) < 600
    assert part.train.counts()["c00"] == 8
    assert part.scores("delta", 1.0).shape == (2, 61)


def test_who_can_be_judged() -> None:
    train = mixed_table({"a": 100, "b": 20, "c": 5})
    assert judgeable(train, {"b": 80, "c": 95}) == ("b",)
    assert judgeable(train, {"b": 0}) == ()
    assert judgeable(train.of_class("b"), {"b": 10}) == ()


def test_better_engine_is_taken_and_worse_is_not() -> None:
    train = gaussians(600, 45)
    choice = choose(train, want={1: 555}, candidates=(GARBAGE, ORACLE), seed=0, budget=SMALL)
    assert choice.engine == ORACLE
    assert "taken" in choice.reason
    choice = choose(train, want={1: 555}, candidates=(ORACLE, GARBAGE, "delta"), seed=0, budget=SMALL)
    assert choice.engine == ORACLE
    assert "the default" in choice.reason


def test_engine_far_behind_leaves_the_race() -> None:
    train = gaussians(900, 90)
    budget = Budget(rows=4000, rounds=15)
    choice = choose(train, want={1: 1800}, candidates=(ORACLE, GARBAGE), seed=0, budget=budget)
    behind = next(score for score in choice.scores if score.engine == GARBAGE)
    assert behind.splits < SMALL.folds
    assert behind.reason.startswith("left the race")


def test_gain_within_two_errors_keeps_the_default() -> None:
    """Twice the same engine under two names, many times: no gain can be real."""
    taken = 0
    for seed in range(12):
        train = gaussians(200, 30, seed=seed)
        names = ("delta", "synthgen.engines.quantile:Delta")
        budget = Budget(folds=2, rows=300, own=100, rounds=8, resamples=30)
        choice = choose(train, want={1: 170}, candidates=names, seed=seed, budget=budget)
        taken += choice.engine != "delta"
        other = next(score for score in choice.scores if score.engine != "delta")
        assert other.gain is not None
        assert other.error is not None
        assert (choice.engine == "delta") == (other.gain <= MARGIN * other.error)
    assert taken <= 1


def test_amount_is_nothing_where_rows_hurt_and_something_where_they_help() -> None:
    train = gaussians(600, 21)
    for name, helps in ((GARBAGE, False), (ORACLE, True)):
        choice = choose(train, want={1: 579}, candidates=(name,), amounts=AMOUNTS, seed=0, budget=SMALL)
        assert (choice.amount > 0) == helps


def test_engine_and_amount_together() -> None:
    train = gaussians(600, 21)
    choice = choose(train, want={1: 579}, candidates=(GARBAGE, ORACLE), amounts=(0, 0.25, 1), seed=0, budget=SMALL)
    assert choice.engine == ORACLE
    assert choice.amount > 0
    arms = [(score.engine, score.amount) for score in choice.scores]
    assert len(arms) == len(set(arms))
    assert {amount for engine, amount in arms if engine == ORACLE} == {0, 0.25, 1}


def test_the_same_seed_chooses_alike_and_the_table_is_json() -> None:
    train = gaussians(300, 30)
    first, second = (
        choose(train, want={1: 100}, candidates=("delta", "copula"), seed=3, budget=SMALL) for _ in range(2)
    )
    assert first == second
    again = Choice.from_json(json.loads(json.dumps(first.to_json())))
    assert again == first
    ran = [score for score in first.scores if score.splits == SMALL.folds]
    assert ran
    assert all(0 < (score.ap or 0) < 1 and 0 < (score.auc or 0) < 1 and (score.rank or 0) >= 1 for score in ran)


def test_too_few_rows_give_the_default_and_say_so() -> None:
    train = mixed_table({"a": 100, "b": 6})
    choice = choose(train, want={"b": 94}, candidates=("copula", "delta"), seed=0)
    assert (choice.engine, choice.amount) == ("copula", 1.0)
    assert "rows enough" in choice.reason
    assert choose(train, want={"b": 94}, amounts=(0, 1), seed=0).amount == 0
    assert choose(train, want={}, seed=0).reason.startswith("nothing is wanted")


def test_candidates_that_need_more_rows_are_left_out_with_the_reason() -> None:
    train = mixed_table({"a": 100, "b": 30, "c": 3})
    choice = choose(train, want={"b": 70, "c": 97}, candidates=("copula", "delta", "wgan-gp"), seed=0, budget=SMALL)
    assert choice.engine == "delta"
    reasons = {score.engine: score.reason for score in choice.scores}
    assert reasons["copula"] == "needs 5 rows of a class, the smallest wanted one has 3"
    assert "wgan-gp" in reasons


def test_network_runs_on_its_splits_only_where_rows_allow() -> None:
    train = gaussians(200, 36)
    choice = choose(train, want={1: 164}, candidates=("delta", "cwgan-gp"), seed=0, budget=SMALL)
    assert next(s for s in choice.scores if s.engine == "cwgan-gp").splits == SMALL.network_folds
    few = Budget(rows=800, own=200, rounds=15, network_steps=4)
    choice = choose(train, want={1: 164}, candidates=("delta", "cwgan-gp"), seed=0, budget=few)
    network = next(s for s in choice.scores if s.engine == "cwgan-gp")
    assert network.splits == 0
    assert "a network is tried from 40" in network.reason


def test_network_alone_is_tried_from_its_own_fewest_rows() -> None:
    budget = Budget(rows=300, own=100, rounds=8, resamples=10, network_steps=2)
    options = {"candidates": ("cwgan-gp",), "amounts": (0, 1), "seed": 0, "budget": budget}
    enough = choose(gaussians(150, 36), want={1: 100}, **options)  # type: ignore[arg-type]
    assert {score.amount: score.splits for score in enough.scores} == {0: 3, 1: 1}
    few = choose(gaussians(150, 27), want={1: 100}, **options)  # type: ignore[arg-type]
    assert few.amount == 0
    assert "nothing else could be tried: the smallest class has 18 rows" in few.reason


def test_mistakes_are_config_errors() -> None:
    train = gaussians(100, 20)
    for bad in ({"candidates": ()}, {"candidates": ("auto",)}, {"candidates": ("nix",)}, {"amounts": (2.0,)}):
        with pytest.raises(ConfigError):
            choose(train, want={1: 10}, seed=0, **bad)  # type: ignore[arg-type]


def test_auto_is_its_winner_and_remembers_why(tmp_path: Path) -> None:
    train = gaussians(600, 45)
    heard: list[tuple[float, str]] = []
    context = FitContext(report=lambda share, text: heard.append((share, text)), want={1: 555})
    engine = AutoEngine(candidates=("oversample", "smote"), budget=SMALL).fit(train, seed=0, context=context)
    name = engine.choice.engine
    assert engine.info.origin == make_engine(name).info.origin
    direct = engine.winner.sample(1, 20, seed=1)
    assert engine.sample(1, 20, seed=1).fingerprint() == direct.fingerprint()
    engine.save(tmp_path)
    loaded = load_engine(tmp_path)
    assert isinstance(loaded, AutoEngine)
    assert loaded.choice == engine.choice
    assert [share for share, _ in heard] == sorted(share for share, _ in heard)
    assert heard[-1][0] == 1.0


def test_auto_states_the_winner_s_origin() -> None:
    train = mixed_table({"a": 60, "b": 6})
    engine = AutoEngine(candidates=("oversample",)).fit(train, seed=0)
    assert engine.info.origin == "repeated"
    assert AutoEngine().info.origin == "synthetic"


def test_auto_refuses_unknown_settings_before_fitting() -> None:
    with pytest.raises(ConfigError, match="unknown training setting"):
        make_engine("auto", colour="red")


def test_raw_generators_are_made_once_a_split() -> None:
    train = gaussians(200, 30)
    part = make_folds(train, {1: 170}, seed=0, budget=SMALL)[0]
    part.scores("delta", 1.0)
    part.scores("delta-filter", 1.0)
    assert list(part._raw) == ["delta"]
    assert part._belief is not None
    assert make_raw("delta") is not make_raw("delta")


def test_amounts_of_one_class_alone_cannot_be_tuned() -> None:
    alone = gaussians(100, 40).of_class(1)
    with pytest.raises(ConfigError, match="cannot be tuned for 'wgan-gp'"):
        choose(alone, want={1: 60}, candidates=("wgan-gp",), amounts=(0, 1), seed=0)


@pytest.mark.parametrize("name", ["delta", "cwgan-gp"])
def test_a_fine_tune_continues_what_its_trunk_chose(name: str) -> None:
    train = gaussians(120, 40)
    options: dict[str, object] = {"steps": 4, "width": 16}
    budget = Budget(rows=200, own=100, rounds=8, resamples=10, network_steps=2, network_rows=20)
    trunk = AutoEngine(candidates=(name,), amounts=(0, 1), budget=budget, **options).fit(train, seed=0)
    context = FitContext(base=trunk, want={1: 80})
    tuned = AutoEngine(candidates=(name,), amounts=(0, 1), **options).fit(train.of_class(1), seed=0, context=context)
    assert tuned.choice == trunk.choice
    same = tuned.sample(1, 20, seed=0).fingerprint() == trunk.sample(1, 20, seed=0).fingerprint()
    assert same == (name == "delta")


def test_an_amount_adds_that_share_of_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    part = make_folds(gaussians(200, 30), {1: 170}, seed=0, budget=SMALL)[0]
    sizes: list[int] = []
    judge = part._judge
    monkeypatch.setattr(part, "_judge", lambda rows, labels: (sizes.append(len(rows)), judge(rows, labels))[1])
    for amount in (0.0, 0.5, 1.0):
        part.scores("copula", amount)
    whole = part.adds[1]
    assert [size - len(part.train) for size in sizes] == [0, round(0.5 * whole), whole]


def equal_rows(n_rest: int, n_own: int, *, equal: int) -> TabularDataset:
    """``equal`` of the class's rows are one row again and again."""
    train = gaussians(n_rest, n_own)
    own = np.flatnonzero(train.label_codes == 1)
    first, others = own[:equal], own[equal:]
    kept = np.r_[np.flatnonzero(train.label_codes == 0), np.repeat(own[0], len(first)), others]
    return train.take(kept)


@pytest.mark.parametrize("name", ["auto", "taught", "delta", "smote", "oversample", "cwgan-gp"])
@pytest.mark.parametrize("strategy", ["auto", "tuned"])
@pytest.mark.parametrize(("n_own", "equal"), [(12, 12), (12, 11), (10, 6), (24, 24)])
def test_equal_rows_of_a_class_stand_on_one_side_and_nothing_fails(
    name: str, strategy: str, n_own: int, equal: int
) -> None:
    """Red when candidates, or classes to judge, are taken by the rows of the whole table."""
    train = equal_rows(300, n_own, equal=equal)
    recipe = Recipe(name, {"budget": SMALL} if name == "auto" else {}, {"steps": 4})
    plan = complete(make_plan(train.counts(), strategy), recipe)
    (rows,) = sample_all(fit_all(train, plan, recipe, seed=0), plan, seed=0)
    assert len(rows) == plan.total or strategy == "tuned"
    if equal == n_own == 12 and strategy == "tuned":  # more than 20 count as a value that many share
        assert len(rows) == 0


def test_what_an_inner_split_has_too_few_rows_for_does_not_compete() -> None:
    train = equal_rows(300, 10, equal=6)
    choice = choose(train, want={1: 290}, candidates=("taught", "delta", "smote"), seed=0, budget=SMALL)
    assert choice.engine == "delta"
    reasons = {score.engine: score.reason for score in choice.scores}
    assert reasons["taught"] == "needs 5 rows of a class, the smallest has 3 on an inner split"
    alone = choose(train, want={1: 290}, candidates=("taught",), amounts=(0, 1), seed=0, budget=SMALL)
    assert (alone.engine, alone.amount) == ("taught", 0)
    assert "rows enough to be judged" in alone.reason


def test_one_class_of_equal_rows_does_not_keep_others_from_being_judged() -> None:
    train = mixed_table({"a": 100, "b": 20, "c": 12})
    codes = train.label_codes
    train = train.take(np.r_[np.flatnonzero(codes < 2), np.repeat(np.flatnonzero(codes == 2)[:1], 12)])
    assert judgeable(train, {"b": 80, "c": 88}) == ("c", "b")
    parts = make_folds(train, {"b": 80, "c": 88}, seed=0, budget=SMALL)
    assert [part.judged for part in parts] == [("b",)] * 3
    assert make_folds(train, {"c": 88}, seed=0, budget=SMALL) == []


def test_a_network_named_first_that_no_split_has_rows_for_is_not_the_default() -> None:
    """Red (KeyError) when the others are compared with a network that did not run."""
    choice = choose(gaussians(200, 24), want={1: 100}, candidates=("cwgan-gp", "delta", "smote"), seed=0, budget=SMALL)
    assert choice.engine in ("delta", "smote")
    network = next(score for score in choice.scores if score.engine == "cwgan-gp")
    assert network.reason == "the smallest class has 16 rows on an inner split, a network is tried from 20"


def test_candidates_for_images_are_left_out_on_a_table() -> None:
    """Red when modalities are not looked at: the fit fails where the network meets rows."""
    choice = choose(gaussians(200, 30), want={1: 170}, candidates=("delta", "style"), seed=0, budget=SMALL)
    assert choice.engine == "delta"
    assert {score.engine: score.reason for score in choice.scores} == {"style": "makes no rows of a table"}


@pytest.mark.parametrize(
    ("candidates", "out"),
    [(("gan",), "models one class at a time"), (("style",), "makes no rows of a table"), (("taught",), "needs 5 rows")],
)
def test_where_no_candidate_fits_the_reason_says_so(candidates: tuple[str, ...], out: str) -> None:
    """Red when the engine that is left is told as the only candidate."""
    train = gaussians(200, 3 if "taught" in candidates else 30)
    engine = AutoEngine(candidates=candidates, budget=SMALL).fit(train, seed=0)
    assert engine.choice.engine == "oversample"
    assert engine.choice.reason == "no candidate fits these rows: oversample"
    assert out in engine.choice.scores[0].reason
