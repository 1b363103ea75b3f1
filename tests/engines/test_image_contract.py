"""The contract for images catches engines that break it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Self

import numpy as np
import pytest

from synthgen.data.images import ImageDataset
from synthgen.data.schema import Label
from synthgen.engines.base import EngineInfo, FitContext, code_of, fitted
from synthgen.engines.image_contract import IMAGE_CHECKS, ImageKit, check_image_engine, shapes
from synthgen.errors import ConfigError, EngineError
from synthgen.seeding import numpy_rng

Break = Callable[[ImageDataset, int], ImageDataset]


class Noisy:
    """Real images of the class with noise, passed through ``spoil(images, seed)``."""

    def __init__(self, spoil: Break | None = None) -> None:
        self.spoil, self.train = spoil, None

    @property
    def info(self) -> EngineInfo:
        return EngineInfo("noisy", "noise", ("image",), "synthetic", False, True, 1, "never")

    def fit(self, train: ImageDataset, *, seed: int, context: FitContext = FitContext()) -> Self:  # noqa: B008
        self.train = train
        return self

    def sample(self, label: Label, n: int, *, seed: int) -> ImageDataset:
        train = fitted(self.train, self)
        if n < 0:
            raise ConfigError("a negative number")
        own = np.flatnonzero(train.label_codes == code_of(train.classes, label, engine="noisy"))
        rng = numpy_rng(seed)
        images = train.take(rng.choice(own, n))
        noise = rng.integers(0, 9, images.images.shape, dtype=np.uint8)
        made = dataclasses.replace(images, images=images.images // 2 + noise)
        return self.spoil(made, seed) if self.spoil else made

    def save(self, folder: Path) -> None:
        train = fitted(self.train, self)
        names = [type(label).__name__ for label in train.classes]
        np.savez(folder / "images.npz", images=train.images, codes=train.label_codes, classes=names)
        (folder / "classes.txt").write_text("\n".join(map(str, train.classes)))

    @classmethod
    def load(cls, folder: Path) -> Self:
        try:
            with np.load(folder / "images.npz") as arrays:
                images, codes = arrays["images"], arrays["codes"]
        except OSError as error:
            raise EngineError("nothing there") from error
        engine = cls()
        names = np.full(len(images), "", dtype=object)
        classes = tuple((folder / "classes.txt").read_text().split("\n"))
        engine.train = ImageDataset(images, codes, classes, names, "shape")
        return engine


BROKEN: dict[str, Break] = {
    "counts": lambda made, seed: made.take(np.arange(max(0, len(made) - 1))),
    "label": lambda made, seed: dataclasses.replace(made, label_codes=0 * made.label_codes),
    "determinism": lambda made, seed: made.take(np.random.default_rng().permutation(len(made))),
    "seeds_differ": lambda made, seed: dataclasses.replace(made, images=0 * made.images),
    "save_load": lambda made, seed: made.take(np.arange(len(made))[::-1]),
    "images": lambda made, seed: dataclasses.replace(made, images=made.images[:, 1:]),
    "variety": lambda made, seed: dataclasses.replace(made, images=0 * made.images),
    "label_types": lambda made, seed: made.take(np.arange(1)) if len(made) == 11 else made,
    "small_class": lambda made, seed: made.take(np.arange(1)) if len(made) == 25 else made,
    "want": lambda made, seed: made.take(np.arange(1)) if len(made) == 33 else made,
}


def test_a_sound_engine_passes() -> None:
    check_image_engine(Noisy)


@pytest.mark.parametrize("check", BROKEN)
def test_a_broken_engine_is_caught(check: str) -> None:
    with pytest.raises(AssertionError):
        IMAGE_CHECKS[check](ImageKit(lambda: Noisy(BROKEN[check])))


def test_a_failure_names_its_check() -> None:
    with pytest.raises(AssertionError, match="check_label: AssertionError: asked for 'rare'"):
        check_image_engine(lambda: Noisy(BROKEN["label"]))


def test_the_shapes_are_three_and_differ() -> None:
    images = shapes({"bar": 20, "cross": 20, "frame": 20}, channels=3)
    assert images.shape == (12, 12, 3)
    means = [images.of_class(label).images.mean() for label in images.classes]
    assert len(np.unique(images.feature_hashes())) == 60
    assert max(means) - min(means) > 10
