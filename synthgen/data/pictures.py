"""Encoded images from any source to one ImageDataset: looked at first, decoded second, one at a time.

Two passes: the first reads the headers, from which size and channels follow; the second decodes. May import errors
and its own room.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from typing import Literal, TypeVar, get_args

import numpy as np
import pyarrow as pa

from synthgen.data.dataset import classes_of, codes_of, text_of
from synthgen.data.images import ImageDataset
from synthgen.data.pixels import Decoded, Fit, decode, fit_square, read_header
from synthgen.data.schema import ADDED
from synthgen.errors import ConfigError, DataError

MIN_SIZE, LARGEST_SIZE = 8, 512
MAX_BYTES = 4 << 30
FILE_LIMIT_BYTES = 64 << 20
BAD_SHARE = 0.01
MAX_IMAGES = 5_000_000

Content = Callable[[], bytes]
_T = TypeVar("_T")


@dataclass(frozen=True)
class ImagePolicy:
    """How images of a source become images of one size; ``load`` says what each field means.

    ``least`` is how many classes there must be: 1 where the images are additions to others. ``real``: images that a
    run added to real ones are left out.
    """

    size: int | None = None
    max_size: int = 32
    fit: Fit = "pad"
    bad: Literal["error", "skip"] = "error"
    least: int = 2
    real: bool = True

    def __post_init__(self) -> None:
        for name, value in (("size", self.size), ("max_size", self.max_size)):
            if value is not None and not (isinstance(value, int) and MIN_SIZE <= value <= LARGEST_SIZE):
                raise ConfigError(f"{name} is {value!r}; give {MIN_SIZE} to {LARGEST_SIZE} pixels")
        if self.fit not in get_args(Fit):
            raise ConfigError(f"fit is {self.fit!r}; give pad or crop")
        if self.bad not in ("error", "skip"):
            raise ConfigError(f"bad_images is {self.bad!r}; give error or skip")

    def side(self, smallest: int) -> int:
        """Return the side of the square that images whose smallest side is ``smallest`` are brought to."""
        return self.size or min(max(smallest, MIN_SIZE), self.max_size)


@dataclass(frozen=True, eq=False)
class Pictures:
    """Encoded images of a source: their names, their labels, and a way to go through their bytes more than once.

    ``contents()`` gives one callable per image, in order; what it raises as ValueError or OSError says what is wrong
    with that image. ``where`` is what messages call the source. ``origins`` says of each image whether it is real,
    synthetic or repeated, where the source does.
    """

    where: str
    names: Sequence[str]
    labels: pa.ChunkedArray
    contents: Callable[[], Iterator[Content]]
    label: str = "label"
    notes: tuple[str, ...] = ()
    origins: Sequence[object] = ()


def read_pictures(pictures: Pictures, policy: ImagePolicy) -> ImageDataset:
    """Return the decoded images, all (S, S, C): C is 1 where every image is gray, else 3.

    Raises DataError naming the first image that cannot be read, or, where such images are skipped, once they are more
    than 1 % (one is always let pass) or a class would be left without any.
    """
    if not pictures.names:
        raise DataError(f"{pictures.where} is empty: 0 images; it needs images of two classes or more")
    pictures = _real(pictures) if policy.real else pictures
    classes = classes_of(pictures.labels, name=pictures.label, least=policy.least)
    codes = codes_of(pictures.labels, classes, name=pictures.label)
    bad = _Bad(pictures, policy)
    headers = [header for _, header in _passed(pictures, read_header, bad)]
    size = policy.side(min(min(header.height, header.width) for header in headers))
    channels = 1 if all(header.gray for header in headers) else 3
    _check_bytes(pictures, len(headers), size, channels)
    images = np.empty((len(headers), size, size, channels), dtype=np.uint8)
    kept, changes = list[int](), Counter[str]()
    for row, decoded in _passed(pictures, lambda data: decode(data, channels=channels), bad):
        images[len(kept)] = fit_square(decoded.pixels, size=size, fit=policy.fit)
        changes.update(_changes(decoded, size, policy.fit))
        kept.append(row)
    images, codes, names = images[: len(kept)], codes[kept], np.array(pictures.names, dtype=object)[kept]
    for code in set(range(len(classes))) - set(codes.tolist()):
        raise DataError(f"{pictures.where}: no image of class {text_of(classes[code])!r} can be read; repair them")
    notes = [f"{n} of {len(kept)} images were {what}" for what, n in sorted(changes.items())]
    return ImageDataset(images, codes, classes, names, pictures.label, (*pictures.notes, *notes, *bad.notes()))


def _real(pictures: Pictures) -> Pictures:
    """The images without those that a run added to the real ones, and a note of them."""
    real = [origin not in ADDED for origin in pictures.origins]
    n_added = len(real) - sum(real)
    if not n_added:
        return pictures
    if not any(real):
        raise DataError(
            f"{pictures.where} holds no real image: all {n_added} are synthetic or repeated by their origin"
        )
    return replace(
        pictures,
        names=[*compress(pictures.names, real)],
        labels=pictures.labels.filter(pa.array(real)),
        contents=lambda: compress(pictures.contents(), real),
        notes=(*pictures.notes, f"{n_added} images that are synthetic or repeated by their origin were left out"),
    )


def _passed(pictures: Pictures, look: Callable[[bytes], _T], bad: _Bad) -> Iterator[tuple[int, _T]]:
    """Yield what ``look`` makes of every image that is not bad, with its position; a bad one is told to ``bad``."""
    for row, content in enumerate(pictures.contents()):
        if row in bad.rows:
            continue
        try:
            found = look(content())
        except OSError as error:
            bad.add(row, f"cannot be read ({error.strerror or 'input error'})")
        except ValueError as error:
            bad.add(row, str(error))
        else:
            yield row, found


@dataclass
class _Bad:
    """The images that cannot be read, and when there are too many of them."""

    pictures: Pictures
    policy: ImagePolicy
    rows: dict[int, str] = field(default_factory=dict)

    def add(self, row: int, reason: str) -> None:
        name, n = self.pictures.names[row], len(self.pictures.names)
        if self.policy.bad == "error":
            raise DataError(
                f"{name} {reason}; repair or remove it, or leave such images out with --bad-images skip"
            ) from None
        self.rows[row] = reason
        if len(self.rows) > max(1, math.floor(BAD_SHARE * n)):
            raise DataError(
                f"{self.pictures.where}: more than {BAD_SHARE:.0%} of its {n} images cannot be read, {name} among "
                f"them, which {reason}; repair or remove them"
            ) from None

    def notes(self) -> tuple[str, ...]:
        return tuple(f"{self.pictures.names[row]} {reason} and was left out" for row, reason in self.rows.items())


def _changes(decoded: Decoded, size: int, fit: Fit) -> Iterator[str]:
    yield from decoded.changes
    height, width = decoded.pixels.shape[:2]
    if (height, width) != (size, size):
        how = "" if height == width else ", padded with black to a square" if fit == "pad" else ", cropped to a square"
        yield f"resized to {size} pixels{how}"


def _check_bytes(pictures: Pictures, n: int, size: int, channels: int) -> None:
    if n * size * size * channels > MAX_BYTES:
        raise DataError(
            f"{pictures.where} holds {n} images, which at {size} pixels take more than {MAX_BYTES >> 30} GiB; "
            "give a smaller size, or fewer images"
        )
