"""Large tables: a check works with a part of the training rows, and says of all of them what it says."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from quality_kit import NONE, QUICK, REPEATED, WEIGHTS, arms, real_rows, repeated, table

from synthgen.data.dataset import TabularDataset, from_table
from synthgen.quality import cells, evidence, seen, stats
from synthgen.quality.downstream import Panel, predict
from synthgen.quality.gate import Arm, Drawer, Gate, assess, fixed_arm
from synthgen.quality.seen import seen_of
from synthgen.quality.stats import bootstrap_weights

SMALL = Gate(learners=("logistic",), resamples=400, folds=3, repeats=1, max_rows=100)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """At most 300 rows of a class."""
    monkeypatch.setattr(seen, "MOST_SEEN", 3000)


def test_a_class_past_the_limit_is_thinned_and_the_others_stay_whole() -> None:
    """Mutant: a scale of 1 for all."""
    train = table(5000, 60)
    part = seen_of(train, least=100, rng=np.random.default_rng(0))
    assert part.dataset is train
    assert part.notes == ()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seen, "MOST_SEEN", 3000)
        part = seen_of(train, least=100, rng=np.random.default_rng(0))
        least = seen_of(train, least=700, rng=np.random.default_rng(0))
    assert part.dataset.counts() == {0: 300, 1: 60}
    assert part.scale * [300, 60] == pytest.approx([4940, 60])
    assert np.array_equal(part.dataset.label_codes, train.label_codes[part.rows])
    assert least.dataset.counts() == {0: 700, 1: 60}
    assert "works with 360 of the training rows: a class of more than 300 is thinned" in part.notes[0]


@pytest.mark.parametrize("group", [None, "x0"])
@pytest.mark.parametrize("most", [10_000, 200])
def test_what_a_fold_leaves_is_told_of_the_folds_that_are_dealt(
    group: str | None, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 40 rare rows 25 are equal: whether they stay together is for all rows to say, not for the small classes.

    Mutants: take the keys of the small classes' rows alone; an even deal."""
    monkeypatch.setattr(seen, "_SMALL", most)  # so that the large class is dealt, or is not
    train = table(3000, 40)
    values = train.table.to_pandas()
    rare = values.index[values["label"] == 1]
    values.loc[rare[:25]] = values.loc[rare[:1]].to_numpy()
    train = from_table(pa.Table.from_pandas(values), label="label")
    gate = Gate(repeats=3)
    dealt = seen.deals(train, train.counts(), gate, seed=5, group=group)
    least = min(int(np.sum(train.label_codes[fold.train] == 1)) for deal in dealt for fold in deal)
    assert least <= 15
    assert seen.fewest_learnt(train, gate, seed=5, group=group)[1] == least


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("check", ["cv", "holdout"])
def test_arms_are_prepared_on_the_thinned_rows_alone(check: str) -> None:
    """Mutant: give arms, or the folds, all training rows."""
    sizes: list[dict[object, int]] = []

    def watched(train: TabularDataset, seed: int) -> Drawer:
        sizes.append(train.counts())
        return repeated(train, seed)

    candidate = Arm("synthetic", watched, role="candidate")
    holdout = table(400, 40, seed=1) if check == "holdout" else None
    verdict = assess(table(3000, 60), arms=arms(candidate), holdout=holdout, check=check, gate=SMALL, seed=0, draws=2)
    assert sizes
    assert max(size[0] for size in sizes) <= 300
    assert max(size[1] for size in sizes) == (60 if check == "holdout" else 40)
    assert any("works with 360 of the training rows" in note for note in verdict.notes)


def test_thinned_rows_weigh_so_that_learners_know_the_true_shares() -> None:
    """Mutant: leave the scale out of the learners' weights."""
    train, asked = table(6000, 60), table(3000, 30, seed=1)
    few = train.take(np.r_[np.flatnonzero(train.label_codes == 0)[:300], np.flatnonzero(train.label_codes == 1)])
    none, panel = train.take(np.arange(0)), Panel(("logistic", "boosted"))
    scale = np.array([5940 / 300, 1.0])
    found = predict(few, none, asked, panel=panel, weighted=False, seed=0, scale=scale)
    blind = predict(few, none, asked, panel=panel, weighted=False, seed=0)
    for name, proba in found.items():
        assert proba[:, 1].mean() == pytest.approx(0.01, abs=0.015)
        assert blind[name][:, 1].mean() > 0.1


@pytest.mark.usefixtures("few")
def test_figures_of_thinned_rows_are_those_of_the_true_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: leave the scale out of the judged rows' weights."""
    train = table(6000, 120)
    thin = assess(train, arms=arms(REPEATED), gate=SMALL, seed=0).arms[0].figures["mean"]
    monkeypatch.setattr(seen, "MOST_SEEN", 10**6)
    whole = assess(train, arms=arms(REPEATED), gate=SMALL, seed=0).arms[0].figures["mean"]
    assert thin["average_precision"].value == pytest.approx(whole["average_precision"].value, abs=0.08)
    assert thin["brier"].value == pytest.approx(whole["brier"].value, abs=0.01)


