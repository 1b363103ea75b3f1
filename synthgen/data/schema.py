"""What a table's columns are: inferred once, checked, kept with the exact Arrow schema so that types come back.

May import errors and data.physical.
"""

from __future__ import annotations

import base64
import difflib
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from synthgen.data.physical import flat, is_narrow, is_number, to_physical, widened
from synthgen.errors import ConfigError, DataError

Kind = Literal["continuous", "integer", "categorical", "boolean", "datetime", "timedelta", "constant", "id"]
Label = str | int | float | bool

MAX_CLASSES = 1_000
MAX_COLUMNS = 10_000
MAX_LEVELS = 100_000
ID_MIN_ROWS = 100
ADDED = ("synthetic", "repeated")  # the origins that shards give to what is not a real row or image
LABEL_NAMES = ("label", "target", "class", "y")
_ID_NAME = re.compile(r"(?i:(^|[_\W])(id|uuid|guid|key|pk)([_\W]|$))|[a-z](Id|ID|Key|Uuid|UUID)$", re.ASCII)
_NOT_DATA = ("is_synthetic", "sample_weight")  # they say something of a row's origin or worth, not of what it is
_NUMBER_TEXT = re.compile(r"\s*[-+]?(\d+,\d+|\d{1,3}(\.\d{3})+,\d+|\d{1,3}(,\d{3})+\.\d+)\s*")
_ROW_NAMES = re.compile(r"__index_level_\d+__|Unnamed: \d+|")  # what pandas calls an index without a name


@dataclass(frozen=True)
class Column:
    """One column: what it means to a model (``kind``) and how it is stored (``type``)."""

    name: str
    kind: Kind
    type: pa.DataType
    nullable: bool


@dataclass(frozen=True)
class TableSchema:
    """The input's own Arrow schema (metadata included), the label's name, and every other column in input order."""

    arrow: pa.Schema
    label: str
    columns: tuple[Column, ...]

    @property
    def features(self) -> tuple[Column, ...]:
        """The columns that a model may see: neither constant nor an id."""
        return tuple(column for column in self.columns if column.kind not in ("constant", "id"))

    def to_json(self) -> dict[str, object]:
        """Return the schema as JSON types; ``from_json`` reads it back."""
        return {
            "arrow": base64.b64encode(self.arrow.serialize().to_pybytes()).decode(),
            "label": self.label,
            "kinds": {column.name: column.kind for column in self.columns},
        }

    @classmethod
    def from_json(cls, data: dict[str, object]) -> TableSchema:
        """Return the schema that ``to_json`` wrote."""
        arrow = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(str(data["arrow"]))))
        kinds = cast("dict[str, Kind]", data["kinds"])
        columns = tuple(
            Column(name, kind, arrow.field(name).type, arrow.field(name).nullable) for name, kind in kinds.items()
        )
        return cls(arrow, str(data["label"]), columns)


def find_label(names: Sequence[str], label: str | None, *, source: str = "the table") -> str:
    """Return the label column: the one asked for, or the only one named label, target, class or y in any case.

    Raises ConfigError that lists the candidates where none or several fit, DataError with close matches where
    the one asked for is not there.
    """
    if label is not None:
        if label in names:
            return label
        close = difflib.get_close_matches(label, names, n=3)
        hint = f"did you mean {' or '.join(repr(name) for name in close)}? " if close else ""
        raise DataError(f"column {label!r} is not in {source}; {hint}columns are: {listed(names)}")
    found = [name for name in names if name.lower() in LABEL_NAMES]
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError(
            f"several columns could be the label of {source}: {', '.join(found)}; choose one with --label"
        )
    raise ConfigError(
        f"no column of {source} is named label, target, class or y; choose one with --label: {listed(names)}"
    )


def listed(names: Sequence[str]) -> str:
    """Return column names for a message: the first thirty."""
    return ", ".join(map(shown, names[:30])) + (", ..." if len(names) > 30 else "")


def shown(name: str) -> str:
    """Return a column name as it can stand in a line of text: in quotes where it is not a plain word, cut if long."""
    name = name if len(name) <= 80 else name[:77] + "..."
    return name if re.fullmatch(r"[\w.-]+", name) else repr(name)


def check_names(names: Sequence[str]) -> None:
    """Raise DataError where a name occurs twice."""
    twice = sorted(name for name, n in Counter(names).items() if n > 1)
    if twice:
        raise DataError(f"column names occur more than once: {', '.join(map(repr, twice[:30]))}; rename them")


