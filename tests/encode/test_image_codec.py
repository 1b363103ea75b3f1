"""The image codec: exact at the images' own size, sane at another, the same after save and load."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthgen.data.images import ImageDataset, from_images
from synthgen.data.layout import ImageLayout
from synthgen.encode.base import EncodedImages
from synthgen.encode.image import ImageCodec
from synthgen.errors import ConfigError, DataError, EngineError, TooFewRows


def images_of(*shape: int, seed: int = 0) -> ImageDataset:
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return from_images(pixels, np.arange(len(pixels)) % 2)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3]), st.integers(0, 2**32 - 1))
def test_the_round_trip_is_exact_at_the_images_own_size(height: int, width: int, channels: int, seed: int) -> None:
    images = images_of(4, height, width, channels, seed=seed)
    codec = ImageCodec().fit(images)
    encoded = codec.encode(images, seed=0)
    assert codec.layout == ImageLayout(channels=channels, size=max(height, width))
    assert encoded.pixels.shape == (4, channels, codec.layout.size, codec.layout.size)
    assert encoded.pixels.dtype == np.float32
    assert np.array_equal(codec.decode(encoded, label=1, seed=0).images, images.images)


def test_every_level_comes_back_and_the_ends_are_one() -> None:
    levels = from_images(np.arange(256, dtype=np.uint8).reshape(2, 8, 16), [0, 1])
    codec = ImageCodec().fit(levels)
    encoded = codec.encode(levels, seed=0)
    assert (encoded.pixels.min(), encoded.pixels.max()) == (-1, 1)
    assert np.array_equal(codec.decode(encoded, label=0, seed=0).images, levels.images)


def test_pixels_between_and_beyond_the_levels_go_to_the_nearest() -> None:
    codec = ImageCodec().fit(images_of(2, 1, 5))
    pixels = np.full((1, 1, 5, 5), -1, dtype=np.float32)
    pixels[0, 0, 2] = [-1.7, 0.0, 1.2, (100.4 / 127.5) - 1, (100.6 / 127.5) - 1]
    assert codec.decode(EncodedImages(pixels), label=0, seed=0).images.ravel().tolist() == [0, 128, 255, 100, 101]


def test_another_size_resamples_there_and_back() -> None:
    smooth = np.add.outer(np.arange(20), np.arange(40))[None, ..., None].astype(np.uint8)
    images = from_images(np.concatenate([smooth * 4, 255 - smooth * 4]), [0, 1])
    codec = ImageCodec(16).fit(images)
    encoded = codec.encode(images, seed=0)
    assert encoded.pixels.shape == (2, 1, 16, 16)
    assert (encoded.pixels[:, :, :4] == -1).all()
    back = codec.decode(encoded, label=0, seed=0).images
    assert back.shape == images.images.shape
    assert np.abs(back.astype(int) - images.images).mean() < 3


def test_what_is_decoded_has_the_label_and_no_name() -> None:
    images = images_of(6, 8, 8, 3)
    codec = ImageCodec().fit(images)
    made = codec.decode(codec.encode(images, seed=0).take(np.array([4, 2])), label=1, seed=0)
    assert (made.counts(), made.classes, made.label) == ({0: 0, 1: 2}, (0, 1), "label")
    assert list(made.names) == ["", ""]
    assert np.array_equal(made.images, images.images[[4, 2]])
    assert images.concat(made).counts() == {0: 3, 1: 5}


@pytest.mark.parametrize("size", [None, 12])
@pytest.mark.parametrize("labels", [["a", "b"], [0, 1], [True, False], [1.0, 2.0]])
def test_save_and_load(tmp_path: Path, size: int | None, labels: list[object]) -> None:
    images = from_images(images_of(2, 9, 7, 3).images, np.array(labels))
    codec = ImageCodec(size).fit(images)
    codec.save(tmp_path / "codec")
    again = ImageCodec.load(tmp_path / "codec")
    assert [path.name for path in (tmp_path / "codec").iterdir()] == ["codec.json"]
    assert again.layout == codec.layout
    encoded = codec.encode(images, seed=0)
    assert np.array_equal(again.encode(images, seed=0).pixels, encoded.pixels)
    made, remade = (one.decode(encoded, label=images.classes[1], seed=0) for one in (codec, again))
    assert remade.fingerprint() == made.fingerprint()


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    images = images_of(4, 8, 8)
    codec = ImageCodec().fit(images)
    with pytest.raises(DataError, match=r"of shape \(9, 8, 1\), the codec was fitted on \(8, 8, 1\)"):
        codec.encode(images_of(4, 9, 8), seed=0)
    with pytest.raises(ConfigError, match="'cat' is none of the classes"):
        codec.decode(codec.encode(images, seed=0), label="cat", seed=0)
    with pytest.raises(EngineError, match="no finite numbers"):
        codec.decode(EncodedImages(np.full((1, 1, 8, 8), np.nan, dtype=np.float32)), label=0, seed=0)
    with pytest.raises(TooFewRows, match="got 0 images"):
        ImageCodec().fit(images.take(np.arange(0)))
    with pytest.raises(ConfigError, match="not fitted"):
        ImageCodec().encode(images, seed=0)
    with pytest.raises(ConfigError, match="size is 0"):
        ImageCodec(0)


@pytest.mark.parametrize("change", [{"format": 2}, {"shape": [8]}, {"classes": 3}, {"size": "x"}, None])
def test_a_damaged_codec_is_refused(tmp_path: Path, change: dict[str, object] | None) -> None:
    ImageCodec().fit(images_of(4, 8, 8)).save(tmp_path)
    path = tmp_path / "codec.json"
    path.write_text("{" if change is None else json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(DataError, match="codec"):
        ImageCodec.load(tmp_path)
