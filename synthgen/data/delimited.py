"""CSV and TSV files, also compressed: encoding, delimiter and decimal sign found out, labels kept as they are written.

May import errors and data.schema.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
from pyarrow import types

from synthgen.data.schema import MAX_COLUMNS, find_label
from synthgen.errors import DataError, SynthgenError

SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
MIN_CAP_BYTES = 256_000_000
MAX_UNFOLD = 200  # bytes of text per byte of gzip; tables come to 3 to 30
_BLOCK_BYTES = 1 << 20
_HEAD = 65_536
_DELIMITERS = (",", ";", "\t", "|")
_ZERO_LED = r"^[+-]?0[0-9]"


@dataclass(frozen=True)
class Dialect:
    """How a file is written, as far as its text says."""

    encoding: str
    delimiter: str
    decimal: str


def read_delimited(path: Path, *, label: str | None = None) -> tuple[pa.Table, tuple[str, ...]]:
    """Return the table of a CSV or TSV file (also .gz), and what had to be guessed. Raises DataError that names it.

    NA, null and the like are missing values, but in a label column of text they are labels; so is 01 beside 1.
    """
    dialect = _dialect(path)
    table = _labelled(path, dialect, label)
    if dialect.encoding != "cp1252":
        return table, ()
    return table, (
        f"{path.name} is not UTF-8 and was read as cp1252 (Windows); save it as UTF-8 if letters look wrong",
    )


def _labelled(path: Path, dialect: Dialect, label: str | None) -> pa.Table:
    """The table, its label column as it is written where a type would change what the labels say."""
    table = _parsed(path, dialect)
    try:
        name = find_label(table.schema.names, label)
    except SynthgenError:  # told later, with the options that the user gave
        return table
    at = table.schema.names.index(name)
    kind, missing = table.schema.types[at], table.column(at).null_count
    whole, text = types.is_integer(kind), types.is_string(kind) or types.is_null(kind)
    if not (whole or (text and missing)):
        return table
    written = _parsed(path, dialect, only=name).column(0)
    if text or pc.any(pc.match_substring_regex(written, _ZERO_LED)).as_py():
        return table.set_column(at, name, written)
    return table


def _parsed(path: Path, dialect: Dialect, *, only: str | None = None) -> pa.Table:
    """The file's columns by inferred type, or one column as its text."""
    ragged: list[pacsv.InvalidRow] = []

    def refuse(row: pacsv.InvalidRow) -> str:
        ragged.append(row)
        return "error"

    convert = pacsv.ConvertOptions(strings_can_be_null=True, decimal_point=dialect.decimal)
    if only is not None:
        convert = pacsv.ConvertOptions(
            strings_can_be_null=True, null_values=[""], include_columns=[only], column_types={only: pa.string()}
        )
    try:
        with pa.input_stream(str(path), compression="gzip" if _zipped(path) else None) as stream:
            return pacsv.read_csv(
                stream,
                read_options=pacsv.ReadOptions(
                    encoding=dialect.encoding, use_threads=False, block_size=8 * _BLOCK_BYTES
                ),
                parse_options=pacsv.ParseOptions(
                    delimiter=dialect.delimiter, newlines_in_values=True, invalid_row_handler=refuse
                ),
                convert_options=convert,
            )
    except (pa.ArrowException, OSError, ValueError) as error:
        if ragged:  # Arrow's own message would quote the row
            row = ragged[0]
            line = _line_of(path, dialect, row.expected_columns)
            place = f"line {line}" if line else f"row {row.number}"
            raise DataError(
                f"{path.name} {place} has {row.actual_columns} fields and the header {row.expected_columns}; "
                "mend the row, or quote fields that hold the delimiter or a line break"
            ) from None
        raise DataError(f"{path.name} cannot be read as CSV ({first_line(error)}); write it again") from error