def infer_schema(
    table: pa.Table, *, label: str, drop: Iterable[str] = (), categorical: Iterable[str] = ()
) -> TableSchema:
    """Return the schema of ``table`` without the columns in ``drop``; those in ``categorical`` are categories.

    Raises DataError for duplicate names, nested or unsupported types, infinite numbers, free text, numbers written
    as text, a column named is_synthetic or sample_weight, more than 10,000 columns or 100,000 categories, a table
    without the label or with nothing else; ConfigError for options that name no column.
    """
    names = table.schema.names
    check_names(names)
    find_label(names, label)
    drop, categorical = set(drop), set(categorical)
    for option, chosen in (("--drop", drop), ("--categorical", categorical)):
        unknown = sorted(chosen - set(names))
        if unknown:
            raise ConfigError(f"{option} names {unknown[0]!r}, which is not a column; columns are: {listed(names)}")
    if label in drop:
        raise ConfigError(f"the label column {label!r} cannot be dropped")
    _check_meaning([name for name in names if name not in drop])
    index = index_columns(table.schema)
    columns = tuple(
        Column(name, _kind(name, table.column(name), name in index, name in categorical), field.type, field.nullable)
        for name, field in zip(names, table.schema, strict=True)
        if name != label and name not in drop
    )
    if not columns:
        raise DataError(f"the table has only the label column {label!r}; nothing to generate")
    kept = [field for field in table.schema if field.name not in drop]
    return TableSchema(pa.schema(kept, metadata=table.schema.metadata), label, columns)


def _check_meaning(names: Sequence[str]) -> None:
    for name in names:
        if name.lower() in _NOT_DATA:
            raise DataError(
                f"column {name!r} says where a row comes from or how much it counts, and a model would learn it: "
                f"leave it out with --drop {shown(name)}, or rename it if it is a measurement"
            )
    if len(names) > MAX_COLUMNS:
        raise DataError(
            f"the table has {len(names):,} columns, more than the {MAX_COLUMNS:,} that can be balanced; "
            "keep those that a model uses"
        )


def difference(left: pa.Schema, right: pa.Schema) -> str:
    """Return in words what the second of two schemas has otherwise; the names in each are unique."""
    for name in dict.fromkeys([*left.names, *right.names]):
        if name not in left.names or name not in right.names:
            return f"column {name!r}, which only one of them has"
        one, other = left.field(name), right.field(name)
        if one.type != other.type:
            return f"column {name!r}: {one.type} and {other.type}"
        if one.nullable != other.nullable:
            return f"column {name!r}, which may have missing values in only one of them"
    return "the order of their columns"


def index_columns(schema: pa.Schema) -> set[str]:
    """Names of the columns that hold a pandas index: row names, nothing to learn."""
    try:
        described = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))
        return {name for name in described.get("index_columns", []) if isinstance(name, str)}
    except (ValueError, AttributeError, TypeError):  # pandas' metadata is a hint; a broken one is not an error
        return set()


def _kind(name: str, column: pa.ChunkedArray, index: bool, categorical: bool) -> Kind:
    kind = column.type
    dictionary = types.is_dictionary(kind)
    stored = kind.value_type if dictionary else kind
    if not (is_number(stored) or _is_text(stored)):
        what = "nested values" if types.is_nested(stored) else f"the type {stored}"
        cast = "cast it to string, or " if types.is_string_view(stored) else ""
        raise DataError(
            f"column {name!r} holds {what}, which cannot be balanced; {cast}leave it out with --drop {shown(name)}"
        )
    if dictionary and (types.is_float16(stored) or types.is_null(stored) or is_narrow(stored)):
        raise DataError(
            f"column {name!r} holds categories of type {stored}, which Arrow cannot tell apart; "
            f"cast it to its plain type, or leave it out with --drop {shown(name)}"
        )
    if types.is_decimal(stored) and stored.scale < 0:
        raise DataError(
            f"column {name!r} is of type {stored}, and parquet stores no negative scale; cast it to one of scale 0, "
            f"or leave it out with --drop {shown(name)}"
        )
    if column.null_count == len(column):
        return "constant"
    if index:
        return "id"
    if types.is_floating(stored) and _finite(name, column.cast(pa.float64())) == 0:
        return "constant"
    if _constant(column):
        return "constant"
    if categorical or dictionary:
        _few_levels(name, column)
        return "categorical"
    if types.is_decimal(stored):
        _countable(name, column)
    if types.is_boolean(stored):
        return "boolean"
    if types.is_duration(stored):
        return "timedelta"
    if types.is_temporal(stored):
        return "datetime"
    if types.is_integer(stored):
        return "id" if _id_like(name, column) else "integer"
    if is_number(stored):
        return "continuous"
    return _text_kind(name, column)


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_fixed_size_binary(kind)
        or types.is_null(kind)
    )


