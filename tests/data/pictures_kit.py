"""What the tests of reading images share: noise as pixels and as PNG, files of it, and ``load`` as images."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from synthgen.data.images import ImageDataset
from synthgen.data.read import load


def pixels_of(value: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(value).integers(0, 256, shape or (8, 8), dtype=np.uint8)


def png(value: int, *shape: int) -> bytes:
    output = io.BytesIO()
    Image.fromarray(pixels_of(value, *shape)).save(output, "PNG")
    return output.getvalue()


def put(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def tar_of(path: Path, members: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def loaded(source: object, **options: object) -> ImageDataset:
    images = load(source, **options)
    assert isinstance(images, ImageDataset)
    return images