def _line_of(path: Path, dialect: Dialect, width: int) -> int | None:
    """The line where the first row of another width ends; None where Python's reader sees the rows otherwise."""
    try:
        with _opened(path) as stream, io.TextIOWrapper(stream, dialect.encoding, newline="") as text:
            rows = csv.reader(text, delimiter=dialect.delimiter)
            return next((rows.line_num for row in rows if row and len(row) != width), None)
    except (csv.Error, UnicodeError, OSError, EOFError, zlib.error):
        return None


def _dialect(path: Path) -> Dialect:
    """Read the file through once: is it whole, what encodes it, what does its beginning look like."""
    try:
        if _zipped(path) and not _gzip_marked(path):
            raise DataError(f"{path.name} is not gzip; correct its name or compress it again")
        encoding, head = _decoded(path)
    except UnicodeError:
        raise DataError(f"{path.name} is text in neither UTF-8 nor cp1252; save it as UTF-8") from None
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{path.name} cannot be read ({first_line(error)}); write or copy it again") from error
    head = head.lstrip("\ufeff \r\n")
    if not head:
        raise DataError(f"{path.name} is empty; it needs a header and rows")
    delimiter = "\t" if path.name.lower().removesuffix(".gz").endswith(".tsv") else _delimiter(head)
    if (n_columns := _header(head).count(delimiter) + 1) > MAX_COLUMNS:
        raise DataError(
            f"{path.name} has {n_columns:,} columns or more in its first line, and {MAX_COLUMNS:,} can be balanced; "
            "keep those that a model uses"
        )
    return Dialect(encoding, delimiter, _decimal(head, delimiter))


def _decoded(path: Path) -> tuple[str, str]:
    """The encoding that fits the whole file, and the first characters. Raises UnicodeError where none fits."""
    with _opened(path) as stream:
        marked = stream.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    for encoding in ("utf-16",) if marked else ("utf-8", "cp1252"):
        decoder, head, line = codecs.getincrementaldecoder(encoding)(), "", 1
        try:
            for block in _blocks(path):
                text = decoder.decode(block)
                head = head or text[:_HEAD]
                if "\0" in text:
                    raise DataError(
                        f"{path.name} line {line + text[: text.index(chr(0))].count(chr(10))} holds a NUL character, "
                        "which no text does; save it as UTF-8 text, or write it again"
                    )
                line += text.count("\n")
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            continue
        return encoding, head
    raise UnicodeError


def _blocks(path: Path) -> Iterator[bytes]:
    """The file's bytes, unpacked under a cap: a few hundred kB of gzip can hold gigabytes."""
    size_bytes, cap = 0, max(MIN_CAP_BYTES, MAX_UNFOLD * path.stat().st_size)
    with _opened(path) as stream:
        while block := stream.read(_BLOCK_BYTES):
            size_bytes += len(block)
            if size_bytes > cap:
                raise DataError(
                    f"{path.name} unfolds to more than the {cap / 1e6:,.0f} MB that a file of its size "
                    f"({path.stat().st_size / 1e6:,.1f} MB) may; if the rows are really meant, give the file unpacked"
                )
            yield block


def _opened(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path)) if _zipped(path) else path.open("rb")


def _zipped(path: Path) -> bool:
    return path.name.lower().endswith(".gz")


def _gzip_marked(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


def _header(head: str) -> str:
    return re.split(r"[\r\n]", re.sub(r'"[^"]*"', "", head), maxsplit=1)[0]


def _delimiter(head: str) -> str:
    return max(_DELIMITERS, key=_header(head).count)


def _decimal(head: str, delimiter: str) -> str:
    """A comma where the delimiter is none, fields look like 1,5 and none like 1.5."""
    if delimiter == ",":
        return "."
    edge = rf"[{re.escape(delimiter)}\r\n]"
    comma, point = (re.search(rf"{edge}-?\d+{sign}\d+(?={edge}|$)", head) for sign in (",", r"\."))
    return "," if comma and not point else "."


def first_line(error: BaseException) -> str:
    """Return the first line of a library's message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