def _finite(name: str, column: pa.ChunkedArray) -> int:
    """How many values are there, NaN left out."""
    bad = pc.sum(pc.is_inf(column)).as_py() or 0
    if bad:
        raise DataError(
            f"column {name!r} holds {bad} infinite values; replace them, read them as missing with --inf nan, "
            f"or leave the column out with --drop {shown(name)}"
        )
    return int(pc.sum(pc.is_finite(column)).as_py() or 0)


def _countable(name: str, column: pa.ChunkedArray) -> None:
    try:
        to_physical(column)
    except DataError:
        raise DataError(
            f"column {name!r} of type {column.type} holds values of more than 18 digits; "
            f"cast it to double, or leave it out with --drop {shown(name)}"
        ) from None


def _constant(column: pa.ChunkedArray) -> bool:
    return _distinct(column.slice(0, 1000)) == 1 and _distinct(column) == 1


def _distinct(column: pa.ChunkedArray) -> int:
    return len(pc.unique(widened(column)))


def _id_like(name: str, column: pa.ChunkedArray) -> bool:
    """Unique, complete, and either named like an id, of one fixed pattern, or past the whole numbers of a double."""
    if len(column) < ID_MIN_ROWS or column.null_count or _distinct(column) < len(column):
        return False
    if _ID_NAME.search(name) or _ROW_NAMES.fullmatch(name):
        return True
    if types.is_integer(column.type):
        values = to_physical(column).values
        return int(values.max()) > 2**53 or int(values.min()) < -(2**53)
    head = flat(column.slice(0, 1000)).to_pylist()
    texts = [value.hex() if isinstance(value, bytes) else str(value) for value in head]
    return any(len(set(map(pattern, texts))) == 1 for pattern in (_classes_of, _hex_digits, _numbered))


def _classes_of(text: str) -> str:
    return re.sub(r"[a-z]", "a", re.sub(r"[A-Z]", "A", re.sub(r"[0-9]", "0", text)))


def _hex_digits(text: str) -> str:
    return re.sub(r"[0-9a-fA-F]", "0", text)


def _numbered(text: str) -> str:
    """One number of any length within fixed letters: C7, C1204."""
    ends = re.fullmatch(r"([^0-9]*)[0-9]+([^0-9]*)", text)
    return f"{ends[1]}0{ends[2]}" if ends and re.search(r"[A-Za-z]", ends[1] + ends[2]) else f"no: {text}"


def _text_kind(name: str, column: pa.ChunkedArray) -> Kind:
    if _id_like(name, column):
        return "id"
    _no_number_text(name, column)
    if len(column) >= ID_MIN_ROWS:
        distinct = _distinct(column.drop_null())
        known = len(column) - column.null_count
        if distinct > max(ID_MIN_ROWS, known // 2):
            raise DataError(
                f"column {name!r} looks like free text or names ({distinct} different values in {known} rows); "
                f"it would come back word for word: leave it out with --drop {shown(name)}, "
                f"or keep it as categories with --categorical {shown(name)}"
            )
    _few_levels(name, column)
    return "categorical"


def _few_levels(name: str, column: pa.ChunkedArray) -> None:
    n = _distinct(column)
    if n > MAX_LEVELS:
        size_mb = n * 96 * 4 * 2 / 1e6  # a weight per level and unit of the first layer, in two networks
        raise DataError(
            f"column {name!r} has {n:,} categories, about {size_mb:,.0f} MB in a network alone, and {MAX_LEVELS:,} "
            f"can be learned; leave it out with --drop {shown(name)}, or group its values"
        )


def _no_number_text(name: str, column: pa.ChunkedArray) -> None:
    if not (types.is_string(column.type) or types.is_large_string(column.type)):
        return
    texts = pc.unique(column.slice(0, 1000)).drop_null().to_pylist()
    if texts and all(_NUMBER_TEXT.fullmatch(text) for text in texts):
        raise DataError(
            f"column {name!r} is text that looks like numbers with a decimal comma or marks between thousands; "
            f"write them like 1234.5, or keep them as categories with --categorical {shown(name)}"
        )
