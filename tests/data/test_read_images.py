"""Reading images through ``load``: every kind of source, the labels' own types, and what does not fit."""

from __future__ import annotations

import csv
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pictures_kit import loaded, pixels_of, png, put, tar_of
from read_kit import refused

from synthgen.data.dataset import TabularDataset
from synthgen.data.images import ImageDataset
from synthgen.data.read import load
from synthgen.errors import ConfigError

STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def classes_and_first(images: ImageDataset) -> tuple[dict[object, int], bool]:
    return images.counts(), bool(np.array_equal(images.images[0, ..., 0], pixels_of(0)))


def test_class_folders(tmp_path: Path) -> None:
    put(tmp_path, {f"{'cat' if k < 3 else 'dog'}/deep/{k}.PNG": png(k) for k in range(5)})
    images = loaded(tmp_path)
    assert classes_and_first(images) == ({"cat": 3, "dog": 2}, True)
    assert (images.label, images.shape) == ("label", (8, 8, 1))
    assert list(images.names) == [f"cat/deep/{k}.PNG" for k in range(3)] + [f"dog/deep/{k}.PNG" for k in (3, 4)]
    assert images.notes == ()
    assert loaded(str(tmp_path), label="animal").label == "animal"


def test_class_folders_that_are_links(tmp_path: Path) -> None:
    put(tmp_path / "store", {f"{name}/0.png": png(0) for name in ("cat", "dog")})
    (tmp_path / "set").mkdir()
    for name in ("cat", "dog"):
        (tmp_path / "set" / name).symlink_to(tmp_path / "store" / name)
    assert loaded(tmp_path / "set").counts() == {"cat": 1, "dog": 1}


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_folder_with_metadata(tmp_path: Path, kind: str) -> None:
    put(tmp_path, {f"x/{k}.png": png(k) for k in range(4)})
    rows = [{"file_name": f"x/{k}.png", "label": "01" if k == 2 else "1", "note": "n"} for k in range(3)]
    if kind == "csv":
        with (tmp_path / "metadata.csv").open("w", newline="") as stream:
            writer = csv.DictWriter(stream, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    else:
        (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    images = loaded(tmp_path)
    assert classes_and_first(images) == ({"01": 1, "1": 2}, True)
    assert images.notes == (f"x/3.png left out: is not named in metadata.{kind}",)
    assert loaded(tmp_path, label="label").counts() == images.counts()


def test_whole_numbers_in_metadata_stay_numbers(tmp_path: Path) -> None:
    put(tmp_path, {f"{k}.png": png(k) for k in range(3)})
    (tmp_path / "metadata.csv").write_text("file_name,digit\n0.png,7\n1.png,3\n2.png,7\n")
    assert loaded(tmp_path, label="digit").counts() == {3: 1, 7: 2}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name,label\n0.png,a\n", "has no column 'file_name'"),
        ("file_name,label\n0.png,a\n0.png,b\n", "names 0.png more than once"),
        ("file_name,label\n0.png,a\n../1.png,b\n", "'../1.png', which is not a path below its folder"),
        ("file_name,label\n0.png,a\n/etc/passwd,b\n", "'/etc/passwd', which is not a path below"),
        ("file_name,label\n0.png,a\n2.png,b\n", "2.png cannot be read (No such file or directory); repair"),
        ("file_name,label\n0.png,a\n1.png,\n", "missing in 1 of 2 rows"),
    ],
)
def test_metadata_that_does_not_fit(tmp_path: Path, text: str, says: str) -> None:
    put(tmp_path, {"0.png": png(0), "1.png": png(1), "metadata.csv": text.encode()})
    refused(tmp_path, says)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"file_name": "0.png"', "metadata.jsonl line 1 is not JSON"),
        ("[1]", "metadata.jsonl line 1 is no object"),
        ('{"file_name": "0.png", "label": 1}\n{"file_name": "1.png", "label": "x"}', "'label' mixes values"),
    ],
)
def test_json_lines_that_do_not_fit(tmp_path: Path, text: str, says: str) -> None:
    put(tmp_path, {"0.png": png(0), "1.png": png(1), "metadata.jsonl": text.encode()})
    refused(tmp_path, says)


def test_two_metadata_files_are_one_too_many(tmp_path: Path) -> None:
    put(tmp_path, {"metadata.csv": b"file_name,label\n", "metadata.jsonl": b""})
    refused(tmp_path, "holds metadata.csv and metadata.jsonl; keep one")


