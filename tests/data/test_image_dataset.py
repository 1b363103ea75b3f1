"""ImageDataset: the methods that a table's dataset has, on pixels; and the split, which serves both."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

import synthgen
from synthgen.data.images import ImageDataset, from_images
from synthgen.data.split import folds, split_holdout
from synthgen.errors import ConfigError, DataError


def images_of(n: int = 40, *, size: int = 8, channels: int = 1, seed: int = 0) -> ImageDataset:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (n, size, size, channels), dtype=np.uint8)
    return from_images(pixels, np.where(np.arange(n) % 4, "common", "rare"))


def test_counts_take_and_of_class() -> None:
    images = images_of()
    assert len(images) == 40
    assert images.shape == (8, 8, 1)
    assert images.counts() == {"common": 30, "rare": 10}
    rare = images.of_class("rare")
    assert rare.counts() == {"common": 0, "rare": 10}
    assert np.array_equal(rare.images, images.images[::4])
    assert np.array_equal(images.take([3, 0]).images, images.images[[3, 0]])
    assert len(images.take([])) == 0
    with pytest.raises(ConfigError, match="class 'cat' does not occur; classes are: common, rare"):
        images.of_class("cat")


def test_concat_wants_the_same_size_and_classes() -> None:
    images, more = images_of(), images_of(seed=1).of_class("rare")
    both = images.concat(more)
    assert both.counts() == {"common": 30, "rare": 20}
    assert np.array_equal(both.images[40:], more.images)
    with pytest.raises(DataError, match="8 x 8 pixels with 3 channels, these are 8 x 8 pixels with 1 channel;"):
        images.concat(images_of(channels=3))
    with pytest.raises(DataError, match="other classes"):
        images.concat(from_images(images.images, np.arange(40) % 2))


def test_the_fingerprint_is_of_pixels_labels_and_names() -> None:
    images = images_of()
    assert images.fingerprint() == images_of().fingerprint()
    changed = images.images.copy()
    changed[7, 3, 3, 0] ^= 1
    labels = np.where(np.arange(40) % 4, "common", "rare")
    others = [
        from_images(changed, labels),
        from_images(images.images, np.roll(labels, 1)),
        from_images(images.images, labels, names=[f"{k}.png" for k in range(40)]),
        from_images(images.images, np.where(labels == "rare", "very rare", labels)),
        images.take(np.arange(40)[::-1]),
    ]
    assert len({images.fingerprint(), *(other.fingerprint() for other in others)}) == 6


def test_equal_pixels_hash_alike_whatever_their_label_or_place() -> None:
    images = images_of()
    hashes = images.feature_hashes()
    assert (hashes.dtype, hashes.shape) == (np.uint64, (40,))
    assert len(np.unique(hashes)) == 40
    assert np.array_equal(images.take(np.arange(40)[::-1]).feature_hashes(), hashes[::-1])
    repeated = from_images(np.concatenate([images.images, images.images]), np.arange(80) % 2)
    assert np.array_equal(repeated.feature_hashes()[40:], hashes)


def test_labels_keep_their_type() -> None:
    pixels = np.zeros((4, 8, 8), dtype=np.uint8)
    assert from_images(pixels, [0, 1, 0, 1]).classes == (0, 1)
    assert from_images(pixels, np.array(["01", "1", "1", "1"], dtype=object)).classes == ("01", "1")
    assert from_images(pixels, np.array([True, False, True, True])).classes == (False, True)


@pytest.mark.parametrize(
    ("images", "labels", "says"),
    [
        (np.zeros((2, 8, 8)), [0, 1], "of type float64; give them as uint8"),
        (np.zeros((2, 8), np.uint8), [0, 1], r"of shape \(2, 8\); give them as"),
        (np.zeros((2, 3, 8, 8), np.uint8), [0, 1], r"of shape \(2, 3, 8, 8\); give them as"),
        (np.zeros((2, 0, 8), np.uint8), [0, 1], r"of shape \(2, 0, 8, 1\)"),
        (np.zeros((0, 8, 8), np.uint8), [], "the dataset is empty: 0 images"),
        (np.zeros((2, 8, 8), np.uint8), [0, 1, 1], r"labels are of shape \(3,\), images are 2"),
        (np.zeros((2, 8, 8), np.uint8), np.array(["a", 1], dtype=object), "labels mix types"),
        (np.zeros((2, 8, 8), np.uint8), [0.5, 1.5], "continuous"),
        (
            np.zeros((2, 8, 8), np.uint8),
            np.array(["a", None], dtype=object),
            "in 1 of 2 rows; remove those rows first$",
        ),
        (np.zeros((2, 8, 8), np.uint8), [1, 1], "one class only"),
    ],
)
def test_arrays_that_are_no_labelled_images_are_refused(images: np.ndarray, labels: object, says: str) -> None:
    with pytest.raises(DataError, match=says):
        from_images(images, labels)


def test_four_channels_are_laid_on_white() -> None:
    pixels = np.zeros((2, 8, 8, 4), dtype=np.uint8)
    pixels[1, ..., 3] = 255
    images = from_images(pixels, [0, 1])
    assert images.shape == (8, 8, 3)
    assert (images.images[0].min(), images.images[1].max()) == (255, 0)
    assert images.notes == ("transparent pixels were laid on white",)


def test_images_come_as_arrow_pandas_and_torch() -> None:
    images = images_of(channels=3)
    table = images.to_arrow()
    assert table["label"].to_pylist()[:2] == ["rare", "common"]
    with Image.open(io.BytesIO(table["image"][5].as_py()["bytes"])) as image:
        assert np.array_equal(np.asarray(image), images.images[5])
    assert list(images.to_pandas().columns) == ["image", "label"]
    pixels, codes = images.to_torch()
    assert tuple(pixels.shape) == (40, 3, 8, 8)
    assert np.array_equal(pixels[7].permute(1, 2, 0).numpy(), images.images[7])
    assert codes.tolist() == images.label_codes.tolist()


def test_images_are_split_like_rows() -> None:
    images = images_of(2_000, channels=3)
    split = split_holdout(images, share=0.2, seed=0)
    held = images.take(split.holdout).counts()
    assert 60 < held["rare"] < 140
    assert len(split.train) + len(split.holdout) == 2_000
    grown = images.concat(images_of(500, channels=3, seed=1))
    later = split_holdout(grown, share=0.2, seed=0).holdout
    assert np.array_equal(later[later < 2_000], split.holdout)


def test_copies_of_an_image_stay_on_one_side() -> None:
    once = images_of(200)
    images = once.concat(once.take(np.arange(40)))
    for split in [split_holdout(images, share=0.3, seed=3), *folds(images, n_folds=4, seed=0)]:
        aside = np.isin(np.arange(240), split.holdout)
        assert np.array_equal(aside[200:], aside[:40])


def test_images_of_many_copies_stay_on_one_side_too() -> None:
    images = images_of(40).take(np.arange(40).repeat(25))  # 96 % are repeats, and each is 2.5 % of all
    for split in [split_holdout(images, share=0.3, seed=3), *folds(images, n_folds=4, seed=0)]:
        assert not set((split.holdout // 25).tolist()) & set((split.train // 25).tolist())
        assert len(split.holdout) > 100
        assert split.notes == ()


def test_images_have_no_column_to_group_or_order_by() -> None:
    with pytest.raises(ConfigError, match="--group names a column, and images have none"):
        split_holdout(images_of(), share=0.2, seed=0, group="patient")
    with pytest.raises(ConfigError, match="--time names a column, and images have none"):
        split_holdout(images_of(), share=0.2, seed=0, time="day")


def test_the_dataset_is_a_public_name() -> None:
    assert synthgen.ImageDataset is ImageDataset
