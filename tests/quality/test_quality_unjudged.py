"""Classes that cannot be judged: too few rows, none set aside, or rows that no fold parts."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from quality_kit import QUICK, REPEATED, arms, several, table

from synthgen.data.dataset import TabularDataset, from_table
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
        place = np.where(rows.label_codes == 1, -1, np.arange(120))
        rows = from_table(rows.table.append_column("place", pa.array(place)), label="label")
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
