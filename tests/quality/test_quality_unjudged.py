"""Classes that cannot be judged: too few rows, none set aside, or rows that no fold parts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from quality_kit import QUICK, REPEATED, arms, several, table

from synthgen.data.dataset import TabularDataset, from_table
from synthgen.errors import ConfigError
from synthgen.quality import checks
from synthgen.quality.gate import Arm, Drawer, assess


@pytest.mark.parametrize("rare", [1, 2])
def test_too_few_rare_rows_cannot_be_told(rare: int) -> None:
    verdict = assess(table(50, rare), arms=arms(REPEATED), gate=QUICK, seed=0)
    assert verdict.status == "INCONCLUSIVE"
    assert f"class 1 has {rare} training rows" in verdict.sentence


def test_few_rare_rows_reduce_the_folds() -> None:
    verdict = assess(table(80, 4), arms=arms(REPEATED), gate=QUICK, seed=0)
    assert verdict.cells == 8
    assert verdict.rare_rows == 4


def test_a_holdout_without_rare_rows_cannot_be_told() -> None:
    holdout = table(60, 20, seed=1).of_class(0)
    verdict = assess(table(80, 20), arms=arms(REPEATED), holdout=holdout, check="holdout", gate=QUICK, seed=0)
    assert verdict.status == "INCONCLUSIVE"
    assert "0 in the holdout" in verdict.sentence


def with_equal(rows: TabularDataset, label: object) -> TabularDataset:
    """The rows, those of one class all as its first one."""
    own = rows.label_codes == rows.classes.index(label)  # type: ignore[arg-type]
    at = np.where(own, np.flatnonzero(own)[0], np.arange(len(rows)))
    columns = rows.table.select([name for name in rows.table.schema.names if name != "label"])
    return from_table(columns.take(pa.array(at)).append_column("label", rows.table["label"]), label="label")


def placed(rows: TabularDataset, places: np.ndarray) -> TabularDataset:
    """The rows with a column of what must stay together."""
    return from_table(rows.table.append_column("place", pa.array(places)), label="label")


def to_rare(*labels: object) -> Arm:
    """Ten rows of each of the classes that the rows at hand have, as a plan that is scaled to them."""

    def prepare(train: TabularDataset, seed: int) -> Drawer:
        own = [train.of_class(label) for label in labels]  # type: ignore[arg-type]
        rows = [rows.take(np.arange(10) % len(rows)) for rows in own if len(rows)]
        return lambda draw: train.take(np.arange(0)).concat(*rows).as_repeats()

    return Arm("synthetic", prepare, role="candidate")


@pytest.mark.parametrize("group", [None, "place"])
def test_a_class_that_no_fold_parts_cannot_be_told(group: str | None) -> None:
    """All its rows are equal, or of one group. Red when it is judged by learners that never saw it: NO LIFT, .000."""
    rows = table(120, 12)
    if group is None:
        rows = with_equal(rows, 1)
    else:
        rows = placed(rows, np.where(rows.label_codes == 1, -1, np.arange(120)))
    verdict = assess(rows, arms=arms(to_rare(1)), gate=QUICK, seed=0, group=group)
    assert verdict.status == "INCONCLUSIVE"
    assert verdict.sentence.startswith("It cannot be told: class 1 could not be judged: no fold has rows of it both")
    assert ("equal rows stay" if group is None else "rows of one 'place' stay") in verdict.sentence
    assert verdict.notes


def test_of_several_classes_one_that_no_fold_parts_is_left_out() -> None:
    """Red when it counts among the figures, or what is true of the others is told of it."""
    rows = with_equal(several((60, 40, 9)), "cyan")
    alone = assess(rows, arms=arms(to_rare("cyan")), gate=QUICK, seed=0)
    assert (alone.status, alone.rebalanced) == ("INCONCLUSIVE", ("cyan",))
    assert "no class that rows were added to could be judged" in alone.sentence
    assert alone.sentence.endswith("though rows were added: class cyan.")
    assert any(note.startswith("left out of the figures as no fold") for note in alone.notes)
    beside = assess(rows, arms=arms(to_rare("blue", "cyan")), gate=QUICK, seed=0)
    assert "could be judged" not in beside.sentence
    assert beside.sentence.endswith("though rows were added: class cyan.")
    assert "recall:cyan" not in beside.arms[0].figures["mean"]


def test_rows_that_are_all_equal_cannot_be_told() -> None:
    """Red when they are judged: nothing differs between arms then, and NO LIFT is claimed. Equal rows of a table that
    repeats itself stand on both sides."""
    rows = with_equal(table(120, 12), 0)
    at = pa.array(np.full(120, np.flatnonzero(rows.label_codes == 0)[0]))
    labels = rows.table["label"]
    equal = from_table(rows.table.drop_columns("label").take(at).append_column("label", labels), label="label")
    verdict = assess(equal, arms=arms(to_rare(1)), gate=QUICK, seed=0)
    assert (verdict.status, verdict.sentence) == ("INCONCLUSIVE", "It cannot be told: all training rows are equal.")
    verdict = assess(rows, arms=arms(to_rare(1)), holdout=equal, check="holdout", gate=QUICK, seed=0)
    assert verdict.sentence == "It cannot be told: all rows of the holdout are equal."


@pytest.mark.parametrize(
    ("metric", "n_places", "least"), [("average_precision", 1, 2), ("balanced_accuracy", 2, 3)], ids=str
)
def test_too_few_folds_cannot_be_told(metric: str, n_places: int, least: int) -> None:
    """Of groups with a row of a class that is left out none is judged, and a choice by a figure with a cut-off takes
    three folds. Red when what is left is cross-fitted: an IndexError or a ValueError."""
    gate = replace(QUICK, metric=metric)
    rows = several((60, 40, 2)) if n_places == 1 else table(120, 30)
    places = np.arange(len(rows)) % 2  # of three classes, both have a row of the one left out
    verdict = assess(placed(rows, places), arms=arms(REPEATED), gate=gate, seed=0, group="place")
    assert verdict.status == "INCONCLUSIVE"
    assert verdict.sentence == (
        f"It cannot be told: the rows make fewer than {least} folds, for rows of one 'place' stay together."
    )


def test_cut_offs_without_folds_to_tune_on_cannot_be_told() -> None:
    """The training rows are one group. Red when they are tuned on no rows: a ValueError."""
    rows, aside = (placed(table(120, 30, seed=seed), np.full(120, seed)) for seed in (0, 1))
    verdict = assess(rows, arms=arms(REPEATED), holdout=aside, check="holdout", gate=QUICK, seed=0, group="place")
    assert verdict.status == "INCONCLUSIVE"
    assert "the training rows make fewer than 2 folds to tune cut-offs on" in verdict.sentence


THREE = replace(QUICK, folds=3)


def mostly_alone(n_common: int, n_rare: int, n_both: int) -> TabularDataset:
    """So many places of ten common or ten rare rows alone, and of both; the places are dealt one to a fold."""
    kinds = np.repeat([0, 1, 2], [n_common, n_rare, n_both])
    places = np.repeat(np.arange(len(kinds)), np.where(kinds == 2, 20, 10))
    label = np.concatenate([np.arange(20) // 10 if kind == 2 else np.full(10, kind) for kind in kinds])
    x = np.random.default_rng(0).normal(size=(len(label), 3)) + 0.5 * label[:, None]
    columns = {f"x{j}": x[:, j] for j in range(3)}
    return placed(from_table(pa.table({**columns, "label": label}), label="label"), places)


def test_folds_that_part_no_two_classes_cannot_be_told() -> None:
    """One place of each kind, or three of which each has equal rows. Red when they are judged: every arm is as right as
    any other about those, and NO LIFT is claimed."""
    places = np.arange(120) % 3
    label = (np.arange(120) % 12 < 4).astype(int)
    equal = from_table(pa.table({"x0": places / 2, "x1": -places / 3, "label": label}), label="label")
    for rows in (mostly_alone(1, 1, 1), placed(equal, places)):
        verdict = assess(rows, arms=arms(to_rare(1)), gate=THREE, seed=1, group="place")
        assert verdict.status == "INCONCLUSIVE"
        assert "fewer than two folds have different rows, and of two classes" in verdict.sentence
        assert verdict.sentence.endswith("for rows of one 'place' stay together.")


def test_a_fold_of_rare_rows_alone_is_no_gain_of_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of six. Red when it counts: every gain shrinks towards 0, where NO LIFT is."""
    rows = mostly_alone(2, 2, 1)
    without = assess(rows, arms=arms(to_rare(1)), gate=THREE, seed=1, group="place")
    monkeypatch.setattr(checks, "_tells", lambda *_: True)
    counted = assess(rows, arms=arms(to_rare(1)), gate=THREE, seed=1, group="place")
    assert without.better_than_nothing.value * 5 == pytest.approx(counted.better_than_nothing.value * 6)
    assert without.better_than_nothing.value < -0.01


