"""Sample sheets: a few images of each class as one PNG a row, in base64, so that the page needs no other file.

Real images, repeats of real ones, generated ones, and below each of those the training image nearest to it. May import
data and run.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from synthgen.data.dataset import text_of
from synthgen.data.images import ImageDataset
from synthgen.data.pixels import encode_png
from synthgen.data.schema import Label

PER_ROW = 12
MOST_CLASSES = 20
_GAP = 1
_WHITE = 255


@dataclass(frozen=True)
class Strip:
    """Images side by side: what they are, the PNG in base64, and its size in pixels."""

    name: str
    png: str
    width: int
    height: int


@dataclass(frozen=True)
class Sheet:
    """One class: its strips, and its figures by origin as fidelity.json has them."""

    label: str
    n_real: int
    n_added: int
    strips: tuple[Strip, ...]
    figures: Mapping[str, Mapping[str, object]]


def sheets(
    real: ImageDataset, drawn: Mapping[Label, ImageDataset], fidelity: Mapping[str, object]
) -> tuple[Sheet, ...]:
    """Return the sheets of the classes that got images, those that got the most first, twenty at most."""
    got = sorted((label for label, images in drawn.items() if len(images)), key=lambda label: -len(drawn[label]))
    return tuple(
        _sheet(label, real.of_class(label), drawn[label], fidelity.get(text_of(label), {}))
        for label in got[:MOST_CLASSES]
    )


def _sheet(label: Label, real: ImageDataset, added: ImageDataset, figures: object) -> Sheet:
    again = np.zeros(len(added), dtype=bool) if added.repeated is None else added.repeated
    rows = {"real": _first(real.images), "repeated": _first(added.images[again])}
    rows["synthetic"] = _first(added.images[~again])
    rows["nearest real"] = real.images[_nearest(rows["synthetic"], real.images)]
    strips = tuple(_strip(name, images) for name, images in rows.items() if len(images))
    told = figures if isinstance(figures, Mapping) else {}
    return Sheet(text_of(label), len(real), len(added), strips, told)


def _first(images: np.ndarray) -> np.ndarray:
    """A few images, evenly spread."""
    n = min(len(images), PER_ROW)
    return images[np.linspace(0, len(images) - 1, n).astype(int)] if n else images


def _nearest(images: np.ndarray, real: np.ndarray) -> np.ndarray:
    """The position of the real image nearest to each, pixel by pixel."""
    flat = real.reshape(len(real), -1).astype(np.float32)
    gaps = [((flat - image.reshape(-1).astype(np.float32)) ** 2).sum(axis=1) for image in images]
    return np.array([int(gap.argmin()) for gap in gaps], dtype=np.int64)


def _strip(name: str, images: np.ndarray) -> Strip:
    n, height, width, channels = images.shape
    out = np.full((height, n * (width + _GAP) - _GAP, channels), _WHITE, dtype=np.uint8)
    for k, image in enumerate(images):
        out[:, k * (width + _GAP) : k * (width + _GAP) + width] = image
    png = base64.b64encode(encode_png(out)).decode("ascii")
    return Strip(name, png, out.shape[1], height)
