"""Small images that a network can tell apart, and generators of them that are good, useless or copies."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np

from synthgen.data.image_store import load_images, save_images
from synthgen.data.images import ImageDataset, from_images
from synthgen.engines.base import EngineInfo, FitContext

SIDE = 8


def shapes(counts: dict[str, int], *, seed: int = 0, noise: float = 40.0, channels: int = 1) -> ImageDataset:
    """Images of a bar, a square or a cross at a place that varies, on noise; ``counts`` by class name."""
    rng = np.random.default_rng(seed)
    images, labels = [], []
    for name, n in counts.items():
        for _ in range(n):
            canvas = np.zeros((SIDE, SIDE))
            y, x = rng.integers(1, 4, 2)
            if name == "bar":
                canvas[y, x : x + 4] = 200
            elif name == "square":
                canvas[y : y + 3, x : x + 3] = 200
            else:
                canvas[y : y + 4, x + 1] = canvas[y + 1, x : x + 4] = 200
            canvas = np.repeat(canvas[..., None], channels, axis=2) + rng.normal(0, noise, (SIDE, SIDE, channels))
            images.append(canvas.clip(0, 255).astype(np.uint8))
            labels.append(name)
    names = [f"{label}/{k}.png" for k, label in enumerate(labels)]
    order = rng.permutation(len(labels))
    whole = from_images(np.stack(images), np.array(labels), names=names)
    return whole.take(order)


class Drawing(ABC):
    """An engine of images whose pictures a subclass makes from those it was fitted on."""

    info = EngineInfo("drawing", "images", ("image",), "synthetic", True, True, 5, "in tests")

    def __init__(self, **settings: object) -> None:
        self.settings = settings

    def fit(self, train: ImageDataset, *, seed: int, context: FitContext | None = None) -> Self:
        self.train = train
        return self

    def sample(self, label: object, n: int, *, seed: int) -> ImageDataset:
        rng = np.random.default_rng(seed)
        own = self.train.of_class(label)
        rows = own.take(rng.integers(0, len(own), n))
        names = np.full(n, "", dtype=object)
        return replace(rows, images=self.draw(rows.images, str(label), n, rng), names=names, repeated=None)

    @abstractmethod
    def draw(self, images: np.ndarray, label: str, n: int, rng: np.random.Generator) -> np.ndarray:
        """Return ``n`` pictures of ``label``, made from the ``images`` (n, H, W, C) of it."""

    def save(self, folder: Path) -> None:
        save_images(folder / "train.npz", self.train)

    @classmethod
    def load(cls, folder: Path) -> Self:
        engine = cls()
        engine.train = load_images(folder / "train.npz")
        return engine


class Oracle(Drawing):
    """Draws new images as good as real ones."""

    noise = 90.0

    def draw(self, images: np.ndarray, label: str, n: int, rng: np.random.Generator) -> np.ndarray:
        drawn = shapes(
            {"bar": 1, "square": 1, "cross": 1, label: n + 1}, seed=int(rng.integers(2**31)), noise=self.noise
        )
        return drawn.of_class(label).images[:n]


class Noise(Drawing):
    """Draws noise."""

    def draw(self, images: np.ndarray, label: str, n: int, rng: np.random.Generator) -> np.ndarray:
        return rng.integers(0, 256, images.shape, dtype=np.uint8)


class Copy(Drawing):
    """Gives training images back and calls them new."""

    def draw(self, images: np.ndarray, label: str, n: int, rng: np.random.Generator) -> np.ndarray:
        return images