def test_a_fold_of_common_rows_alone_is_left_out_of_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its false alarms would be those of the share that other folds flag, whatever the model says of it; it is told.
    Red when it counts."""
    rows, gate = mostly_alone(4, 0, 2), replace(THREE, metric="cost:fn=2,fp=1")
    without = assess(rows, arms=arms(to_rare(1)), gate=gate, seed=1, group="place")
    assert any("2 of 6 folds have not two classes" in note for note in without.notes)
    monkeypatch.setattr(checks, "_tells", lambda *_: True)
    counted = assess(rows, arms=arms(to_rare(1)), gate=gate, seed=1, group="place")
    assert without.better_than_nothing.value != pytest.approx(counted.better_than_nothing.value)
    assert not any("folds have not two classes" in note for note in counted.notes)


def test_a_class_that_gets_other_rows_is_told_as_not_judged() -> None:
    """Red when the verdict speaks of rows that it has not seen."""
    rows = table(120, 30)
    told = assess(rows, arms=arms(REPEATED), gate=QUICK, seed=0, unjudged=[1])
    assert told.status == "INCONCLUSIVE"
    assert told.sentence.startswith("It cannot be told: no class that rows were added to could be judged.")
    with pytest.raises(ConfigError, match=r"unjudged names 7, and the classes are: 0, 1"):
        assess(rows, arms=arms(REPEATED), gate=QUICK, seed=0, unjudged=[7])
