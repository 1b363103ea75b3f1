"""What every engine of images promises: ``check_image_engine(lambda: MyEngine())`` in a test of your own.

Builds its own small images; may import data, engines.base and engines.contract.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, cast

import numpy as np

from synthgen.data.dataset import TabularDataset
from synthgen.data.images import ImageDataset, from_images
from synthgen.data.schema import Label
from synthgen.engines.contract import CHECKS, Factory, Kit, require, run_checks

SIDE: Final = 12
OF_ALL: Final = (
    *("info", "counts", "label", "determinism", "seeds_differ", "save_load", "train_untouched", "small_class"),
    *("label_types", "want", "errors"),
)


def shapes(labels: Mapping[Label, int], *, seed: int = 0, channels: int = 1) -> ImageDataset:
    """Return 12 x 12 images with ``labels`` (label -> images), in random order: bars, crosses, frames, and noise."""
    rng = np.random.default_rng(seed)
    which = rng.permutation(np.repeat(np.arange(len(labels)), list(labels.values())))
    images = rng.integers(0, 60, (len(which), SIDE, SIDE, channels))
    for image, kind in zip(images, which, strict=True):
        y, x = rng.integers(3, SIDE - 3, 2)
        if kind % 3 == 0:
            image[y] += 180
        elif kind % 3 == 1:
            image[y] += 90
            image[:, x] += 90
        else:
            image[[1, -2], 1:-1] += 180
            image[1:-1, [1, -2]] += 180
    values = np.array([list(labels)[kind] for kind in which], dtype=object)
    return from_images(images.clip(0, 255).astype(np.uint8), values, label="shape")


class ImageKit(Kit):
    """An engine's factory with one fit on the shapes, shared by the checks."""

    def make(self, labels: Mapping[Label, int], *, seed: int = 0) -> TabularDataset:
        """Return images with ``labels`` (label -> images)."""
        return cast("TabularDataset", shapes(labels, seed=seed))


def check_images(kit: Kit) -> None:
    """Size, channels, type, classes and the label's name are the training images', also of an empty draw."""
    real = cast("ImageDataset", kit.data)
    for rows in (kit.rows, kit.fitted.sample("rare", 0, seed=0)):
        made = cast("ImageDataset", rows)
        require(made.shape == real.shape, f"the images are of shape {made.shape}, wanted {real.shape}")
        require(made.images.dtype == np.uint8, f"the images are of type {made.images.dtype}, wanted uint8")
        require((made.classes, made.label) == (real.classes, real.label), "classes or the label's name differ")
        require(len(made.names) == len(made.label_codes) == len(made), "names or labels are of another number")


def check_variety(kit: Kit) -> None:
    """Generated images differ from each other."""
    made = len(np.unique(kit.rows.feature_hashes()))
    varied = kit.fitted.info.origin == "repeated" or made > len(kit.rows) // 2
    require(varied, f"of {len(kit.rows)} images {made} are different")


IMAGE_CHECKS: Mapping[str, Callable[[Kit], None]] = {
    **{name: CHECKS[name] for name in OF_ALL},
    "images": check_images,
    "variety": check_variety,
}


def check_image_engine(factory: Factory) -> None:
    """Run every check on the engines that ``factory`` makes; raises AssertionError naming the check that failed."""
    run_checks(ImageKit(factory), IMAGE_CHECKS)
