"""Images as float pixels and back: exact where the network works at the images' own size.

May import errors, data and its own room.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Self

import numpy as np

from synthgen.data.images import ImageDataset
from synthgen.data.layout import ImageLayout
from synthgen.data.pixels import fit_square, inside, resize
from synthgen.data.schema import Label
from synthgen.encode.base import EncodedImages
from synthgen.errors import ConfigError, DataError, EngineError, TooFewRows

_FORMAT = 1
_JSON = "codec.json"
_HALF = np.float32(127.5)


class ImageCodec:
    """(N, H, W, C) uint8 <-> (N, C, S, S) float32 in [-1, 1]; S is ``size``, by default the images' longer side.

    At that default, and for square images of side S, the way there and back is exact, pixel by pixel. Otherwise images
    are resampled to fit the square, black around them, and back to H x W when decoded.
    """

    def __init__(self, size: int | None = None) -> None:
        if size is not None and size < 1:
            raise ConfigError(f"size is {size}; give 1 pixel or more")
        self.size = size
        self._like: ImageDataset | None = None  # the fitted dataset without its images

    @property
    def layout(self) -> ImageLayout:
        """The shape of the encoded images."""
        height, width, channels = self._fitted().shape
        return ImageLayout(channels=channels, size=self.size or max(height, width))

    def fit(self, dataset: ImageDataset) -> Self:
        """Learn size, channels and classes. Raises TooFewRows where there are no images."""
        if not len(dataset):
            raise TooFewRows("the codec learns the size from the training images, and got 0 images")
        self._like = dataset.take(np.arange(0))
        return self

    def encode(self, dataset: ImageDataset, *, seed: int) -> EncodedImages:
        """Return the images as float pixels; nothing is drawn, so ``seed`` changes nothing.

        Raises DataError where the images are not of the fitted shape.
        """
        del seed
        layout, like = self.layout, self._fitted()
        if dataset.shape != like.shape:
            raise DataError(f"the images are of shape {dataset.shape}, the codec was fitted on {like.shape}")
        pixels = np.empty((len(dataset), layout.channels, layout.size, layout.size), dtype=np.float32)
        for row, image in enumerate(dataset.images):
            pixels[row] = fit_square(image, size=layout.size, fit="pad").transpose(2, 0, 1)
        pixels /= _HALF
        pixels -= 1
        return EncodedImages(pixels)

    def decode(self, encoded: EncodedImages, *, label: Label, seed: int) -> ImageDataset:
        """Return images of the fitted shape, every one labelled ``label``; ``seed`` changes nothing.

        Raises ConfigError for a label that is no class, EngineError for pixels that are no finite numbers.
        """
        del seed
        layout, like = self.layout, self._fitted()
        if label not in like.classes:
            raise ConfigError(f"{label!r} is none of the classes that the codec was fitted on")
        if not np.isfinite(encoded.pixels).all():
            raise EngineError("the generator made pixels that are no finite numbers; lower its learning rate")
        height, width, channels = like.shape
        rows, columns = inside(height, width, size=layout.size)
        images = np.empty((len(encoded), height, width, channels), dtype=np.uint8)
        for row, pixels in enumerate(encoded.pixels):
            levels = np.rint((pixels.clip(-1, 1) + 1) * _HALF).astype(np.uint8).transpose(1, 2, 0)
            images[row] = resize(levels[rows, columns], height=height, width=width)
        codes = np.full(len(images), like.classes.index(label), dtype=np.int32)
        names = np.full(len(images), "", dtype=object)
        return ImageDataset(images, codes, like.classes, names, like.label)

    def save(self, folder: Path) -> None:
        """Write the fitted codec as JSON."""
        like = self._fitted()
        described = {
            "format": _FORMAT,
            "size": self.size,
            "shape": like.shape,
            "classes": like.classes,
            "label": like.label,
        }
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _JSON).write_text(json.dumps(described, sort_keys=True, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the codec that ``save`` wrote. Raises DataError where the folder holds none."""
        try:
            described = json.loads((folder / _JSON).read_text(encoding="utf-8"))
            if described["format"] != _FORMAT:
                raise DataError(f"{folder / _JSON} has format {described['format']!r}; this version reads {_FORMAT}")
            height, width, channels = map(int, described["shape"])
            empty, codes = np.empty((0, height, width, channels), dtype=np.uint8), np.empty(0, dtype=np.int32)
            names, classes = np.empty(0, dtype=object), tuple(described["classes"])
            codec = cls(described["size"])
            codec._like = ImageDataset(empty, codes, classes, names, str(described["label"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{folder} holds no codec that can be read ({error}); fit it again") from error
        return codec

    def _fitted(self) -> ImageDataset:
        if self._like is None:
            raise ConfigError("the codec is not fitted; call fit first")
        return self._like
