"""Reading images through ``load``: one size and mode for all, what notes say, and options that fit images or tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pictures_kit import loaded, pixels_of, png, put, tar_of
from read_kit import refused

import synthgen
from synthgen.data.pictures import Content, ImagePolicy, Pictures, read_pictures
from synthgen.data.read import load, load_table
from synthgen.errors import ConfigError, DataError


@pytest.mark.parametrize(
    ("sides", "options", "size"),
    [
        ((28, 28), {}, 28),
        ((64, 64), {}, 32),
        ((64, 64), {"max_size": 64}, 64),
        ((64, 64), {"size": 16}, 16),
        ((12, 28), {}, 12),
        ((4, 4), {}, 8),
        ((8, 8), {"size": 24}, 24),
    ],
)
def test_the_size_is_the_smallest_side_within_limits(
    tmp_path: Path, sides: tuple[int, int], options: dict[str, int], size: int
) -> None:
    put(tmp_path, {"a/0.png": png(0, *sides), "b/1.png": png(1, *sides), "b/2.png": png(2, 100, 90)})
    assert loaded(tmp_path, **options).shape == (size, size, 1)
    arrays = np.stack([pixels_of(k, *sides) for k in range(2)])
    assert loaded((arrays, np.array([0, 1])), **options).shape == (size, size, 1)


def test_mixed_sizes_and_modes_become_one_with_notes(tmp_path: Path) -> None:
    put(tmp_path, {"a/0.png": png(0, 8, 8), "a/1.png": png(1, 8, 12, 3), "b/2.png": png(2, 16, 16, 4)})
    for fit, how in (("pad", "padded with black to"), ("crop", "cropped to")):
        images = loaded(tmp_path, fit=fit)
        assert images.shape == (8, 8, 3)
        assert np.array_equal(images.images[0], np.stack([pixels_of(0)] * 3, axis=-1))
        assert images.notes == (
            "1 of 3 images were resized to 8 pixels",
            f"1 of 3 images were resized to 8 pixels, {how} a square",
            "1 of 3 images were transparent, laid on white",
        )
    cropped = images.images[1]
    assert np.array_equal(cropped, pixels_of(1, 8, 12, 3)[:, 2:10])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"size": 7}, "size is 7; give 8 to 512 pixels"),
        ({"max_size": 1000}, "max_size is 1000; give 8 to 512"),
        ({"fit": "stretch"}, "fit is 'stretch'; give pad or crop"),
        ({"bad_images": "ignore"}, "bad_images is 'ignore'; give error or skip"),
        ({"drop": ["a"]}, "are for tables, and these are images"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, object], says: str) -> None:
    refused((np.zeros((2, 8, 8), np.uint8), [0, 1]), says, kind=ConfigError, **options)


def test_too_many_pixels_are_refused_before_they_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, {"a/0.png": png(0), "b/1.png": png(1)})
    np.savez(tmp_path / "a.npz", images=np.zeros((2, 8, 8), np.uint8), labels=[0, 1])
    for room in ("pictures", "image_arrays"):
        monkeypatch.setattr(f"synthgen.data.{room}.MAX_BYTES", 300)
    refused(tmp_path, "2 images, which at 32 pixels take more than", size=32)
    refused(tmp_path / "a.npz", "unpacks to more than")
    refused((np.zeros((2, 8, 8), np.uint8), [0, 1]), "2 images at 32 pixels take more than", size=32)


def test_sources_of_one_content_agree(tmp_path: Path) -> None:
    """The same images from five kinds of source are the same pixels and labels."""
    pixels = [pixels_of(k, 8, 8, 3) for k in range(6)]
    data, labels = [png(k, 8, 8, 3) for k in range(6)], ["ab"[k % 2] for k in range(6)]
    put(tmp_path / "folder", {f"{label}/{k}.png": data[k] for k, label in enumerate(labels)})
    put(tmp_path / "meta", {f"{k}.png": data[k] for k in range(6)})
    lines = [f"{k}.png,{label}" for k, label in enumerate(labels)]
    (tmp_path / "meta" / "metadata.csv").write_text("\n".join(["file_name,label", *lines]))
    members = {}
    for k, label in enumerate(labels):
        members |= {f"{k}.png": data[k], f"{k}.json": json.dumps({"label": label}).encode()}
    tar_of(tmp_path / "t.tar", members)
    pq.write_table(pa.table({"image": data, "label": labels}), tmp_path / "t.parquet")
    np.savez(tmp_path / "t.npz", images=np.stack(pixels), labels=labels)
    for name in ("meta", "t.tar", "t.parquet", "t.npz"):
        images = loaded(tmp_path / name)
        assert np.array_equal(images.images, np.stack(pixels)), name
        assert [images.classes[code] for code in images.label_codes] == labels, name
    assert np.array_equal(loaded(tmp_path / "folder").images, np.stack([pixels[k] for k in (0, 2, 4, 1, 3, 5)]))


@pytest.mark.parametrize("n", [0, 1, 3])
def test_a_pair_of_arrays_is_two(n: int) -> None:
    with pytest.raises(DataError, match=f"expected two arrays, images and labels, got a tuple of {n}$"):
        load((np.zeros((2, 8, 8), np.uint8),) * n)  # type: ignore[arg-type]


def test_a_split_folder_alone_is_no_class(tmp_path: Path) -> None:
    put(tmp_path / "photos", {"train/a/0.png": png(0), "train/b/1.png": png(1)})
    with pytest.raises(DataError, match=r"holds the splits train, not classes; name one of them, as .*photos/train$"):
        load(tmp_path / "photos")


def test_images_are_no_table(tmp_path: Path) -> None:
    put(tmp_path / "photos", {"a/0.png": png(0), "b/1.png": png(1)})
    for source in (tmp_path / "photos", (np.zeros((2, 8, 8), np.uint8), np.array([0, 1]))):
        with pytest.raises(ConfigError, match=r"holds images; give a table"):
            load_table(source)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"drop": ("x",)}, "--drop is for tables, and these are images; leave it out"),
        ({"group": "x"}, "--group is for tables"),
        ({"provenance_column": "origin"}, "--provenance-column is for tables"),
        ({"estimator": "sklearn.linear_model:LogisticRegression"}, "--estimator is for tables"),
        ({"engine": "smote"}, "engine 'smote' is for tables; engines for images are: auto, oversample"),
        ({"strategy": "tuned"}, "how many images to add is not tuned"),
        ({"engine_options": {"depht": 3}}, "depht"),
    ],
)
def test_what_is_for_tables_is_refused_before_anything_is_written(
    tmp_path: Path, options: dict[str, object], says: str
) -> None:
    pictures = {f"{name}/{k}.png": png(k) for name, n in (("a", 30), ("b", 12)) for k in range(n)}
    put(tmp_path / "photos", pictures)
    with pytest.raises(ConfigError, match=says):
        synthgen.balance(tmp_path / "photos", **options)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"size": 16}, "--size is for images, and this is a table; leave it out"),
        ({"flips": True}, "--flips is for images"),
        ({"bad_images": "skip"}, "--bad-images is for images"),
        ({"format": "webdataset"}, "--format webdataset is for images; a table is published as parquet"),
    ],
)
def test_what_is_for_images_is_refused_with_a_table(options: dict[str, object], says: str) -> None:
    frame = pd.DataFrame({"x": range(20), "label": [0, 1] * 10})
    with pytest.raises(ConfigError, match=says):
        synthgen.balance(frame, **options)


def test_an_image_that_fails_once_stays_left_out() -> None:
    """A disk that recovers between the two passes must not bring an image back for which no place was made."""
    asked = 0

    def contents() -> Iterator[Content]:
        nonlocal asked
        asked += 1
        first = b"" if asked == 1 else png(0)
        return iter([lambda: first, lambda: png(1), lambda: png(2)])

    labels = pa.chunked_array([pa.array(["a", "a", "b"])])
    pictures = Pictures("a disk", ["0", "1", "2"], labels, contents)
    images = read_pictures(pictures, ImagePolicy(bad="skip"))
    assert list(images.names) == ["1", "2"]
    assert images.notes == ("0 is empty and was left out",)
