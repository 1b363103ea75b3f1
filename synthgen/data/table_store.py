"""Rows that a run or an engine keeps: one Arrow file that holds every type and category as it is; parquet does not.

May import errors and its own room.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa

from synthgen.data.dataset import TabularDataset
from synthgen.data.schema import TableSchema
from synthgen.errors import DataError

_DESCRIBED, _REPEATED = b"synthgen.dataset", b"synthgen.repeated"
_BATCH_ROWS = 131_072


def save_rows(path: Path, dataset: TabularDataset) -> None:
    """Write rows, schema, classes and notes, whole or not at all, a batch at a time."""
    described = {
        "schema": dataset.schema.to_json(),
        "classes": list(dataset.classes),
        "notes": list(dataset.notes),
    }
    metadata = {_DESCRIBED: json.dumps(described).encode()}
    if dataset.repeated is not None:
        metadata[_REPEATED] = np.packbits(dataset.repeated).tobytes()
    table = dataset.table.replace_schema_metadata(metadata)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    options = pa.ipc.IpcWriteOptions(compression="lz4", unify_dictionaries=True)
    with pa.OSFile(str(partial), "wb") as sink, pa.ipc.new_file(sink, table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=_BATCH_ROWS)
    partial.replace(path)


def load_rows(path: Path) -> TabularDataset:
    """Return the dataset that ``save_rows`` wrote. Raises DataError where the file holds none."""
    try:
        with pa.OSFile(str(path), "rb") as source:
            table = pa.ipc.open_file(source).read_all()
        metadata = table.schema.metadata or {}
        described = json.loads(metadata[_DESCRIBED])
        schema = TableSchema.from_json(described["schema"])
        table = table.replace_schema_metadata(schema.arrow.metadata)
        packed = metadata.get(_REPEATED)
        again = None if packed is None else np.unpackbits(np.frombuffer(packed, np.uint8), count=len(table)) > 0
        classes, notes = tuple(described["classes"]), tuple(described["notes"])
        return TabularDataset(table, schema, classes, notes=notes, repeated=again)
    except (pa.ArrowException, OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(f"{path.name} holds no rows as they were written; make it again") from error
