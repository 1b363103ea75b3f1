"""CSV and TSV files: read however they are written, labels as they are written, no value shown when refused."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pytest
from read_kit import SECRET, columns_of, refused, write

from synthgen.data.read import load, read_table
from synthgen.errors import ConfigError

CSV = "amount,city,label\n1,oslo,x\n2.5,,y\n"
EXPECTED = {"amount": [1.0, 2.5], "city": ["oslo", None], "label": ["x", "y"]}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.csv", CSV.encode()),
        ("ROWS.CSV", CSV.encode()),
        ("rows.csv", CSV.replace("\n", "\r\n").encode()),
        ("rows.csv", ("\n\n" + CSV).encode()),
        ("rows.csv", b"\xef\xbb\xbf" + CSV.encode()),
        ("rows.csv", CSV.encode("utf-16")),
        ("rows.csv", CSV.replace(",", ";").encode()),
        ("rows.csv", CSV.replace(",", ";").replace("2.5", "2,5").encode()),
        ("rows.csv", CSV.replace(",", "|").encode()),
        ("rows.csv", CSV.replace(",", "\t").encode()),
        ("rows.tsv", CSV.replace(",", "\t").encode()),
        ("rows.csv.gz", gzip.compress(CSV.encode(), mtime=0)),
        ("ROWS.CSV.GZ", gzip.compress(CSV.encode(), mtime=0)),
        ("rows.csv.gz", gzip.compress(CSV[:20].encode(), mtime=0) + gzip.compress(CSV[20:].encode(), mtime=0)),
        ("rows.tsv.gz", gzip.compress(CSV.replace(",", "\t").encode(), mtime=0)),
    ],
)
def test_delimited_text_is_read_however_it_is_written(tmp_path: Path, name: str, content: bytes) -> None:
    assert columns_of(load(write(tmp_path, content, name))) == EXPECTED


def test_a_quoted_field_holds_anything(tmp_path: Path) -> None:
    text = '"a, b, c";label\n"x\ny; ""z""";1\nq;2\n'
    assert columns_of(load(write(tmp_path, text))) == {"a, b, c": ['x\ny; "z"', "q"], "label": [1, 2]}


def test_line_breaks_in_quotes_survive_in_large_files(tmp_path: Path) -> None:
    texts = ["a\n" * 400 + "b" * k for k in range(7)]
    rows = "".join(f'"{texts[k % 7]}",{k % 2}\n' for k in range(12_000))
    column = load(write(tmp_path, "note,label\n" + rows)).table.column("note")
    assert len(column) == 12_000
    assert set(column.to_pylist()) == set(texts)


def test_a_tsv_may_hold_commas_and_semicolons(tmp_path: Path) -> None:
    text = "a,b;c\tlabel\n1,5 m\tx\n2;5\ty\n"
    assert columns_of(load(write(tmp_path, text, "rows.tsv"))) == {"a,b;c": ["1,5 m", "2;5"], "label": ["x", "y"]}


@pytest.mark.parametrize("place", ["early", "last byte", "late"])
def test_text_from_old_windows_is_read(tmp_path: Path, place: str) -> None:
    rows = {
        "early": b"a,label\n\xe9t\xe9,1\nz,2\n",
        "last byte": b"label,a\n1,z\n2,t\xe9",
        "late": b"a,label\n" + b"z,1\n" * 30_000 + b"\xe9t\xe9,2\n",
    }[place]
    values = columns_of(load(write(tmp_path, rows)))["a"]
    assert set(values) == {"té" if place == "last byte" else "été", "z"}


def test_text_that_no_encoding_fits_is_refused(tmp_path: Path) -> None:
    refused(write(tmp_path, b"a,label\n\x9d\x81,1\n"), "rows.csv", "save it as UTF-8")


def test_the_type_of_a_column_is_that_of_all_its_rows(tmp_path: Path) -> None:
    rows = "n,label\n" + "1,a\n" * 50_000
    table = load(write(tmp_path, rows + "2.5,b\n")).table
    assert table.schema.field("n").type == pa.float64()
    table = load(write(tmp_path, rows + "two,b\n")).table
    assert table.schema.field("n").type == pa.string()


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        (["NA", "EU"], ("EU", "NA")),
        (["null", "nan", "None"], ("None", "nan", "null")),
        (["NA", "NULL"], ("NA", "NULL")),
        (["01", "1"], ("01", "1")),
        (["007", "12"], ("007", "12")),
        (["0", "1"], (0, 1)),
        (["-1", "10"], (-1, 10)),
        (["true", "false"], (False, True)),
        (["0.0", "1.0"], (0.0, 1.0)),
    ],
    ids=str,
)
def test_labels_are_kept_as_they_are_written(tmp_path: Path, values: list[str], classes: tuple[object, ...]) -> None:
    text = "n,label,m\n" + "".join(f"{k},{value},NA\n" for k, value in enumerate(values))
    dataset = load(write(tmp_path, text))
    assert dataset.classes == classes
    assert dataset.table.schema.names == ["n", "label", "m"]
    assert columns_of(dataset)["m"] == [None] * len(values)
    named = load(write(tmp_path, text.replace("label", "outcome")), label="outcome")
    assert named.classes == classes


