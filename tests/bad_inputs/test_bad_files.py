"""Rows 72 to 77: damaged files, bombs, strangers' metadata, CSV dialects."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bad_kit import QUICK, SECRET, command, handled, noted, refused, rows_of, stored, table

import synthgen
from synthgen.data.read import load
from synthgen.errors import DataError, SynthgenError


def text(place: Path, content: str | bytes, name: str = "rows.csv") -> Path:
    path = place / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("content", [b"", b"PAR1", b"garbage" * 50, b"\x80\x04\x95pickle"], ids=repr)
def test_r72_what_is_no_parquet_is_refused_by_file(place: Path, content: bytes) -> None:
    refused(
        place, text(place, content, "rows.parquet"), "rows.parquet cannot be read as parquet", "write or copy it again"
    )


def test_r72_a_truncated_parquet_is_refused_by_file(place: Path) -> None:
    path = stored(place, table(400))
    path.write_bytes(path.read_bytes()[:-200])
    refused(place, path, "rows.parquet cannot be read as parquet", "write or copy it again")


def test_r73_a_flipped_bit_is_refused_where_the_file_has_checksums(place: Path) -> None:
    rows = table(4_000)
    pq.write_table(rows, place / "rows.parquet", write_page_checksum=True, compression="none")
    whole = (place / "rows.parquet").read_bytes()
    torn = bytearray(whole)
    torn[len(whole) // 3] ^= 4
    refused(place, text(place, bytes(torn), "rows.parquet"), "rows.parquet cannot be read as parquet")


def test_r73_a_flipped_bit_is_refused_where_a_manifest_knows_the_file(place: Path) -> None:
    shards = synthgen.read_shards(place / "out")
    path = shards.folder / shards.train.entries[0].path
    torn = bytearray(path.read_bytes())
    torn[len(torn) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(torn)
    with pytest.raises(DataError, match="not as published"):
        shards.to_arrow()
    assert command("verify", place / "out").code == 4


def test_r73_flipped_bits_elsewhere_are_typed_errors_or_rows(place: Path) -> None:
    whole, draw, said = stored(place, table(200)).read_bytes(), random.Random(0), list[str]()
    for _ in range(60):
        torn = bytearray(whole)
        torn[draw.randrange(len(torn))] ^= 1 << draw.randrange(8)
        try:
            load(text(place, bytes(torn), "rows.parquet"), label="label")
        except SynthgenError as error:
            said.append(str(error))
    assert said
    assert not any("\n" in text for text in said)


def test_r74_a_row_bomb_is_refused_with_its_size(place: Path) -> None:
    path = place / "rows.parquet"
    column = pa.repeat(pa.scalar(7), 2_000_000)
    rows = pa.table({"x": column, "label": column})
    with pq.ParquetWriter(path, rows.schema, compression="zstd") as writer:
        for _ in range(25):
            writer.write_table(rows)
    assert path.stat().st_size < 500_000
    refused(
        place,
        path,
        "rows.parquet claims 50,000,000 rows that unfold to 800 MB",
        "that a file of its size may",
        "uncompressed",
    )


def test_r74_a_dictionary_bomb_is_refused_before_it_unfolds(place: Path) -> None:
    path = place / "rows.parquet"
    long = pa.DictionaryArray.from_arrays(np.zeros(200_000, dtype=np.int32), ["A" * 100_000])
    schema = pa.schema([("x", pa.string()), ("label", pa.int8())])
    rows = pa.table({"x": long, "label": pa.array([0, 1] * 100_000, pa.int8())})
    pq.write_table(rows, path, store_schema=False)
    assert path.stat().st_size < 100_000
    assert pq.read_schema(path).field("x").type == schema.field("x").type
    refused(place, path, "rows.parquet claims 200,000 rows", "256 MB")


def test_r74_a_gzip_bomb_is_refused(place: Path) -> None:
    block = gzip.compress(b"1,0\n" * 250_000)
    path = text(place, gzip.compress(b"x,label\n") + block * 300, "rows.csv.gz")
    assert path.stat().st_size < 400_000
    refused(place, path, "rows.csv.gz unfolds to more than the 256 MB", "give the file unpacked")


def test_r74_a_header_of_a_million_columns_is_refused(place: Path) -> None:
    refused(place, text(place, "a" + ",b" * 1_000_000 + "\n"), "rows.csv has", "columns", "10,000")


def test_r74_a_wide_ordinary_file_is_no_bomb(place: Path) -> None:
    zeros = {f"d{k}": np.zeros(100_000, dtype=np.int64) for k in range(20)}
    label = (np.arange(100_000) % 50 == 0).astype(int)
    assert len(load(stored(place, pa.table({**zeros, "label": label})))) == 100_000


@pytest.mark.parametrize("said", [b"not json", b"[]", b'{"columns": 3}', b'{"index_columns": [{"kind": "x"}]}'])
def test_r75_broken_pandas_metadata_is_ignored(place: Path, said: bytes) -> None:
    rows = table().replace_schema_metadata({b"pandas": said, b"mine": b"kept"})
    handled(place, stored(place, rows))
    shards = synthgen.read_shards(place / "out")
    assert len(shards.train.origin("real").to_pandas()) == 40
    assert shards.to_arrow().schema.metadata[b"mine"] == b"kept"


class _Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("executed"),))


def test_r76_an_extension_type_s_payload_never_runs(place: Path) -> None:
    import pickle  # the attack, not the product

    metadata = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": pickle.dumps(_Bomb()),
    }
    field = pa.field("z", pa.int64(), metadata=metadata)
    rows = table(z=np.arange(40))
    path = stored(place, rows.cast(pa.schema([*list(rows.schema)[:-1], field])))
    command("balance", path, "--out", place / "out", *QUICK)
    assert not Path("executed").exists()  # the working folder's emptiness is asserted too
    assert tuple(map(int, pa.__version__.split(".")[:2])) >= (20, 0)  # payloads of that kind ran before 14.0.1


def test_r76_known_extension_types_are_refused_by_name(place: Path) -> None:
    rows = table(z=pa.array([b"0123456789abcdef"] * 40, pa.uuid()))
    refused(place, stored(place, rows), "column 'z' holds the type extension<arrow.uuid>", "--drop z")


ROWS = "x;c;label\n" + "".join(f"{k},5;u;{k % 2}\n" for k in range(40))


@pytest.mark.parametrize(
    "content",
    [
        ROWS,
        ROWS.replace(",", "."),
        "\ufeff" + ROWS,
        ROWS.replace(",", ".").replace(";", "\t"),
        ROWS.replace(";", "\t"),
        ROWS.replace(",", ".").replace(";", "|"),
        ROWS.replace(";", "|"),
        ROWS.replace(",", ".").replace(";", ","),
        ROWS.replace("\n", "\r\n"),
    ],
    ids=["semicolon", "point", "bom", "tab", "tab and comma", "pipe", "pipe and comma", "comma", "crlf"],
)
def test_r77_csv_dialects_are_handled(place: Path, content: str) -> None:
    path = text(place, content)
    handled(place, path)
    assert load(path).table.column("x").to_pylist() == [k + 0.5 for k in range(40)]


def test_r77_text_from_old_windows_is_read_with_a_note(place: Path) -> None:
    path = text(place, ("x,c,label\n" + "1,é,0\n2,è,1\n" * 9).encode("cp1252"))
    noted(handled(place, path), "rows.csv is not UTF-8 and was read as cp1252", "save it as UTF-8")


def test_r77_a_ragged_row_is_refused_by_its_line(place: Path) -> None:
    content = f'x,c,label\n1,"two\nlines",0\n2,{SECRET}\n3,b,1\n'
    refused(place, text(place, content), "rows.csv line 4 has 2 fields and the header 3", "mend the row")


def test_r77_a_nul_is_refused_by_its_line(place: Path) -> None:
    refused(place, text(place, "x,label\n1,0\n2\0,1\n"), "rows.csv line 3 holds a NUL", "write it again")


def test_r77_na_as_a_label_stays_a_label(place: Path) -> None:
    path = text(place, "x,label\n" + "".join(f"{k},{['NA', 'EU', 'EU'][k % 3]}\n" for k in range(30)))
    assert handled(place, path).counts.keys() == {"NA", "EU"}


def test_r77_line_breaks_in_quotes_are_handled(place: Path) -> None:
    path = text(place, 'x,c,label\n1,"a\nb",0\n2,c,1\n3,c,1\n')
    handled(place, path)
    assert rows_of(synthgen.read_shards(place / "out").to_arrow())["(1, 'a\\nb', 0)"] == 2


@pytest.mark.parametrize("number", ['"1,5"', '"1.234,5"', '"1,234.5"'])
def test_r77_numbers_written_as_text_are_refused_with_the_reason(place: Path, number: str) -> None:
    path = text(place, "x,label\n" + f"{number},0\n{number.replace('5', '7')},1\n" * 20)
    refused(place, path, "column 'x' is text that looks like numbers with a decimal comma", "--categorical x")
    assert command("plan", path, "--categorical", "x").code == 0


def test_r77_errors_of_files_are_json_too(place: Path) -> None:
    done = command("plan", text(place, ""), "--json")
    assert done.code == 3
    assert json.loads(done.out)["error"]["message"] == "rows.csv is empty; it needs a header and rows"
