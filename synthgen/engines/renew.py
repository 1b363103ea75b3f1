"""New ids for rows that come from several draws: each draw's ids are new, but two draws may choose the same ones.

May import data, encode and its own room.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa

from synthgen.data.dataset import TabularDataset
from synthgen.data.schema import Label, TableSchema
from synthgen.encode.base import EncodedTable
from synthgen.encode.tabular import TabularCodec


class FreshIds:
    """The id columns of a table, drawn all at once."""

    def __init__(self, codec: TabularCodec, names: tuple[str, ...]) -> None:
        self._codec, self._names = codec, names

    @classmethod
    def fit(cls, train: TabularDataset) -> FreshIds | None:
        """Learn the id columns; None where there are none."""
        columns = tuple(column for column in train.schema.columns if column.kind == "id")
        if not columns:
            return None
        names = tuple(column.name for column in columns)
        arrow = pa.schema([train.schema.arrow.field(name) for name in (*names, train.label)])
        schema = TableSchema(arrow, train.label, columns)
        bare = pa.table([train.column(name) for name in arrow.names], schema=arrow)
        return cls(TabularCodec().fit(TabularDataset(bare, schema, train.classes)), names)

    def renew(self, rows: TabularDataset, label: Label, *, seed: int) -> TabularDataset:
        """Return ``rows``, all of ``label``, with ids that neither the training rows nor two of them share."""
        empty = EncodedTable(np.empty((len(rows), 0), np.float32), np.empty((len(rows), 0), np.int32))
        ids, table = self._codec.decode(empty, label=label, seed=seed).table, rows.table
        for name in self._names:
            at = table.schema.get_field_index(name)
            table = table.set_column(at, table.schema.field(at), ids.column(name))
        return TabularDataset(table, rows.schema, rows.classes)

    def save(self, folder: Path) -> None:
        """Write the codec and the columns' names."""
        self._codec.save(folder)
        (folder / "names.json").write_text(json.dumps(self._names) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> FreshIds:
        """Return what ``save`` wrote."""
        names = json.loads((folder / "names.json").read_text(encoding="utf-8"))
        return cls(TabularCodec.load(folder), tuple(names))
