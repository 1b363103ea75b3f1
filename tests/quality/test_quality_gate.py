"""The whole check on small tables: what arms see, what is reported, and that nothing the data holds breaks it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from quality_kit import (
    CONTROL,
    NONE,
    QUICK,
    REPEATED,
    WEIGHTS,
    arms,
    independent,
    keep,
    real_rows,
    repeated,
    several,
    table,
)

from synthgen.data.dataset import TabularDataset
from synthgen.errors import ConfigError, DataError, EngineError
from synthgen.quality import cells
from synthgen.quality.downstream import predict
from synthgen.quality.gate import Arm, Drawer, Gate, Verdict, assess, fixed_arm

FULL = Gate(folds=3, repeats=1, resamples=400)


def test_the_full_panel_judges_every_arm_and_the_verdict_is_json() -> None:
    """Mutant: the rail on recall compares each arm at its own cut-off."""
    seen: list[float] = []
    verdict = assess(
        table(200, 40), arms=arms(REPEATED, CONTROL), gate=FULL, seed=0, report=lambda share, _: seen.append(share)
    )
    assert [(arm.name, arm.role, arm.weighted) for arm in verdict.arms] == [
        ("none", "none", False),
        ("synthetic", "candidate", False),
        ("class weights", "free", True),
        ("independent", "control", False),
    ]
    for arm in verdict.arms:
        assert list(arm.figures) == ["mean", "logistic", "forest", "boosted", "average"]
        for row in arm.figures.values():
            assert {"average_precision", "roc_auc", "recall:0", "recall:1", "brier"} <= set(row)
            assert all(each.low <= each.value <= each.high for each in row.values())
    assert verdict.control is not None
    assert verdict.control.name == "independent"
    assert (verdict.check, verdict.cells, verdict.rare_rows, verdict.rebalanced) == ("cv", 3, 40, (1,))
    assert verdict.copies is None, "repeats are meant to be copies"
    assert [rail.name for rail in verdict.rails] == [
        "average precision",
        "ROC AUC",
        "the Brier score",
        "the recall of 1 at equal alarms",
    ]
    own = [verdict.arms[i].figures["mean"]["recall:1"].value for i in (1, 0)]
    assert abs(verdict.rails[3].change.value - (own[0] - own[1])) > 1e-6, "not at each arm's own cut-off"
    assert Verdict.from_json(json.loads(json.dumps(verdict.to_json(), allow_nan=False))) == verdict
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    assert verdict.resolution == pytest.approx(verdict.better_than_free.value - verdict.better_than_free.low)


@pytest.mark.parametrize("check", ["cv", "holdout"])
def test_the_number_of_jobs_changes_nothing(check: str) -> None:
    """Mutant: seeds from the order in which parts finish, or no thread limit."""
    holdout = table(80, 16, seed=1) if check == "holdout" else None
    verdicts = [
        assess(
            table(120, 30),
            arms=arms(REPEATED, CONTROL),
            holdout=holdout,
            check=check,
            gate=Gate(folds=3, repeats=1, resamples=400, learners=("logistic", "boosted")),
            seed=5,
            draws=2,
            jobs=jobs,
        )
        for jobs in (1, 2)
    ]
    assert verdicts[0] == verdicts[1]


class Spy:
    """A candidate that notes every row it is prepared on."""

    def __init__(self) -> None:
        self.prepared: list[np.ndarray] = []

    def prepare(self, train: TabularDataset, seed: int) -> Drawer:
        """Add nothing, note everything."""
        self.prepared.append(train.feature_hashes())
        none = train.take(np.arange(0))
        return lambda draw: none

    @property
    def arm(self) -> Arm:
        """The candidate."""
        return Arm("synthetic", self.prepare, role="candidate")


def test_holdout_rows_never_reach_an_arm() -> None:
    """Mutant: prepare on train and holdout together."""
    train, holdout, spy = table(150, 30), table(60, 15, seed=1), Spy()
    assess(train, arms=arms(spy.arm), holdout=holdout, check="holdout", gate=QUICK, seed=0, draws=3)
    assert len(spy.prepared) == 4, "once on all of train, once in each inner fold"
    sizes = sorted(len(rows) for rows in spy.prepared)
    assert sizes[-1] == 150
    assert sizes[0] < 110
    for rows in spy.prepared:
        assert not np.isin(rows, holdout.feature_hashes()).any()
        assert np.isin(rows, train.feature_hashes()).all()


@pytest.mark.parametrize("check", ["cv", "holdout"])
def test_no_row_is_judged_by_learners_that_saw_it(check: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: judge a cell's own training rows."""
    pairs: list[tuple[np.ndarray, np.ndarray]] = []

    def spy(real: TabularDataset, added: TabularDataset, judged: TabularDataset, **options: object) -> object:
        pairs.append((real.concat(added).feature_hashes(), judged.feature_hashes()))
        return predict(real, added, judged, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(cells, "predict", spy)
    holdout = table(60, 15, seed=1) if check == "holdout" else None
    assess(table(150, 30), arms=arms(REPEATED), holdout=holdout, check=check, gate=QUICK, seed=0, draws=2)
    assert len(pairs) == (30 if check == "cv" else 3 * 2 + 3 * 3)
    for drawn, judged in pairs:
        assert not np.isin(judged, drawn).any()


def test_each_cell_draws_its_own_number_and_each_draw_its_own() -> None:
    seen: list[int] = []

    def prepare(train: TabularDataset, seed: int) -> Drawer:
        def draw(number: int) -> TabularDataset:
            seen.append(number)
            return train

        return draw

    candidate = Arm("synthetic", prepare, role="candidate")
    assess(table(100, 25), arms=arms(candidate), gate=QUICK, seed=0)
    assert seen == list(range(10))
    seen.clear()
    assess(table(100, 25), arms=arms(candidate), holdout=table(50, 9), check="holdout", gate=QUICK, seed=0, draws=3)
    assert seen == [0, 1, 2, 0, 1, 2], "three draws of the whole, then one in each of three inner folds"


def test_draws_made_earlier_are_the_candidates() -> None:
    train, spy = table(120, 30), Spy()
    given: list[int] = []

    def drawn(number: int) -> TabularDataset:
        given.append(number)
        return train.take(np.arange(0))

    assess(train, arms=arms(spy.arm), holdout=table(60, 12), check="holdout", gate=QUICK, seed=0, draws=4, drawn=drawn)
    assert given == [0, 1, 2, 3]
    assert len(spy.prepared) == 3, "the inner folds alone are refitted"


def test_groups_stay_together() -> None:
    """Mutant: ignore ``group``."""
    train = table(160, 40)
    spy, labels = Spy(), train.to_pandas()["plan"]
    verdict = assess(train, arms=arms(spy.arm), gate=QUICK, seed=0, group="plan")
    groups = [set(labels[train.feature_hashes() == row].tolist()) for row in train.feature_hashes()]
    for rows in spy.prepared:
        kept = np.isin(train.feature_hashes(), rows)
        inside = set().union(*(groups[i] for i in np.flatnonzero(kept)))
        outside = set().union(*(groups[i] for i in np.flatnonzero(~kept)))
        assert not inside & outside
    assert verdict.status in ("INCONCLUSIVE", "NO LIFT")
    on_holdout = assess(
        train, arms=arms(REPEATED), holdout=table(90, 20), check="holdout", gate=QUICK, seed=0, draws=2, group="plan"
    )
    assert on_holdout.status != "PASS"


def test_the_control_takes_a_pass_away() -> None:
    """True rows pass; as a control they show that the check would pass anything. Mutant: ignore the control."""
    train, holdout = table(300, 12, width=12), table(900, 200, seed=1, width=12)
    pool = table(4000, 400, seed=2, width=12).of_class(1)
    candidate = real_rows(pool)
    passed = assess(train, arms=arms(candidate), holdout=holdout, check="holdout", gate=QUICK, seed=0, draws=3)
    assert passed.status == "PASS"
    assert "Better than doing nothing" in passed.sentence
    control = Arm("independent", candidate.prepare, role="control")
    doubted = assess(
        train, arms=arms(candidate, control), holdout=holdout, check="holdout", gate=QUICK, seed=0, draws=3
    )
    assert doubted.control is not None
    assert doubted.control.status == "PASS"
    assert doubted.status == "INCONCLUSIVE"
    assert "cannot be trusted" in doubted.sentence


@pytest.mark.parametrize(
    "counts", [(60, 30, 10), (40, 20, 2), (40, 20, 1), (50, 4, 4), (30, 25, 20, 15, 10, 6)], ids=str
)
@pytest.mark.parametrize("check", ["cv", "holdout"])
def test_several_and_tiny_classes_never_crash(counts: tuple[int, ...], check: str) -> None:
    holdout = several(tuple(max(1, n // 3) for n in counts), seed=1) if check == "holdout" else None
    gate = Gate(folds=5, repeats=1, resamples=400, learners=("logistic",))
    verdict = assess(
        several(counts), arms=arms(REPEATED, CONTROL), holdout=holdout, check=check, gate=gate, seed=0, draws=2
    )
    assert verdict.status in ("PASS", "NO LIFT", "FAIL", "INCONCLUSIVE")
    assert verdict.arms
    assert any("left out of the figures" in note for note in verdict.notes) == (min(counts) < 3)
    assert ("Not judged for want of real rows" in verdict.sentence) == (min(counts) < 3)
    assert check == "holdout" or verdict.rare_rows == min(n for n in counts if n >= 3)
    mean = verdict.arms[0].figures["mean"]
    assert sum(name.startswith("recall:") for name in mean) == sum(n >= 3 for n in counts)
    ranges = {"log_loss": (0, np.inf), "mcc": (-1, 1)}
    for name, figure in mean.items():
        least, most = ranges.get(name, (0, 1))
        assert not figure.low < least, name
        assert not figure.high > most, name


def failing(train: TabularDataset, seed: int) -> Drawer:
    """A generator that needs more rows than a fold has."""
    raise DataError(f"too few rows: {len(train)}")


def test_an_arm_that_cannot_be_fitted_is_left_out_and_a_candidate_inconclusive() -> None:
    left = assess(table(80, 20), arms=arms(REPEATED, Arm("smote", failing)), gate=QUICK, seed=0)
    assert [arm.name for arm in left.arms] == ["none", "synthetic", "class weights"]
    assert any("smote is left out" in note and "too few rows: 64" in note for note in left.notes)
    alone = assess(table(80, 20), arms=arms(Arm("synthetic", failing, role="candidate")), gate=QUICK, seed=0)
    assert alone.status == "INCONCLUSIVE"
    assert "too few rows" in alone.notes[0]


def foreign(train: TabularDataset, seed: int) -> Drawer:
    """Rows of other classes: the contract is broken."""
    return lambda draw: several((5, 5, 5))


def broken(train: TabularDataset, seed: int) -> Drawer:
    """A bug, not a finding."""
    raise ZeroDivisionError


def test_a_broken_contract_and_a_bug_are_errors() -> None:
    with pytest.raises(EngineError, match="other classes"):
        assess(table(80, 20), arms=arms(Arm("synthetic", foreign, role="candidate")), gate=QUICK, seed=0)
    with pytest.raises(ZeroDivisionError):
        assess(table(80, 20), arms=arms(Arm("synthetic", broken, role="candidate")), gate=QUICK, seed=0)


def test_rows_made_beforehand_are_judged_with_their_own_spread() -> None:
    train, holdout = table(120, 20), table(80, 25, seed=1)
    made = table(300, 100, seed=2).of_class(1)
    verdict = assess(train, arms=arms(fixed_arm(made)), holdout=holdout, check="holdout", gate=QUICK, seed=0, draws=4)
    assert verdict.draws == 4
    assert any("made beforehand" in note for note in verdict.notes)
    assert verdict.copies is not None
    assert verdict.copies.share.value == 0
    drawer = fixed_arm(made).prepare(train, 3)
    assert drawer(0).counts() == drawer(1).counts() == {0: 0, 1: 100}
    assert len(np.unique(drawer(0).feature_hashes())) == 100
    assert len(np.unique(drawer(1).feature_hashes())) < 80
    with pytest.raises(ConfigError, match="cannot be cross-fitted"):
        assess(train, arms=arms(fixed_arm(made)), gate=QUICK, seed=0)


def test_copies_among_the_drawn_rows_fail() -> None:
    """The same arm, not declared as repeats. Mutant: no copy check."""
    copying = Arm("synthetic", repeated, role="candidate")
    verdict = assess(table(120, 30), arms=arms(copying), gate=QUICK, seed=0)
    assert verdict.status == "FAIL"
    assert "100.0% of the synthetic rows are exact copies" in verdict.sentence


def make_own() -> object:
    """The user's estimator."""
    from sklearn.dummy import DummyClassifier

    return DummyClassifier()


def test_the_users_estimator_joins_the_panel() -> None:
    verdict = assess(table(80, 20), arms=arms(REPEATED), gate=QUICK, seed=0, estimator="sklearn.dummy:DummyClassifier")
    own = verdict.arms[0].figures["own"]["roc_auc"]
    assert own.value == pytest.approx(0.5)
    mean = verdict.arms[0].figures["mean"]["roc_auc"].value
    assert mean == pytest.approx((verdict.arms[0].figures["logistic"]["roc_auc"].value + 0.5) / 2)
    by_factory = assess(table(80, 20), arms=arms(REPEATED), gate=QUICK, seed=0, estimator=make_own)  # type: ignore[arg-type]
    assert "own" in by_factory.arms[0].figures


@pytest.mark.parametrize("metric", ["balanced_accuracy", "recall@fpr=.1", "precision@k=10", "cost:fn=10,fp=1"])
@pytest.mark.parametrize("check", ["cv", "holdout"])
def test_the_users_figure_is_the_gated_one(metric: str, check: str) -> None:
    gate = Gate(metric=metric, learners=("logistic",), resamples=400, repeats=1)
    holdout = table(80, 20, seed=1) if check == "holdout" else None
    verdict = assess(table(120, 30), arms=arms(REPEATED), holdout=holdout, check=check, gate=gate, seed=0, draws=2)
    gain = [verdict.arms[i].figures["mean"][metric].value for i in (1, 0)]
    assert verdict.metric == metric
    assert verdict.better_than_nothing.value == pytest.approx(gain[0] - gain[1])


def test_a_cost_is_for_two_classes() -> None:
    with pytest.raises(ConfigError, match="is for two classes; this label has 3"):
        assess(several((30, 20, 10)), arms=arms(REPEATED), gate=Gate(metric="cost:fn=10,fp=1"), seed=0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"arms": [NONE, WEIGHTS]}, "one 'candidate'"),
        ({"arms": [REPEATED, WEIGHTS]}, "role 'none'"),
        ({"arms": arms(REPEATED, NONE)}, "different names"),
        ({"arms": arms(REPEATED, CONTROL, Arm("other", independent, role="control"))}, "at most one 'control'"),
        ({"check": "loo"}, "known are: cv, holdout"),
        ({"check": "holdout"}, "needs the holdout"),
        ({"holdout": table(40, 10)}, "cv' takes none"),
        ({"jobs": 0}, "1 or more"),
        ({"estimator": "nothing"}, "write pkg.mod:make"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        assess(table(60, 20), **{"arms": arms(REPEATED), "gate": QUICK, "seed": 0, **given})  # type: ignore[arg-type]


def test_a_holdout_of_other_classes_is_refused() -> None:
    train = several((30, 20))
    with pytest.raises(DataError, match="classes differ"):
        assess(train, arms=arms(REPEATED), holdout=several((30, 20, 5)), check="holdout", gate=QUICK, seed=0)


def test_a_candidate_that_adds_nothing_lifts_nothing() -> None:
    same = assess(table(100, 25), arms=[NONE, Arm("synthetic", keep, role="candidate")], gate=QUICK, seed=0)
    assert same.better_than_nothing.value == same.better_than_nothing.high == 0
    assert (same.status, same.rebalanced) == ("NO LIFT", ())
    assert "No better than doing nothing" in same.sentence


def test_large_classes_are_thinned_and_that_is_said() -> None:
    gate = Gate(learners=("logistic",), resamples=400, folds=3, repeats=1, max_rows=100)
    verdict = assess(table(400, 40), arms=arms(REPEATED), gate=gate, seed=0)
    assert any("at most 100 rows of a class" in note for note in verdict.notes)
    assert 0.5 < verdict.arms[0].figures["mean"]["roc_auc"].value < 1
