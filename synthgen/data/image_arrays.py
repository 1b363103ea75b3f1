"""Images that are arrays already: .npz files, and bringing arrays to one square size. No pickle is ever loaded.

May import errors and its own room.
"""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from synthgen.data.dataset import text_of
from synthgen.data.images import ImageDataset, from_images
from synthgen.data.pictures import MAX_BYTES, ImagePolicy
from synthgen.data.pixels import fit_square
from synthgen.errors import DataError

_IMAGES, _LABELS = ("images", "x"), ("labels", "y")


def read_npz(path: Path, *, label: str | None, least: int = 2) -> ImageDataset:
    """Return the images of an .npz file with ``images`` or ``x`` (uint8) and ``labels`` or ``y`` (in any case).

    Raises DataError for other names, for objects, for more than 4 GiB, and for a file that cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > MAX_BYTES:
                raise DataError(f"{path.name} unpacks to more than {MAX_BYTES >> 30} GiB; give fewer or smaller images")
        with np.load(path, allow_pickle=False) as arrays:
            images = arrays[_find(path, arrays.files, _IMAGES)]
            labels = arrays[_find(path, arrays.files, _LABELS)]
    except (OSError, ValueError, EOFError, KeyError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"{path.name} cannot be read as .npz of plain arrays; write it again with numpy.savez, without objects"
        ) from error
    names = [f"{path.name} row {row}" for row in range(len(images))] if images.ndim else None
    return from_images(images, labels, label=label or "label", names=names, least=least)


def fitted(dataset: ImageDataset, policy: ImagePolicy) -> ImageDataset:
    """Return the images as squares of the policy's size; images of that size come back untouched."""
    height, width, channels = dataset.shape
    size = policy.side(min(height, width))
    if height == width == size:
        return dataset
    if len(dataset) * size * size * channels > MAX_BYTES:
        raise DataError(f"{len(dataset)} images at {size} pixels take more than {MAX_BYTES >> 30} GiB; lower the size")
    images = np.stack([fit_square(image, size=size, fit=policy.fit) for image in dataset.images])
    note = f"{len(dataset)} of {len(dataset)} images were resized to {size} pixels from {height} x {width}"
    return replace(dataset, images=images, notes=(*dataset.notes, note))


def aligned(held: ImageDataset, like: ImageDataset, *, name: str) -> ImageDataset:
    """Return ``held``, read at the size of ``like``, in the classes and channels of ``like``.

    Raises DataError where ``held`` has colour and ``like`` has none, or a class that ``like`` has not.
    """
    images = held.images
    if held.shape[2] > like.shape[2]:
        raise DataError(f"{name} holds images in colour and the input gray ones; make them alike")
    if held.shape[2] < like.shape[2]:
        images = np.repeat(images, 3, axis=3)
    codes = np.empty(len(held), dtype=np.int32)
    for code, label in enumerate(held.classes):
        known = [k for k, other in enumerate(like.classes) if text_of(other) == text_of(label)]
        if not known:
            raise DataError(f"{name} has class {label!r}, which the input has not; remove its images")
        codes[held.label_codes == code] = known[0]
    return replace(held, images=images, label_codes=codes, classes=like.classes, label=like.label)


def _find(path: Path, names: list[str], wanted: tuple[str, ...]) -> str:
    found = [name for name in names if name.lower() in wanted]
    if len(found) != 1:
        what = f"{' and '.join(found)} could both be" if found else "none is"
        raise DataError(f"{path.name} holds {', '.join(names) or 'no array'}: {what} {' or '.join(map(repr, wanted))}")
    return found[0]
