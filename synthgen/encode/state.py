"""What a fitted table codec knows, and how it lies on disk: JSON and plain arrays, nothing in them is executed.

May import errors, data and its own room.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from synthgen.data.dataset import TabularDataset
from synthgen.data.physical import flat
from synthgen.data.schema import Label, TableSchema
from synthgen.encode.columns import FeatureColumn, FixedColumn, LevelColumn, NumberColumn
from synthgen.encode.grid import Arrays
from synthgen.encode.ids import BetweenIds, CountedIds, DrawnIds, IdColumn, TextIds
from synthgen.encode.levels import Levels, plain
from synthgen.errors import DataError

_FORMAT = 1
_JSON, _ARRAYS = "codec.json", "codec.npz"
_FEATURES: dict[str, type[LevelColumn] | type[NumberColumn]] = {"level": LevelColumn, "number": NumberColumn}
_IDS: dict[str, type[IdColumn]] = {"counted": CountedIds, "text": TextIds, "between": BetweenIds, "drawn": DrawnIds}
_FIXED = "fixed"


@dataclass(frozen=True, eq=False)
class LabelColumn:
    """The label's classes and the values that stand for them."""

    classes: tuple[Label, ...]
    values: Levels

    @classmethod
    def fit(cls, dataset: TabularDataset) -> Self:
        """Return the label column of a dataset, classes without rows included."""
        array = flat(dataset.column(dataset.label))
        kind = array.type
        if not types.is_dictionary(kind):
            return cls(dataset.classes, Levels(kind, pa.array(list(dataset.classes), type=kind)))
        wanted = pa.array(list(dataset.classes), type=kind.value_type)
        absent = pc.invert(pc.is_in(plain(wanted), value_set=plain(array.dictionary)))
        dictionary = pa.concat_arrays([array.dictionary, wanted.filter(absent)])
        positions = pc.index_in(plain(wanted), value_set=plain(dictionary)).cast(pa.int64()).to_numpy()
        return cls(dataset.classes, Levels.at(kind, dictionary, positions))

    def fill(self, n: int, at: int) -> pa.Array:
        """Return class number ``at``, ``n`` times."""
        return self.values.emit(np.full(n, at), np.zeros(n, dtype=bool))


@dataclass(frozen=True, eq=False)
class State:
    """A fitted codec: one entry per column, in input order within each of the three kinds."""

    numeric: str
    min_level_rows: int
    schema: TableSchema
    label: LabelColumn
    features: dict[str, FeatureColumn]
    fixed: dict[str, FixedColumn]
    ids: dict[str, IdColumn]

    def save(self, folder: Path) -> None:
        """Write the state into the folder, which is made if need be."""
        columns: list[dict[str, str]] = []
        arrays = {f"label.{what}": array for what, array in self.label.values.arrays().items()}
        names = {codec.__name__: name for name, codec in (*_FEATURES.items(), *_IDS.items())}
        codecs: list[tuple[str, FeatureColumn | FixedColumn | IdColumn]] = [
            *self.features.items(),
            *self.fixed.items(),
            *self.ids.items(),
        ]
        for name, codec in codecs:
            arrays |= {f"{len(columns)}.{what}": array for what, array in codec.arrays().items()}
            columns.append({"name": name, "codec": names.get(type(codec).__name__, _FIXED)})
        described = {
            "format": _FORMAT,
            "numeric": self.numeric,
            "min_level_rows": self.min_level_rows,
            "schema": self.schema.to_json(),
            "columns": columns,
        }
        folder.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(folder / _ARRAYS, "w") as file:
            for key, array in arrays.items():  # ZipInfo: no time of day, so that equal codecs are equal bytes
                with file.open(zipfile.ZipInfo(f"{key}.npy"), "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
        (folder / _JSON).write_text(json.dumps(described, sort_keys=True, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the state that ``save`` wrote. Raises DataError where the files are not such a state."""
        try:
            described = json.loads((folder / _JSON).read_text(encoding="utf-8"))
            if described["format"] != _FORMAT:
                raise DataError(f"{folder / _JSON} has format {described['format']!r}; this version reads {_FORMAT}")
            with (folder / _ARRAYS).open("rb") as stream, np.load(stream, allow_pickle=False) as file:
                arrays = {key: file[key] for key in file.files}
            return cls._restored(described, arrays)
        except (OSError, ValueError, KeyError, TypeError, IndexError, zipfile.BadZipFile, pa.ArrowException) as error:
            raise DataError(f"{folder} holds no codec that can be read ({error}); fit it again") from error

    @classmethod
    def _restored(cls, described: dict[str, object], arrays: Arrays) -> Self:
        schema = TableSchema.from_json(_mapping(described["schema"]))
        features: dict[str, FeatureColumn] = {}
        fixed: dict[str, FixedColumn] = {}
        ids: dict[str, IdColumn] = {}
        for number, column in enumerate(_listing(described["columns"])):
            name, codec = str(column["name"]), str(column["codec"])
            own, type = _part(arrays, str(number)), schema.arrow.field(name).type
            if codec == _FIXED:
                fixed[name] = FixedColumn.from_arrays(own)
            elif codec in _IDS:
                ids[name] = _IDS[codec].from_arrays(own, type=type)
            else:
                features[name] = _FEATURES[codec].from_arrays(own, type=type)
        values = Levels.from_arrays(_part(arrays, "label"), type=schema.arrow.field(schema.label).type)
        label = LabelColumn(tuple(values.values.to_pylist()), values)
        rows = int(str(described["min_level_rows"]))
        return cls(str(described["numeric"]), rows, schema, label, features, fixed, ids)


def _part(arrays: Arrays, key: str) -> Arrays:
    return {what.partition(".")[2]: array for what, array in arrays.items() if what.partition(".")[0] == key}


def _mapping(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ValueError("a part is not a mapping")
    return value


def _listing(value: object) -> list[dict[str, object]]:
    if not isinstance(value, list):
        raise ValueError("the columns are not a list")
    return [_mapping(item) for item in value]
