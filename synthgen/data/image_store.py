"""Images between the stages of a run and in saved engines: one .npz, no objects, the dataset back as it was.

May import errors and its own room.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np

from synthgen.data.images import ImageDataset
from synthgen.errors import DataError


def save_images(path: Path, dataset: ImageDataset) -> None:
    """Write images, labels, classes and names, whole or not at all; equal datasets give equal bytes."""
    described = json.dumps({"label": dataset.label, "classes": list(dataset.classes), "names": dataset.names.tolist()})
    arrays = {"images": dataset.images, "codes": dataset.label_codes}
    if dataset.repeated is not None:
        arrays["repeated"] = dataset.repeated
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    with partial.open("wb") as stream:
        np.savez(stream, allow_pickle=False, described=np.frombuffer(described.encode(), dtype=np.uint8), **arrays)
    partial.replace(path)


def load_images(path: Path) -> ImageDataset:
    """Return the dataset that ``save_images`` wrote. Raises DataError where the file holds none."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            described = json.loads(arrays["described"].tobytes())
            return ImageDataset(
                arrays["images"],
                arrays["codes"],
                tuple(described["classes"]),
                np.array(described["names"], dtype=object),
                str(described["label"]),
                repeated=arrays["repeated"] if "repeated" in arrays.files else None,
            )
    except (OSError, ValueError, LookupError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path.name} holds no images as they were written; run the earlier stages again") from error
