"""Rows that a run keeps come back as they were: every type, category, note and mark of a repeat."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from synthgen.data import table_store
from synthgen.data.dataset import TabularDataset
from synthgen.data.table_store import load_rows, save_rows
from synthgen.errors import DataError


def test_rows_come_back_with_all_that_is_said_of_them(
    mixed: TabularDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when the metadata, the notes, a class without rows or the marks are left out, or a batch is."""
    monkeypatch.setattr(table_store, "_BATCH_ROWS", 20)
    rows = mixed.of_class("churn").take(np.arange(50))
    again = np.arange(50) % 3 == 0
    rows = replace(rows, notes=("two rows were left out",), repeated=again)
    save_rows(tmp_path / "deep" / "rows.arrow", rows)
    got = load_rows(tmp_path / "deep" / "rows.arrow")
    assert got.table.equals(rows.table, check_metadata=True)
    assert got.table.column("amount").num_chunks == 3
    assert (got.schema, got.classes, got.notes) == (rows.schema, rows.classes, rows.notes)
    assert got.repeated is not None
    assert got.repeated.tolist() == again.tolist()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["rows.arrow"]


def test_no_rows_and_dictionaries_of_several_chunks_come_back(mixed: TabularDataset, tmp_path: Path) -> None:
    """Red when a dictionary may not change on the way."""
    save_rows(tmp_path / "none.arrow", mixed.take(np.arange(0)))
    none = load_rows(tmp_path / "none.arrow")
    assert none.table.schema.equals(mixed.table.schema, check_metadata=True)
    assert len(none) == len(none.label_codes) == 0
    assert none.repeated is None
    parts = [pa.table({"x": pa.array([word]).dictionary_encode(), "label": ["p"]}) for word in ("a", "b")]
    table = pa.concat_tables(parts)
    several = TabularDataset(table, mixed.schema, ("p",))
    save_rows(tmp_path / "several.arrow", several)
    assert load_rows(tmp_path / "several.arrow").table.column("x").to_pylist() == ["a", "b"]


@pytest.mark.parametrize("damage", ["cut", "text", "another"])
def test_a_damaged_file_is_one_clear_error(mixed: TabularDataset, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "rows.arrow"
    save_rows(path, mixed)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-200])
    elif damage == "text":
        path.write_text("no rows")
    else:
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, mixed.table.schema) as writer:
            writer.write_table(mixed.table)
    with pytest.raises(DataError, match=r"rows.arrow holds no rows as they were written"):
        load_rows(path)
