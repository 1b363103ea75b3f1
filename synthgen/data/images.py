"""Labelled images of one size: the image half's dataset, frozen, with the methods that a table's has.

May import errors and its own room; torch, pandas only inside methods.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from synthgen.data.dataset import classes_of, codes_of, counts_of, text_of
from synthgen.data.pixels import encode_png, on_white
from synthgen.data.schema import Label, listed
from synthgen.errors import ConfigError, DataError

if TYPE_CHECKING:
    import pandas as pd
    import torch

IMAGE_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """``images`` (N, H, W, C) uint8, C 1 (gray) or 3 (RGB), with ``label_codes`` (N,) int32 into ``classes``.

    ``names`` (N,) says what each image was called where it came from, '' where nothing did. ``label`` is the name of
    the label. ``notes`` says in words what reading did to the images. ``repeated`` (N,) is true for added images that
    are real ones again, moved a little; None where none is.
    """

    images: np.ndarray
    label_codes: np.ndarray
    classes: tuple[Label, ...]
    names: np.ndarray
    label: str = "label"
    notes: tuple[str, ...] = ()
    repeated: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size_bytes(self) -> int:
        """The bytes that the pixels take."""
        return int(self.images.nbytes)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of every image."""
        height, width, channels = self.images.shape[1:]
        return height, width, channels

    def counts(self) -> dict[Label, int]:
        """Return images per class; every class is there, 0 included."""
        return counts_of(self.label_codes, self.classes)

    def take(self, rows: np.ndarray) -> ImageDataset:
        """Return the images at the integer positions from 0 on (or where the bool mask is true), in that order."""
        rows = np.asarray(rows)
        rows = rows if rows.dtype == bool else rows.astype(np.int64)
        return replace(
            self,
            images=self.images[rows],
            label_codes=self.label_codes[rows],
            names=self.names[rows],
            repeated=None if self.repeated is None else self.repeated[rows],
        )

    def apart(self) -> ImageDataset:
        """Return these images: ``take`` has copied them."""
        return self

    def of_class(self, label: Label) -> ImageDataset:
        """Return the images of one class. Raises ConfigError for a label that is none."""
        if label not in self.classes:
            raise ConfigError(f"class {label!r} does not occur; classes are: {listed([*map(text_of, self.classes)])}")
        return self.take(self.label_codes == self.classes.index(label))

    def concat(self, *others: ImageDataset) -> ImageDataset:
        """Return these images followed by the others'. Raises DataError where size, channels or classes differ."""
        for other in others:
            if other.shape != self.shape:
                raise DataError(f"the images to add are {_sized(other)}, these are {_sized(self)}; make them alike")
            if other.classes != self.classes:
                raise DataError("the images to add have other classes; give both the same classes in the same order")
        parts = [self, *others]
        again = [np.zeros(len(part), dtype=bool) if part.repeated is None else part.repeated for part in parts]
        return replace(
            self,
            images=np.concatenate([part.images for part in parts]),
            label_codes=np.concatenate([part.label_codes for part in parts]),
            names=np.concatenate([part.names for part in parts]),
            repeated=np.concatenate(again) if any(part.repeated is not None for part in parts) else None,
        )

    def as_repeats(self) -> ImageDataset:
        """Return these rows, each said to be a real one again."""
        return replace(self, repeated=np.ones(len(self), dtype=bool))

    def fingerprint(self) -> str:
        """Return the sha256 (hex) of pixels, labels and names, in order; the same in whatever files they came."""
        described = [self.label, [[type(label).__name__, label] for label in self.classes], self.shape, [*self.names]]
        digest = hashlib.sha256(json.dumps(described).encode())
        digest.update(self.label_codes.astype("<i4").tobytes())
        digest.update(np.ascontiguousarray(self.images).data)
        return digest.hexdigest()

    def feature_hashes(self) -> np.ndarray:
        """Return (N,) uint64 hashes of the pixels alone: equal images hash alike, whatever their label or name."""
        each = (hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=8).digest() for image in self.images)
        return np.frombuffer(b"".join(each), dtype="<u8").astype(np.uint64)

    def to_arrow(self) -> pa.Table:
        """Return a table of ``image`` (struct of PNG bytes and path) and the label column."""
        cells = [
            {"bytes": encode_png(image), "path": name} for image, name in zip(self.images, self.names, strict=True)
        ]
        labels = [self.classes[code] for code in self.label_codes]
        return pa.table({"image": pa.array(cells, IMAGE_TYPE), self.label: pa.array(labels)})

    def to_pandas(self) -> pd.DataFrame:
        """Return ``to_arrow``'s table as a frame; an image is a dict of PNG bytes and path."""
        frame: pd.DataFrame = self.to_arrow().to_pandas()
        return frame

    def to_torch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the images (N, C, H, W) uint8 and the label codes (N,) int64."""
        import torch

        stacked = np.ascontiguousarray(self.images.transpose(0, 3, 1, 2))
        return torch.from_numpy(stacked), torch.from_numpy(self.label_codes.astype(np.int64))


def from_images(
    images: np.ndarray,
    labels: object,
    *,
    label: str = "label",
    names: Sequence[str] | None = None,
    notes: tuple[str, ...] = (),
    least: int = 2,
) -> ImageDataset:
    """Return the dataset of an array: (N, H, W) gray or (N, H, W, C) with C 1, 3 or 4, uint8; labels (N,).

    RGBA is laid on white. Raises DataError for other types and shapes, and for labels that are missing, continuous,
    of fewer than ``least`` classes or of more than 1,000.
    """
    images, labels = np.asarray(images), np.asarray(labels)
    if images.dtype != np.uint8:
        raise DataError(f"images are of type {images.dtype}; give them as uint8, 0 to 255")
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim != 4 or images.shape[3] not in (1, 3, 4) or 0 in images.shape[1:]:
        raise DataError(f"images are of shape {images.shape}; give them as (N, H, W) or (N, H, W, C) with C 1, 3 or 4")
    if not len(images):
        raise DataError("the dataset is empty: 0 images; it needs images of two classes or more")
    if images.shape[3] == 4:
        images, notes = on_white(images), (*notes, "transparent pixels were laid on white")
    if labels.shape != (len(images),):
        raise DataError(f"labels are of shape {labels.shape}, images are {len(images)}; give one label per image")
    try:
        column = pa.chunked_array([pa.array(labels.tolist() if labels.dtype == object else labels)])
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise DataError("labels mix types or are none that can be read; give text or whole numbers") from error
    classes = classes_of(column, name=label, least=least)
    called = np.array(list(names) if names is not None else [""] * len(images), dtype=object)
    return ImageDataset(images, codes_of(column, classes, name=label), classes, called, label, notes)


def _sized(images: ImageDataset) -> str:
    height, width, channels = images.shape
    return f"{height} x {width} pixels with {channels} channel{'s' if channels > 1 else ''}"