@pytest.mark.usefixtures("few")
def test_copies_of_rows_that_the_lot_left_out_are_found() -> None:
    """Mutant: look for copies among the thinned rows."""
    train, holdout = table(3000, 400), table(400, 40, seed=1)
    kept = seen_of(train, least=100, rng=np.random.default_rng(0))  # any lot leaves 100 of the 400 out
    assert kept.dataset.counts()[1] == 300
    own = train.of_class(1)
    verdict = assess(
        train, arms=arms(real_rows(own)), holdout=holdout, check="holdout", gate=SMALL, seed=0, draws=2,
        drawn=lambda draw: own,
    )  # fmt: skip
    assert verdict.copies is not None
    assert verdict.copies.share.value == 1
    assert verdict.copies.n_rows == 800


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("n_rare", [150, 400])
def test_copies_in_a_fold_are_those_of_the_rows_that_its_generator_saw(n_rare: int) -> None:
    """Mutants: look for a fold's copies among all training rows; say in the notes that they are."""
    train = table(3000, n_rare)
    own = train.of_class(1)
    verdict = assess(train, arms=arms(real_rows(own)), gate=SMALL, seed=0)
    assert verdict.copies is not None
    assert verdict.copies.share.value == pytest.approx(2 / 3 * min(1, 300 / n_rare), abs=0.02)
    assert any(note.endswith("in a cross-fit among those of the fold's generator") for note in verdict.notes)


def test_leaks_are_looked_for_among_all_rows_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: look among the judged rows of the holdout, which are thinned too."""
    monkeypatch.setattr(seen, "MOST_JUDGED", 300)
    holdout = table(1500, 400, seed=1)
    own = holdout.of_class(1)
    verdict = assess(
        table(600, 100), arms=arms(real_rows(own)), holdout=holdout, check="holdout", gate=SMALL, seed=0, draws=2,
        drawn=lambda draw: own,
    )  # fmt: skip
    assert verdict.copies is not None
    assert verdict.copies.leaked.value == 1


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("fixed", [False, True])
def test_rows_made_for_all_training_rows_are_thinned_as_those_are(
    monkeypatch: pytest.MonkeyPatch, *, fixed: bool
) -> None:
    """Else an arm with given rows would weigh more than one that makes its own. Mutant: leave the lot out."""
    added: list[np.ndarray] = []

    def watch(real: TabularDataset, new: TabularDataset, *others: object, **named: object) -> object:
        if len(new):
            added.append(np.bincount(new.label_codes, minlength=2))
        return predict(real, new, *others, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(cells, "predict", watch)
    made = table(4000, 1000, seed=3)
    candidate = fixed_arm(made) if fixed else real_rows(made.take(np.arange(10)))
    assess(
        table(3000, 60), arms=[NONE, candidate, WEIGHTS], holdout=table(300, 40, seed=1), check="holdout", gate=SMALL,
        seed=0, draws=2, drawn=None if fixed else lambda draw: made,
    )  # fmt: skip
    of_all = [counts for counts in added if counts.sum() > 10]
    assert len(of_all) == (5 if fixed else 2)
    for counts in of_all:
        assert counts[0] == pytest.approx(3000 * 300 / 2940, rel=0.2)
        assert counts[1] == 1000


def test_blocks_of_weightings_give_the_same_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: give every block the first columns."""

    def figures() -> list[tuple[float, float, float]]:
        verdict = assess(
            table(300, 60), arms=arms(REPEATED), holdout=table(300, 60, seed=1), check="holdout", gate=QUICK, seed=0,
            draws=3,
        )  # fmt: skip
        shown = [each for arm in verdict.arms for each in arm.figures["mean"].values()]
        return [(each.value, each.low, each.high) for each in (*shown, verdict.better_than_free)]

    whole = figures()
    monkeypatch.setattr(evidence, "MAX_CELLS", 300 * 37)
    assert np.array(figures()) == pytest.approx(np.array(whole), abs=1e-5, nan_ok=True)


def test_resamples_drawn_in_parts_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mutant: begin every part at the first resample."""
    codes = np.repeat([0, 1], [90, 30])
    whole = bootstrap_weights(codes, n_resamples=50, n_draws=2, rng=np.random.default_rng(0))
    monkeypatch.setattr(stats, "MAX_BLOCK", 700)
    parts = bootstrap_weights(codes, n_resamples=50, n_draws=2, rng=np.random.default_rng(0))
    assert np.array_equal(whole.rows, parts.rows)
    columns = [whole.columns(slice(at, at + 7)) for at in range(0, whole.n_columns, 7)]
    assert np.array_equal(np.concatenate(columns, axis=1)[:, : whole.n_columns], whole.rows)
    assert (columns[-1][:, whole.n_columns % 7 :] == 1).all()
