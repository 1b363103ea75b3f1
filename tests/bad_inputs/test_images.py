"""Bad images, row by row: what each gets, an error that names the file and says what to do, or the right result."""

from __future__ import annotations

import csv
import io
import json
import os
import struct
import tarfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import synthgen
from synthgen.data.images import ImageDataset
from synthgen.data.read import load
from synthgen.errors import DataError
from synthgen.shards.images import ImageGroup, write_images

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%stdout) (w) file\n"


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    output = io.BytesIO()
    image.save(output, kind, **options)
    return output.getvalue()


def noise(value: int, *shape: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(value).integers(0, 256, shape or (8, 8), dtype=np.uint8))


def claiming(width: int, height: int) -> bytes:
    """A PNG of a hundred bytes whose header claims a size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


def folder_of(folder: Path, files: Mapping[str, bytes], *, per_class: int = 3) -> Path:
    """Class folders ``cat`` and ``dog`` of good images, and the files of the case."""
    good = {f"{name}/{k}.png": encoded(noise(k)) for name in ("cat", "dog") for k in range(per_class)}
    for name, data in {**good, **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def refused(source: Path, *says: str, **options: object) -> None:
    """The error is a DataError (exit 3) in one line; nothing is written beside or into the source."""
    before = sorted(os.walk(source.parent))
    with pytest.raises(DataError) as caught:
        load(source, **options)
    text = str(caught.value)
    assert caught.value.exit_code == 3
    assert "\n" not in text
    assert len(text) < 500
    for part in says:
        assert part in text
    assert sorted(os.walk(source.parent)) == before


def read(source: Path, **options: object) -> ImageDataset:
    images = load(source, **options)
    assert isinstance(images, ImageDataset)
    return images


@pytest.mark.parametrize("side", [10_000, 20_000])
def test_row_86_a_hundred_megapixels(tmp_path: Path, side: int) -> None:
    folder_of(tmp_path, {"cat/large.png": claiming(side, side)})
    refused(tmp_path, "cat/large.png has more than 16 megapixels; repair or remove it")


BAD = {
    "truncated png": (encoded(noise(0, 64, 64))[:-1500], "is damaged or cut short"),
    "truncated jpeg": (encoded(noise(0, 64, 64), "JPEG")[:-1500], "is damaged or cut short"),
    "empty": (b"", "is empty"),
    "text": (b"not an image", "is no image of a format that is read"),
    "svg": (SVG, "is SVG, which is not read"),
    "eps": (EPS, "is EPS, which is not read"),
    "0x10": (claiming(0, 10), "is"),
}


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("case", BAD)
def test_row_87_what_cannot_be_decoded(tmp_path: Path, case: str, suffix: str) -> None:
    data, reason = BAD[case]
    folder_of(tmp_path, {f"dog/bad.{suffix}": data})
    refused(tmp_path, f"dog/bad.{suffix} {reason}", "leave such images out with --bad-images skip")
    skipped = read(tmp_path, bad_images="skip")
    assert skipped.counts() == {"cat": 3, "dog": 3}
    assert any(note.startswith(f"dog/bad.{suffix} {reason}") for note in skipped.notes)


@pytest.mark.parametrize("suffix", ["svg", "eps", "gif", "tif"])
def test_row_87_images_of_other_formats_are_not_left_out_in_silence(tmp_path: Path, suffix: str) -> None:
    folder_of(tmp_path, {f"dog/bad.{suffix}": {"svg": SVG, "eps": EPS}.get(suffix, b"GIF89a")})
    refused(tmp_path, f"dog/bad.{suffix} is", "repair or remove it")


@pytest.mark.parametrize(("n_bad", "passes"), [(1, True), (2, True), (3, False)])
def test_row_87_one_percent_may_be_left_out(tmp_path: Path, n_bad: int, passes: bool) -> None:
    folder_of(tmp_path, {f"dog/{k}.png": b"x" for k in range(n_bad)}, per_class=100)  # 200 images in all
    if passes:
        assert read(tmp_path, bad_images="skip").counts() == {"cat": 100, "dog": 100 - n_bad}
    else:
        refused(tmp_path, "more than 1% of its 200 images cannot be read", bad_images="skip")


def test_row_87_a_class_is_not_lost(tmp_path: Path) -> None:
    folder_of(tmp_path, {"owl/0.png": b""})
    refused(tmp_path, "no image of class 'owl' can be read", bad_images="skip")


def test_row_88_mixed_sizes_and_modes(tmp_path: Path) -> None:
    deep = Image.fromarray(np.full((8, 8), 25_700, dtype=np.uint16))
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    files = {
        "cat/deep.png": encoded(deep),
        "cat/alpha.png": encoded(Image.new("RGBA", (8, 8), (0, 0, 0, 0))),
        "cat/palette.png": encoded(Image.new("RGB", (8, 8), (9, 99, 199)).convert("P", palette=Image.Palette.ADAPTIVE)),
        "dog/animated.webp": encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True),
        "dog/large.jpg": encoded(noise(5, 40, 30, 3), "JPEG"),
    }
    images = read(folder_of(tmp_path, files))
    assert images.shape == (8, 8, 3)
    found = {name: images.images[k] for k, name in enumerate(images.names)}
    assert found["cat/deep.png"].tolist() == np.full((8, 8, 3), 100).tolist()
    assert found["cat/alpha.png"].min() == 255
    assert found["cat/palette.png"][0, 0].tolist() == [9, 99, 199]
    assert found["dog/animated.webp"][0, 0].tolist() == [255, 0, 0]
    for what in (
        "16 bits per pixel",
        "transparent, laid on white",
        "animated: the first",
        "resized to 8 pixels, padded",
    ):
        assert any(what in note for note in images.notes), what


def test_row_89_exif_rotation(tmp_path: Path) -> None:
    upright = np.arange(64, dtype=np.uint8).reshape(8, 8)
    exif = Image.Exif()
    exif[0x0112] = 6
    files = {"cat/turned.png": encoded(Image.fromarray(np.rot90(upright).copy()), exif=exif)}
    images = read(folder_of(tmp_path, files))
    assert np.array_equal(images.images[list(images.names).index("cat/turned.png"), ..., 0], upright)
    assert "1 of 7 images were turned as their EXIF orientation says" in images.notes


def empty_class(folder: Path) -> None:
    (folder / "owl").mkdir()


def loop(folder: Path) -> None:
    (folder / "dog" / "again").symlink_to(folder)


def splits(folder: Path) -> None:
    (folder / "cat").rename(folder / "train")
    (folder / "dog").rename(folder / "test")


def splits_and_more(folder: Path) -> None:
    splits(folder)
    (folder / "test").rename(folder / "Holdout")
    (folder / "README").mkdir()


def one_class(folder: Path) -> None:
    (folder / "cat").rename(folder / "dog" / "cat")


def one_image(folder: Path) -> None:
    for path in folder.glob("*/[12].png"):
        path.unlink()
    (folder / "cat" / "0.png").rename(folder / "dog" / "1.png")


def beside(folder: Path) -> None:
    (folder / "stray.png").write_bytes(encoded(noise(1)))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (empty_class, "class folder 'owl' of"),
        (one_image, "class folder 'cat' of"),
        (loop, "links back to a folder above it; remove the link"),
        (splits, "holds the splits test, train, not classes; name one of them"),
        (splits_and_more, "holds the splits Holdout, train, not classes; name one of them"),
        (one_class, "holds one class folder only, 'dog'"),
        (beside, "stray.png lies in no class folder"),
    ],
)
def test_row_90_folders_that_are_refused(tmp_path: Path, change: Callable[[Path], None], says: str) -> None:
    change(folder_of(tmp_path, {}))
    refused(tmp_path, says)


def test_row_90_stray_and_nested_files(tmp_path: Path) -> None:
    files = {
        "README.md": b"# cats",
        "cat/notes.txt": b"n",
        "cat/.hidden.png": b"",
        ".DS_Store": b"",
        ".git/x.png": b"",
        "__MACOSX/cat/0.png": b"",
        "cat/Thumbs.db": b"",
        "cat/2024/may/9.png": encoded(noise(9)),
    }
    images = read(folder_of(tmp_path, files))
    assert images.counts() == {"cat": 4, "dog": 3}
    assert images.notes == ("README.md and 1 more files left out: is no image",)


def parquet_of(path: Path, names: object) -> Path:
    images = pa.array([{"bytes": encoded(noise(k)), "path": ""} for k in range(4)])
    features = {"label": {"_type": "ClassLabel", "names": names}}
    table = pa.table({"image": images, "label": [0, 1, 0, 1]})
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})}), path)
    return path


@pytest.mark.parametrize("names", ["abc", ["a", "a"], [["a"], "b"], {"a": 0, "b": 1}])
def test_class_names_that_name_no_classes(tmp_path: Path, names: object) -> None:
    refused(
        parquet_of(tmp_path / "x.parquet", names), "x.parquet: the huggingface metadata of 'label' names its classes"
    )


@pytest.mark.parametrize("images", [True, False])
def test_the_files_of_two_splits_are_not_read_as_one(tmp_path: Path, images: bool) -> None:
    for name in ("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"):
        path = parquet_of(tmp_path / f"{name}.parquet", ["a", "b"])
        if not images:
            pq.write_table(pa.table({"x": [0.1, 0.2, 0.3, 0.4], "label": ["a", "b"] * 2}), path)
    refused(tmp_path, "holds the files of the splits test, train; move those of one into a folder of its own")
    (tmp_path / "test-00000-of-00001.parquet").unlink()
    assert load(tmp_path).counts() == {"a": 4, "b": 4}


@pytest.mark.parametrize("format", ["webdataset", "imagefolder", "parquet"])
def test_a_published_folder_names_the_one_of_its_rows(tmp_path: Path, format: str) -> None:
    rng = np.random.default_rng(0)
    images = (rng.integers(0, 256, (30, 8, 8), dtype=np.uint8), np.array(["a"] * 20 + ["b"] * 10))
    synthgen.balance(images, out=tmp_path / "out", engine="oversample", holdout=0, format=format)
    train = tmp_path / "out" / "current" / "train"
    refused(tmp_path / "out", f"is what a run published; name the folder of its rows, {train}")
    refused(tmp_path / "out" / "current", f"is what a run published; name the folder of its rows, {train}")
    assert read(train).counts() == {"a": 20, "b": 10}


@pytest.mark.parametrize("other", ["./cat/0.png", "cat//0.png", "cat/./0.png"])
def test_a_file_named_in_two_ways_is_named_twice(tmp_path: Path, other: str) -> None:
    folder_of(tmp_path, {"metadata.csv": f"file_name,label\ncat/0.png,a\n{other},b\n".encode()})
    refused(tmp_path, "names cat/0.png more than once; keep one row per image")
    (tmp_path / "metadata.csv").write_text(f"file_name,label\n{other},a\ncat/1.png,b\n")
    assert list(read(tmp_path).names) == ["cat/0.png", "cat/1.png"]


@pytest.mark.parametrize("keep", [0, 1, 100, 511, 512])
def test_a_tar_that_ends_within_a_sample_is_damaged(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "cut.tar"
    with tarfile.TarFile(path, "w") as archive:
        for k in range(3):
            for suffix, data in (("png", encoded(noise(k))), ("cls", b"%d" % (k % 2))):
                member = tarfile.TarInfo(f"{k}.{suffix}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
        end = archive.members[-1].offset
    path.write_bytes(path.read_bytes()[: end + keep])
    refused(path, "cut.tar cannot be read as a plain tar; write it again")


def test_row_90_a_class_of_one_image(tmp_path: Path) -> None:
    assert read(folder_of(tmp_path, {"owl/0.png": encoded(noise(3))})).counts() == {"cat": 3, "dog": 3, "owl": 1}


HOSTILE = ("../../x", "CON", "a" * 300, "Cat", "cat", "a/b", "NUL.png", "..", "-rf", "c000_x")


@pytest.mark.parametrize("format", ["webdataset", "imagefolder", "parquet"])
def test_row_91_labels_never_become_paths(tmp_path: Path, format: str) -> None:
    source, out = tmp_path / "in", tmp_path / "out" / "train"
    source.mkdir()
    with (source / "metadata.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["file_name", "label"])
        for k, label in enumerate(HOSTILE):
            (source / f"{k}.png").write_bytes(encoded(noise(k)))
            writer.writerow([f"{k}.png", label])
    images = read(source)
    assert set(images.classes) == set(HOSTILE)
    entries = write_images([ImageGroup(images, "real")], out, format=format, seed=0)
    found = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert found == {entry.path for entry in entries}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]
    assert all(path.resolve().is_relative_to(out) for path in out.rglob("*"))
    folders = [path.name for path in out.iterdir() if path.is_dir()]
    assert all(name.startswith("c0") and len(name) < 50 for name in folders)
    assert len({name.lower() for name in folders}) == (len(HOSTILE) if format == "imagefolder" else 0)
    assert read(out).counts() == images.counts()  # the labels themselves come back whole