@pytest.mark.parametrize("values", [["", "EU", "US"], ["0", "NA", "1"], ["0.0", "", "1.0"]], ids=str)
def test_labels_that_are_missing_are_counted(tmp_path: Path, values: list[str]) -> None:
    text = "n,label\n" + "".join(f"{k},{value}\n" for k, value in enumerate(values))
    refused(write(tmp_path, text), "label column 'label' is missing in 1 of 3 rows", "remove those rows")


def test_a_row_of_another_length_is_named_and_not_shown(tmp_path: Path) -> None:
    says = ("rows.csv line 3", "2 fields", "header 3", "mend the row")
    refused(write(tmp_path, f"a,b,label\n1,2,x\n2,{SECRET}\n"), *says)
    refused(write(tmp_path, f"a,b,label\n1,2,x\n2,{SECRET},y,9\n"), "rows.csv line 3", "4 fields", "header 3")
    refused(write(tmp_path, f'a,label\n"{SECRET},x\n2,y\n'), "rows.csv line 3", "quote")


@pytest.mark.parametrize("content", [b"", b"\n \r\n", b"\xef\xbb\xbf", b"\xff\xfe"])
def test_an_empty_text_file_is_refused(tmp_path: Path, content: bytes) -> None:
    refused(write(tmp_path, content), "rows.csv is empty")
    refused(write(tmp_path, gzip.compress(content), "rows.csv.gz"), "rows.csv.gz is empty")


def test_a_header_without_rows_is_refused(tmp_path: Path) -> None:
    refused(write(tmp_path, "a,label\n"), "the dataset is empty: 0 rows")


def test_broken_gzip_is_refused(tmp_path: Path) -> None:
    packed = gzip.compress((CSV + f"{SECRET},a,x\n" * 50_000).encode())
    torn = packed[:100] + b"\0" * 50 + packed[150:]
    for content in (packed[:-9], packed[: len(packed) // 2], torn, b"\x1f\x8b\x08\x00" + b"asdf" * 9):
        refused(write(tmp_path, content, "rows.csv.gz"), "rows.csv.gz cannot be read", "write or copy it again")
    refused(write(tmp_path, f"{SECRET},label\n", "rows.csv.gz"), "rows.csv.gz is not gzip")


def test_names_that_occur_twice_in_a_file_are_listed(tmp_path: Path) -> None:
    refused(write(tmp_path, "a,a,label\n1,2,x\n1,2,y\n"), "more than once: 'a'", "rename")
    refused(write(tmp_path, "a,label,label\n1,NA,x\n1,EU,y\n"), "more than once: 'label'")
    refused(write(tmp_path, "a,b,b\n1,NA,x\n1,EU,y\n"), "more than once: 'b'", label="b")


def test_odd_column_names_survive(tmp_path: Path) -> None:
    header = ["", "a.b", "=1", "<script>", "a b", "ä"]
    rows = "".join(",".join(f"{k}{n}" for n in range(6)) + f",{label}\n" for k, label in enumerate("xyx"))
    dataset = load(write(tmp_path, ",".join([*header, "label"]) + "\n" + rows))
    assert dataset.table.schema.names == [*header, "label"]


def test_a_header_that_is_not_one_stays_on_one_line(tmp_path: Path) -> None:
    text = refused(write(tmp_path, '"a\nb",c\n1,2\n'), "'a\\nb'", kind=ConfigError)
    assert "--label" in text


def test_the_label_of_a_file_is_found_or_asked_for(tmp_path: Path) -> None:
    refused(write(tmp_path, "a,b\n1,2\n"), "rows.csv", "a, b", "--label", kind=ConfigError)
    refused(write(tmp_path, "y,Class\n1,2\n"), "rows.csv", "y, Class", "--label", kind=ConfigError)
    refused(write(tmp_path, "fraud,b\n1,2\n"), "'fruad' is not in rows.csv", "did you mean 'fraud'", label="fruad")


def test_read_table_gives_the_label_as_load_does(tmp_path: Path) -> None:
    path = write(tmp_path, "n,outcome\n1,NA\n2,EU\n")
    assert read_table(path, label="outcome").column("outcome").to_pylist() == ["NA", "EU"]
    assert read_table(path).column("outcome").to_pylist() == [None, "EU"]
