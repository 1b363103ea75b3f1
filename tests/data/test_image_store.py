"""Images between stages come back as they were, from the same bytes, and damage is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from synthgen.data.image_arrays import aligned
from synthgen.data.image_store import load_images, save_images
from synthgen.data.images import from_images
from synthgen.errors import DataError


@pytest.mark.parametrize("labels", [["b", "a", "ü"], [3, 1, 2], [True, False, True]])
def test_what_is_written_is_read(tmp_path: Path, labels: list[object]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 5, 3), dtype=np.uint8)
    images = from_images(pixels, np.array(labels), names=["x", "", "\udce9"])
    for dataset in (images, replace(images, repeated=np.array([True, False, True])), images.take(np.arange(0))):
        for name in ("one.npz", "two.npz"):
            save_images(tmp_path / name, dataset)
        again = load_images(tmp_path / "one.npz")
        assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
        assert again.fingerprint() == dataset.fingerprint()
        assert [type(label) for label in again.classes] == [type(label) for label in images.classes]
        assert (again.repeated is None) == (dataset.repeated is None)


def test_damage_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(b"PK no archive")
    with pytest.raises(DataError, match=r"x\.npz holds no images"):
        load_images(tmp_path / "x.npz")


def test_repeats_stay_marked_in_parts_and_together() -> None:
    images = from_images(np.zeros((3, 8, 8), np.uint8), np.array(["a", "b", "a"]))
    marked = replace(images, repeated=np.array([False, True, True]))
    assert images.concat(images).repeated is None
    whole = images.concat(marked.take(np.array([2, 0]))).repeated
    assert whole is not None
    assert whole.tolist() == [False, False, False, True, False]


def test_a_holdout_is_read_in_the_input_s_classes_and_colours() -> None:
    colour = from_images(np.zeros((2, 8, 8, 3), np.uint8), np.array([1, 2]))
    gray = from_images(np.full((2, 8, 8), 7, np.uint8), np.array(["2", "1"]))
    held = aligned(gray, colour, name="h")
    assert held.shape == (8, 8, 3)
    assert [held.classes[code] for code in held.label_codes] == [2, 1]
    with pytest.raises(DataError, match="h holds images in colour"):
        aligned(colour, gray, name="h")
    with pytest.raises(DataError, match="class '3', which the input has not"):
        aligned(from_images(np.zeros((2, 8, 8), np.uint8), np.array(["1", "3"])), colour, name="h")
