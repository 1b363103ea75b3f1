"""What a table's owner is told: no false alarms on ordinary tables, and no more rows looked at than said."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from sklearn.datasets import load_breast_cancer

from synthgen.data import notes
from synthgen.data.dataset import from_table
from synthgen.data.notes import notes_of


def test_an_ordinary_table_has_no_notes() -> None:
    features, label = load_breast_cancer(return_X_y=True)
    rows = pa.table({f"x{k}": column for k, column in enumerate(features.T)} | {"label": label})
    assert notes_of(from_table(rows, label="label")) == ()


def test_a_column_of_every_kind_is_looked_at(mixed_table) -> None:
    found = notes_of(from_table(mixed_table(300), label="outcome"))
    assert [note.split(":")[0] for note in found] == [
        "column 'empty' has no value in any row; it stays empty",
        "column 'customer_id' looks like an id",
    ]


def test_long_tables_are_looked_at_in_even_steps(monkeypatch) -> None:
    monkeypatch.setattr(notes, "LOOKED_AT", 250)
    n = 1_000
    label = (np.arange(n) % 4 == 0).astype(int)
    rows = pa.table({"x": np.random.default_rng(0).normal(size=n), "leak": label * 2.0, "label": label})
    (note,) = notes_of(from_table(rows, label="label").take(np.random.default_rng(1).permutation(n)))
    assert note.startswith("column 'leak' alone tells class")


def test_missing_values_alone_can_give_the_label_away() -> None:
    n = 200
    label = (np.arange(n) < 40).astype(int)
    x = np.random.default_rng(0).normal(size=n)
    rows = pa.table({"x": x, "seen": pa.array(x[::-1], mask=label == 1), "label": label})
    (note,) = notes_of(from_table(rows, label="label"))
    assert "column 'seen' alone" in note