@pytest.mark.parametrize("column", [pa.array([{"bytes": png(k), "path": None} for k in range(6)], STRUCT), "binary"])
@pytest.mark.parametrize("as_folder", [False, True])
def test_parquet(tmp_path: Path, column: object, as_folder: bool) -> None:
    binary = pa.array([png(k) for k in range(6)], pa.large_binary())
    name, values = ("Image", binary) if column == "binary" else ("photo", column)
    table = pa.table({name: values, "label": [0, 1, 1, 0, 1, 1], "site": list("abcdef")})
    pq.write_table(table.slice(0, 4), tmp_path / "a.parquet", row_group_size=3)
    if as_folder:
        pq.write_table(table.slice(4), tmp_path / "b.parquet")
    images = loaded(tmp_path if as_folder else tmp_path / "a.parquet")
    assert classes_and_first(images) == ({0: 2, 1: 4 if as_folder else 2}, True)
    assert images.names[3] == "a.parquet row 3"
    assert images.notes == ("columns that are neither image nor label were left out: site",)


def test_codes_that_parquet_names_are_read_by_name(tmp_path: Path) -> None:
    features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": ["cat", "dog"]}}
    table = pa.table({"image": pa.array([{"bytes": png(k), "path": ""} for k in range(3)], STRUCT), "label": [1, 0, 1]})
    described = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(table.replace_schema_metadata(described), tmp_path / "a.parquet")
    assert loaded(tmp_path / "a.parquet").counts() == {"cat": 1, "dog": 2}
    bad = table.set_column(1, "label", pa.array([0, 1, 2])).replace_schema_metadata(described)
    pq.write_table(bad, tmp_path / "b.parquet")
    refused(tmp_path / "b.parquet", "codes beyond the 2 classes that it names")


def test_the_schema_decides_between_rows_and_images(tmp_path: Path) -> None:
    rows = pa.table({"key": pa.array([b"a", b"b"] * 3), "image": list("uvwxyz"), "n": range(6), "label": [0, 1] * 3})
    pq.write_table(rows, tmp_path / "rows.parquet")
    assert isinstance(load(tmp_path / "rows.parquet"), TabularDataset)
    image = pa.array([{"bytes": png(0), "path": ""}] * 2, STRUCT)
    pq.write_table(pa.table({"a": image, "b": image, "label": [0, 1]}), tmp_path / "two.parquet")
    refused(tmp_path / "two.parquet", "several image columns, a, b; keep one")
    missing = pa.array([{"bytes": png(0), "path": ""}, {"bytes": None, "path": "/etc/x.png"}], STRUCT)
    pq.write_table(pa.table({"a": missing, "label": [0, 1]}), tmp_path / "path.parquet")
    refused(tmp_path / "path.parquet", "path.parquet row 1 holds no bytes; a path alone is not followed")
    (tmp_path / "torn.parquet").write_bytes((tmp_path / "two.parquet").read_bytes()[:-9])
    refused(tmp_path / "torn.parquet", "torn.parquet cannot be read as parquet")


@pytest.mark.parametrize("label", ["cls", "json"])
@pytest.mark.parametrize("as_folder", [False, True])
def test_webdataset_tars(tmp_path: Path, label: str, as_folder: bool) -> None:
    for part in range(2):
        members: dict[str, bytes] = {}
        for k in range(part * 3, part * 3 + 3):
            members[f"train/{k:03d}.png"] = png(k)
            members[f"train/{k:03d}.cls"] = str(k % 2).encode()
            if label == "json":
                members[f"train/{k:03d}.json"] = json.dumps({"Label": "ab"[k % 2], "id": k}).encode()
            members[f"train/{k:03d}.txt"] = b"caption"
        tar_of(tmp_path / f"part-{part}.tar", members)
    images = loaded(tmp_path if as_folder else tmp_path / "part-0.tar")
    names = {"cls": (0, 1), "json": ("a", "b")}[label]
    assert classes_and_first(images) == (dict(zip(names, (3, 3) if as_folder else (2, 1), strict=True)), True)
    assert images.names[1] == "part-0.tar: train/001"
    assert images.label == ("label" if label == "cls" else "Label")


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"0.png": b"x"}, "t.tar: 0 has no label: neither a cls member nor a json with the field 'label'"),
        ({"0.cls": b"1"}, "t.tar: 0 has no image"),
        ({"0.png": b"x", "0.jpg": b"x", "0.cls": b"1"}, "0 has two images"),
        ({"0.png": b"x", "0.cls": b"cat"}, "the cls member holds no whole number"),
        ({"0.png": b"x", "0.json": b"{"}, "holds no JSON object"),
        ({"0.png": b"x", "0.json": b'{"label": null}'}, "field 'label' is missing or no text"),
        ({"0.png": b"x", "0.cls": b"1" * 2000}, "'0.cls' has 2000 bytes; at most 1024"),
        (
            {"0.png": b"x", "0.cls": b"0", "1.png": b"x", "1.json": b'{"y": 1}'},
            "its label in y, samples before it in cls",
        ),
    ],
)
def test_samples_that_do_not_fit(tmp_path: Path, members: dict[str, bytes], says: str) -> None:
    refused(tar_of(tmp_path / "t.tar", members), says)


def test_a_field_of_the_sidecar_can_be_chosen(tmp_path: Path) -> None:
    members = {}
    for k in range(4):
        members |= {f"{k}.png": png(k), f"{k}.json": json.dumps({"y": k % 2, "label": "ab"[k // 2]}).encode()}
    path = tar_of(tmp_path / "t.tar", members)
    assert loaded(path, label="y").counts() == {0: 2, 1: 2}
    refused(path, "y, label; choose one with --label", kind=ConfigError)


def test_links_in_a_tar_are_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "t.tar", "w") as archive:
        member = tarfile.TarInfo("0.png")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)
    refused(tmp_path / "t.tar", "'0.png' is no regular file")


def test_damaged_and_packed_tars_are_refused(tmp_path: Path) -> None:
    members = {f"{k}.{kind}": png(k) if kind == "png" else b"1" for k in range(9) for kind in ("png", "cls")}
    whole = tar_of(tmp_path / "t.tar", members).read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[:3000])
    refused(tmp_path / "cut.tar", "cut.tar cannot be read as a plain tar")
    flipped = bytearray(whole)
    flipped[whole.index(b"5.png") + 3] ^= 1  # a header in the middle: not the end of the archive
    (tmp_path / "flip.tar").write_bytes(flipped)
    refused(tmp_path / "flip.tar", "flip.tar cannot be read as a plain tar")
    with tarfile.open(tmp_path / "z.tar", "w:gz") as archive:
        archive.add(tmp_path / "t.tar")
    refused(tmp_path / "z.tar", "z.tar cannot be read as a plain tar; write it again, uncompressed")


def hostile(kind: bytes, size: int) -> bytes:
    member = tarfile.TarInfo("0.png")
    member.type = kind
    header = bytearray(member.tobuf(tarfile.USTAR_FORMAT))
    header[124:136] = b"\xff" + size.to_bytes(11, "big", signed=True) if size < 0 else b"%011o\0" % size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
@pytest.mark.parametrize("size", [-512, -1024, 0, 1 << 40])
def test_headers_that_lead_nowhere_end(tmp_path: Path, kind: bytes, size: int) -> None:
    """Sizes that lead back to where they stand, chains of headers, sizes past the end: one line, soon."""
    good = {"9.png": png(0), "9.cls": b"1"}
    (tmp_path / "t.tar").write_bytes(hostile(kind, size) * 3000 + tar_of(tmp_path / "good.tar", good).read_bytes())
    refused(tmp_path / "t.tar", "one class only" if (kind, size) == (tarfile.DIRTYPE, 0) else "t.tar")


@pytest.mark.parametrize("names", [("images", "labels"), ("x", "y"), ("X", "Y")])
def test_npz(tmp_path: Path, names: tuple[str, str]) -> None:
    pixels = np.stack([pixels_of(k) for k in range(4)])
    np.savez(tmp_path / "a.npz", **dict(zip(names, (pixels, np.array(["a", "b", "b", "b"])), strict=True)))
    images = loaded(tmp_path / "a.npz")
    assert classes_and_first(images) == ({"a": 1, "b": 3}, True)
    assert images.names[2] == "a.npz row 2"


def test_npz_that_does_not_fit(tmp_path: Path) -> None:
    pixels = np.zeros((2, 8, 8), np.uint8)
    np.savez(tmp_path / "no.npz", images=pixels, target=[0, 1])
    refused(tmp_path / "no.npz", "holds images, target: none is 'labels' or 'y'")
    np.savez(tmp_path / "both.npz", images=pixels, x=pixels, y=[0, 1])
    refused(tmp_path / "both.npz", "images and x could both be 'images' or 'x'")
    np.savez(tmp_path / "object.npz", images=pixels, labels=np.array([{}, []], dtype=object))
    refused(tmp_path / "object.npz", "object.npz cannot be read as .npz of plain arrays")
    (tmp_path / "text.npz").write_bytes(b"hello")
    refused(tmp_path / "text.npz", "text.npz cannot be read as .npz of plain arrays")


def test_arrays() -> None:
    pixels = np.stack([pixels_of(k, 8, 8, 3) for k in range(4)])
    images = loaded((pixels, np.array([1, 0, 0, 1])), label="digit")
    assert np.array_equal(images.images, pixels)
    assert (images.label, images.counts()) == ("digit", {0: 2, 1: 2})
    assert loaded(images) is images
